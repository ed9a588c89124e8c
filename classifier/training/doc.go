// Package training fits the classifier's weights on graded answers and measures
// how well they rank.
//
// The one idea: nothing is believed that was measured on what it was fitted on.
// Rows carry a group that joins near-duplicates; folds are of groups, of
// workloads or of sources, and what a model choice is made by lies inside a
// fold.
//
// What it does not do: it takes no part in a request. The classifier's own
// package assesses; this one only writes the file of weights that it reads.
package training
