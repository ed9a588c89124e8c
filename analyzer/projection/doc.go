// Package projection holds the statistics of savings: from days observed to the
// share saved, and to the dollars of the next thirty days.
//
// The one idea: days are the sampling unit. Requests of one day share its
// traffic, its prompts and its conversations, so an interval made from requests
// is far too narrow; and a mean that is well known is not yet next month, so a
// projection is widened by what the month to come will vary by itself.
//
// The intervals are Student's t on the means of a few blocks of consecutive days
// (Ibragimov & Müller, JBES 2010), which holds up when days depend on each other.
//
// What it does not do: it knows no requests, prices or models, only sums by day.
package projection
