package evidence_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/evidence"
)

var monday = time.Date(2025, 11, 10, 9, 0, 0, 0, time.UTC)

func pair(n int, minutes float64, cluster string, d float64) evidence.Pair {
	at := monday.Add(time.Duration(minutes * float64(time.Minute)))
	return evidence.Pair{ID: fmt.Sprint(n), At: at, Day: at.Truncate(24 * time.Hour), Cluster: cluster, Request: fmt.Sprint("r", n), Probability: .1, D: d}
}

func TestPairsBecomeUnitsOfOneBet(t *testing.T) {
	linked := pair(3, 3, "b", -1)
	linked.Request = "r1" // the same request as pair 1, under another cluster
	far := time.Hour * 1000
	for _, row := range []struct {
		name          string
		pairs         []evidence.Pair
		settled       time.Duration
		want          []float64
		waiting, late int
	}{
		{"pairs of a session are one bet on their mean", []evidence.Pair{pair(1, 0, "a", 1), pair(2, 1, "a", 0), pair(3, 2, "b", -1)}, far, []float64{.5, -1}, 0, 0},
		{"pairs without a cluster stand for themselves", []evidence.Pair{pair(1, 0, "", 1), pair(2, 1, "", 0)}, far, []float64{1, 0}, 0, 0},
		{"what is linked by a request is one unit, whatever its clusters", []evidence.Pair{pair(1, 0, "a", 1), pair(2, 1, "b", 1), linked}, far, []float64{1. / 3}, 0, 0},
		{"a pair that comes after its unit's hour is late", []evidence.Pair{pair(1, 0, "a", 1), pair(2, 61, "a", -1), pair(3, 62, "b", 0)}, far, []float64{1, 0}, 0, 1},
		{"a pair that links two units that were bet on is late", []evidence.Pair{pair(1, 0, "a", 1), pair(2, 1, "b", 0), pair(4, 61, "a", -1), pair(5, 62, "b", -1)}, far, []float64{1, 0}, 0, 2},
		{"the open hour waits", []evidence.Pair{pair(1, 0, "a", 1), pair(2, 61, "b", 0)}, 90 * time.Minute, []float64{1}, 1, 0},
		{"order of arrival does not matter", []evidence.Pair{pair(3, 2, "b", -1), pair(2, 1, "a", 0), pair(1, 0, "a", 1)}, far, []float64{.5, -1}, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			units, waiting, late := evidence.Units(row.pairs, monday.Add(row.settled))
			got := evidence.Differences(units)
			if !slices.EqualFunc(got, row.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }) || waiting != row.waiting || late != row.late {
				t.Errorf("units %v, %d waiting, %d late; want %v, %d, %d", got, waiting, late, row.want, row.waiting, row.late)
			}
		})
	}
}

func TestALookNeverChangesABetAlreadyMade(t *testing.T) {
	var pairs []evidence.Pair
	for i := range 400 {
		pairs = append(pairs, pair(i, float64(i)*3.7, fmt.Sprint("s", (i*i)%57), float64(i%3-1)))
	}
	whole, _, _ := evidence.Units(pairs, monday.Add(1000*time.Hour))
	for h := range 26 {
		settled := monday.Truncate(time.Hour).Add(time.Duration(h) * time.Hour)
		// What a look at this time sees: pairs graded until then.
		var seen []evidence.Pair
		for _, p := range pairs {
			if p.At.Before(settled.Add(30 * time.Minute)) {
				seen = append(seen, p)
			}
		}
		units, _, _ := evidence.Units(seen, settled)
		if !slices.Equal(units, whole[:len(units)]) {
			t.Fatalf("after %d hours the bets are not those of the end", h)
		}
	}
}

func TestAFailureWithoutASnapshotIsNoChange(t *testing.T) {
	pairs := []evidence.Pair{pair(1, 0, "", 1), pair(2, 1, "", -1), pair(3, 2, "", 0)}
	pairs[0].Thing.Candidate, pairs[2].Thing.Candidate = "mini-07", "mini-07"
	units, _, _ := evidence.Units(pairs, monday.Add(100*time.Hour))
	if units[1].Thing != units[0].Thing {
		t.Errorf("the failed pair is about %+v", units[1].Thing)
	}
}

// course makes n units a day about the things given by day.
func course(perDay int, days ...[]evidence.Thing) []evidence.Unit {
	var units []evidence.Unit
	for d, things := range days {
		for i := range perDay {
			at := monday.Add(time.Duration(d)*24*time.Hour + time.Duration(i)*time.Minute)
			units = append(units, evidence.Unit{At: at, Day: at.Truncate(24 * time.Hour), Thing: things[i%len(things)], Weight: 10, Pairs: 1})
		}
	}
	return units
}

