// Package rehearsal sends a sample of observed requests to the candidate they
// would have been routed to, and grades the two answers.
//
// The one idea: a sample is worth nothing without the probability with which it
// was drawn. Every draw is a keyed hash of the request's id held against a
// probability that was fixed before the request was seen, is constant within a
// stratum, and is recorded with the evaluation. Money is paced by the hour, so
// that the probability shrinks when traffic grows and never reaches zero while
// the day's budget lasts.
//
// A grader says where it applies. Where none does, a pair is recorded as
// ungraded, and nothing is concluded from it but the length of the answer. A
// candidate that fails, is refused or is cut short has quality 0; it is never
// left out.
//
// What it does not do: it takes no verdict (analyzer), moves no traffic
// (activation), stores no body, and rehearses one turn at a time: the
// candidate answers the conversation as the baseline led it, not its own.
package rehearsal
