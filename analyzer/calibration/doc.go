// Package calibration lets graded pairs of a workload's own speak beside a prior
// prediction, as loudly as there are many.
//
// The one idea: empirical Bayes. What is predicted for a prompt is its
// workload's level plus a slope times how far its prior prediction lies from the
// workload's mean one. Both are drawn towards what workloads have in common, by
// how much workloads are seen to differ: a workload of few pairs is taken as
// most are, one of many speaks for itself. A slope may shrink to nothing, and
// then what is left is the workload's mean: a prior that does not rank prompts
// within workloads must not make things worse than that.
//
// The package is pure: numbers in, numbers out, in one order whatever the order
// of the pairs.
//
// What it does not do: it takes no verdict. A calibrated level is an estimate to
// rank and to forecast by; whether a candidate is worse is for package evidence.
package calibration
