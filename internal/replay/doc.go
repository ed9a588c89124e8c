// Package replay takes the decisions of the log again.
//
// The one idea: a row of the log holds the Inputs of its decision and the hash
// of the snapshot that decided it, and both were kept. Decide is pure, so what
// it says today has to be what the row says, byte for byte; where it does not,
// either the log or the code is not what it claims to be.
//
// The snapshot is the one that decided, never the latest. A row whose snapshot
// is not there, or was made by rules or a price book that this build does not
// have, is counted as not replayable with the reason, never as equal.
//
// What it does not do: it keeps no row, so its memory does not grow with the
// log; and it says nothing about decisions under other policies (see whatif).
package replay
