// Package report says what was found, in words and figures: the report as a
// record that is complete in JSON, the report for a terminal, and the way gnomon
// writes money, shares, counts and bounds everywhere.
//
// The one idea: a figure never stands alone. Money comes with its interval,
// quality with its bound and its pairs, and what is not known is a sentence that
// says what is missing and when it will be there.
//
// What it does not do: it computes no statistic, and reads no store.
package report
