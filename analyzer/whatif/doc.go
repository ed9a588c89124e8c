// Package whatif scores the log again under a policy that never ran: another
// ladder, other thresholds. It draws, for each workload, the frontier of what
// would be saved against what is known of quality.
//
// The one idea: gates, prices and ladders treat alike all requests that share
// workload, model, gate bits, length class and day, and a threshold only cuts
// them by score. So the store sums the log once by these, Decide is asked once
// for each sum, and any threshold is a partial sum: ten million requests are
// some ten thousand cells.
//
// What it does not do: it promises nothing. Every point says what evidence is
// behind its quality, and where no pair was graded there is no figure. A
// workload is activated by a verdict, which is safe under peeking; these
// intervals are for looking.
package whatif
