package analyzer

import (
	"math"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestWhatStaysAndGetsDearerIsChargedToTheCandidatesThatTakeItsNeighboursAway(t *testing.T) {
	d := time.Date(2026, 11, 3, 0, 0, 0, 0, time.UTC)
	m := model{days: map[time.Time]*tally{}}
	for _, c := range []Cell{
		{Day: d, Provider: "p", RequestModel: "big", WouldRoute: "p/small", Requests: 30, Baseline: 10 * schemas.Dollar, Would: 4 * schemas.Dollar},
		{Day: d, Provider: "p", RequestModel: "big", WouldRoute: "p/tiny", Requests: 10, Baseline: 5 * schemas.Dollar, Would: schemas.Dollar},
		// What stays loses a warm cache: 2 dollars more.
		{Day: d, Provider: "p", RequestModel: "big", WouldRoute: "p/big", Requests: 60, Baseline: 20 * schemas.Dollar, Would: 22 * schemas.Dollar},
	} {
		m.add(&c)
	}
	for candidate, want := range map[string]float64{"p/small": 6 - 1.5, "p/tiny": 4 - .5} {
		if s := m.series([]time.Time{d}, candidate, 1); math.Abs(s.saved[0]-want) > 1e-9 || s.baseline[0] != 35 {
			t.Errorf("%s saves %v of %v, want %v of 35", candidate, s.saved[0], s.baseline[0], want)
		}
	}
}
