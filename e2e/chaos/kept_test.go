package main

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestAKeptSeedHasTheFaultsThatItOnceDrew(t *testing.T) {
	before := faults
	t.Cleanup(func() { faults = before })
	faults = slices.Concat(faults, relayFaults, diskFaults, clockFaults)
	for seed, names := range kept {
		var has []string
		for _, f := range schedule(rand.New(rand.NewPCG(seed, 0)), seed, "") {
			has = append(has, f.name)
		}
		if !slices.Equal(has, names) {
			t.Errorf("seed %d has %q, not %q", seed, has, names)
		}
	}
}
