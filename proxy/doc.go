// Package proxy is the data plane: accept, route, forward, stream, record, and
// obey policy.
//
// The one idea: what a client sees is what a direct call would have carried.
// Bytes pass untouched in both directions; classification runs while the
// provider works; every accepted request ends in exactly one event, whatever
// happened to it. Only a session in the treated arm of an activated workload is
// decided before it is forwarded, and whatever is uncertain then goes to the
// model the caller asked for.
//
// What it does not do: it keeps no events (a Recorder does), takes no decision
// (classifier.Decide does), knows no price (savings does) and no vendor's JSON
// (proxy/dialect does). It never waits for broker, store or console.
package proxy
