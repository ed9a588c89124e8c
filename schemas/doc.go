// Package schemas is the vocabulary of gnomon: the records that travel on
// topics and rest in the store, the types of money, and the DDL.
//
// The one idea: every word that crosses a process boundary is defined here
// once, so that the proxy that writes it, the store that keeps it and the
// analyst who reads it mean the same thing. Records are JSON on topics,
// additive only: a reader keeps fields it does not know (RequestEvent.Extra),
// and a change that breaks a reader gets a new topic name.
//
// What it does not do: it computes nothing but encodings. Prices are applied in
// savings, decisions are taken in classifier, rows are written by
// internal/store.
package schemas
