// Package dialect knows where each vendor's payload keeps its model, usage,
// finish reason and errors.
//
// The one idea: a vendor is a row of a table with a few pure functions. One
// skimmer walks the JSON, one scanner walks event streams, and a row only says
// which members mean what. Bytes are never re-encoded: what must be changed in a
// body or a stream is changed bytewise, at offsets the skimmer found.
//
// What it does not do: it performs no I/O, keeps nothing between requests,
// prices nothing, and translates nothing between dialects (yet).
package dialect
