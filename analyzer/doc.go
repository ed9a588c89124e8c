// Package analyzer turns what was recorded into verdicts: per workload,
// requested model and candidate, what routing would save a month, what it would
// do to quality, and whether the evidence is enough to act.
//
// The one idea: every number carries its doubt. Savings are projected from days,
// because days are what repeats, and the interval is widened for the month that
// has not been seen. Quality is a bet against "the candidate is worse than the
// margin": the wealth may be looked at every hour without inflating the error.
//
// The statistics live in analyzer/evidence and analyzer/projection and know
// nothing of stores; words for people live in analyzer/report.
//
// What it does not do: it reads through the small interface Log and writes
// nothing; it routes nothing, and it never calls a candidate worse for want of a
// grader.
package analyzer
