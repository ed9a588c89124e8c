// Package activation holds the policy record's life: who may switch a workload,
// on what evidence, and how every part of gnomon agrees on what holds.
//
// The one idea: a policy names the version it replaces. Every reader accepts
// the first record, in the topic's order, that continues what it has accepted,
// and ignores the others; so all agree without a lock, and a writer learns from
// reading back whether it was first. A snapshot beside each reader keeps the
// accepted chain, and a topic that has become shorter or empty never beats it:
// the chain is written to the topic again.
//
// Policies travel so, and keys.
//
// What it does not do: it decides no single request (classifier.Decide does,
// from the accepted policies) and speaks to no broker itself (Topic does).
package activation
