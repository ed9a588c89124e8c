// Package classifier turns a request into an assessment and an assessment into
// a decision.
//
// The one idea: everything here is a pure function of its arguments. Assess
// reads a request's bytes; Decide reads Inputs and an immutable Snapshot. The
// same Decide serves observing and live traffic, so that what was promised
// while observing is what happens when a workload is activated, and a recorded
// decision can be taken again, byte for byte.
//
// What it does not do: it performs no I/O, reads no clock, keeps no state, and
// does not decide who may be routed when: policies arrive in the Snapshot.
package classifier