func TestWealthBelongsToOneThing(t *testing.T) {
	a, b, c := evidence.Thing{Candidate: "a"}, evidence.Thing{Candidate: "b"}, evidence.Thing{Candidate: "c"}
	one := func(x evidence.Thing) []evidence.Thing { return []evidence.Thing{x} }
	rare := append(slices.Repeat(one(a), 19), c)
	varied := make([]evidence.Thing, 20)
	for i := range varied {
		varied[i] = evidence.Thing{Prompt: uint64(i + 1)}
	}
	for _, row := range []struct {
		name     string
		units    []evidence.Unit
		bets     int
		restarts int
		outside  int
	}{
		{"nothing changes: all units count", course(20, one(a), one(a), one(a)), 60, 0, 0},
		{"a new snapshot starts anew", course(20, one(a), one(a), one(b), one(b)), 40, 1, 0},
		{"a new grader version starts anew", course(20, one(a), one(evidence.Thing{Candidate: "a", GraderVersion: "2"})), 20, 1, 0},
		{"a new prompt template starts anew", course(20, one(a), one(evidence.Thing{Candidate: "a", Prompt: 7})), 20, 1, 0},
		{"going back is a change too", course(20, one(a), one(b), one(a)), 20, 2, 0},
		{"two side by side are one mixture", course(20, []evidence.Thing{a, b}, []evidence.Thing{a, b}), 40, 0, 0},
		{"a new one beside the old starts anew with both", course(20, one(a), one(a), []evidence.Thing{a, b}), 19, 1, 0},
		{"what has gone is dropped after three days", course(20, one(a), []evidence.Thing{a, b}, one(b), one(b), one(b)), 70, 1, 9},
		{"a rare stray is left outside", course(20, one(a), rare, one(a)), 59, 0, 1},
		{"templates that differ from request to request are not held against them", course(20, varied, varied), 40, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			e := evidence.Current(row.units)
			if len(e.Units) != row.bets || e.Restarts != row.restarts || e.Outside != row.outside {
				t.Errorf("%d bets, %d restarts, %d outside; want %d, %d, %d", len(e.Units), e.Restarts, e.Outside, row.bets, row.restarts, row.outside)
			}
		})
	}
}

func TestTheDayGate(t *testing.T) {
	flat := func(n int, v ...float64) []float64 { return slices.Repeat(v, n)[:n] }
	for _, row := range []struct {
		name   string
		means  []float64
		early  int
		passed bool
		failed bool
		day    int
		next   int
	}{
		{"thirteen days are too few", flat(13, 0, .001), 0, false, false, 0, 14},
		{"fourteen good days pass", flat(14, 0, .001), 0, true, false, 14, 0},
		{"what passed stays passed", append(flat(14, 0, .001), flat(10, -.5)...), 0, true, false, 14, 0},
		{"fourteen unsteady days wait for the next look", flat(14, -.1, .09), 0, false, false, 14, 21},
		{"after the third look there is none", flat(40, -.1, .09), 0, false, true, 28, 0},
		{"ended early it looks at the days there are", flat(8, 0, .001), 8, true, false, 8, 0},
		{"days all alike at the margin do not pass", flat(14, -.02), 0, false, false, 14, 21},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := evidence.DayGate(row.means, .02, .05, row.early)
			if g.Passed != row.passed || g.Failed != row.failed || g.Day != row.day || g.Next != row.next {
				t.Errorf("%+v", g)
			}
		})
	}
}

func TestDaySDSeesBeyondTheNoiseOfPairs(t *testing.T) {
	noise, days := stream(71), [][]float64{}
	for range 400 {
		day, weather := make([]float64, 50), .05*noise.NormFloat64()
		for i := range day {
			day[i] = weather + .3*noise.NormFloat64()
		}
		days = append(days, day)
	}
	if sd, ok := evidence.DaySD(days); !ok || math.Abs(sd-.05) > .006 {
		t.Errorf("day SD %.4f, want .05", sd)
	}
	if _, ok := evidence.DaySD([][]float64{{1}, {0}}); ok {
		t.Error("one unit a day says nothing of days")
	}
}

func TestARefusedProbabilityIsNotRepaired(t *testing.T) {
	for _, p := range []float64{0, -1, 1.5, math.NaN()} {
		if _, _, _, ok := evidence.DoublyRobust([]evidence.Graded{{Probability: .5}, {Probability: p}}, .95); ok {
			t.Errorf("probability %v was taken", p)
		}
	}
}
