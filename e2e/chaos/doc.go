// Command chaos runs gnomon's processes under load, breaks them in ways that a
// seed chooses, and then holds what the store says against what every client
// saw.
//
// The one idea: the ledger is kept outside gnomon. Each request carries a name of
// its own; its client writes down how far its answer came, the stand-in provider
// writes down that it was asked. When everything runs again, each of these must
// be found in the store exactly once, or be declared, and nothing else may be
// there.
//
//	go run ./e2e/chaos -seeds 50
//
// A failing seed prints its schedule; -seed runs it again. The schedule is the
// seed's, the moments at which the kernel runs what are not, so a seed that
// failed once may pass: its schedule is kept as a test all the same.
//
// -figure measures instead: what clients feel of all that, and what it takes.
//
// What it does not do: it does not cut the power. What a disk may lose then is
// tried call by call in internal/spool's crash test. A partition is a stopped
// process (SIGSTOP), whose sockets stay open and answer nothing.
package main
