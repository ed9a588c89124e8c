package main

// kept are seeds that found something, or once failed for a reason that was not
// gnomon's, with the faults that they drew then: what a seed draws changes with the
// list of faults. docs/completeness.md says what was found.
var kept = map[uint64][]string{
	120042: {
		"answers of the store to an ingester are lost",
		"a proxy's disk is full and it is killed",
		"a proxy's disk is full and it is killed",
		"answers of the store to an ingester are lost",
	},
	310006: {
		"a proxy's disk is lost",
		"the broker's disk is full and it is killed",
		"the engine is killed",
		"the other ingester is killed again while it joins",
		"a proxy is killed and its last record is torn",
	},
	310021: {
		"a proxy is stopped for a while",
		"answers of the store to an ingester are lost",
		"a proxy's disk is full and it is killed",
	},
	310022: {
		"broker and engine are killed, and the broker's folder is gone",
		"a proxy is stopped for a while",
		"an ingester is cut off from the store",
		"the other ingester is stopped for a while",
		"broker and engine are killed and start with a wrong clock, and again with the right one",
	},
	310034: {
		"broker and engine are killed and start with a wrong clock, and again with the right one",
		"a proxy is killed and its last record is torn",
		"a proxy's disk is full and it is killed",
		"a proxy's disk is full and it is killed",
	},
	530021: {
		"a proxy is killed and its last record is torn",
		"a proxy's disk is full and it is killed",
		"broker and engine are killed, and the broker's folder is gone",
	},
}
