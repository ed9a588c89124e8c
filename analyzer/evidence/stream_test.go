package evidence_test

import "math/rand/v2"

// stream is a source of numbers that are the same in every run.
func stream(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)) }
