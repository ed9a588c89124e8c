package rehearsal

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

var midnight = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

const cent = schemas.Dollar / 100

// offer sends n requests an hour of one price through a day and returns, by
// hour, how many were taken and the least probability seen.
func offer(t *testing.T, s *Sampler, day time.Time, perHour func(h int) int, price schemas.NanoUSD) (taken [24]int, least float64) {
	t.Helper()
	least = 1
	for h := range 24 {
		n := perHour(h)
		for k := range n {
			now := day.Add(time.Duration(h)*time.Hour + time.Duration(float64(time.Hour)*float64(k)/float64(n)))
			d := s.Draw(fmt.Sprintf("%d-%d-%d", day.Unix(), h, k), price, 1, now)
			least = min(least, d.Probability)
			if d.Taken {
				s.Settle(price, price)
				taken[h]++
			}
		}
	}
	return taken, least
}

func TestTheBudgetLastsAllDayAndIsNeverExceeded(t *testing.T) {
	office := func(h int) int {
		if h >= 8 && h < 18 {
			return 900
		}
		return 40
	}
	s := NewSampler("w", Plan{Daily: 1000 * cent}) // five times what the floor costs
	for d := range 4 {
		day := midnight.AddDate(0, 0, d)
		taken, least := offer(t, s, day, office, cent)
		if least < Floor {
			t.Errorf("day %d: a probability of %v, below the floor", d, least)
		}
		total := 0
		for _, n := range taken {
			total += n
		}
		if spent := s.SpentToday(day.Add(23 * time.Hour)); spent > 1000*cent {
			t.Errorf("day %d: spent %v of 10 dollars", d, spent)
		}
		if s.s.Stopped > 0 {
			t.Errorf("day %d: %d requests met an empty budget, which no weighting repairs", d, s.s.Stopped)
		}
		if d == 0 {
			continue // the rhythm is not known yet
		}
		t.Logf("day %d: %d taken, least probability %.3f, %v", d, total, least, taken)
		if total < 700 {
			t.Errorf("day %d: only %d of about 1,000 affordable pairs", d, total)
		}
		if late := taken[16] + taken[17]; late < 50 {
			t.Errorf("day %d: the budget ran out before the evening: %v", d, taken)
		}
	}
}

func TestABudgetSpentAtNoonWouldBeNoticed(t *testing.T) {
	// The naive sampler: a constant probability until the money is gone.
	spent, afternoon := schemas.NanoUSD(0), 0
	for h := range 24 {
		for k := range 500 {
			if unit := uniform(1, fmt.Sprint(h, k)); unit < .1 && spent+cent <= 600*cent {
				spent += cent
				if h >= 12 {
					afternoon++
				}
			}
		}
	}
	if afternoon > 0 {
		t.Fatalf("the naive sampler drew %d requests in the afternoon; this check would prove nothing", afternoon)
	}
	s := NewSampler("w", Plan{Daily: 600 * cent, Probability: .1})
	taken, _ := offer(t, s, midnight, func(int) int { return 500 }, cent)
	for h, n := range taken {
		if n == 0 {
			t.Errorf("nothing drawn in hour %d: %v", h, taken)
		}
	}
}

func TestTheProbabilityIsWhatIsRecorded(t *testing.T) {
	s := NewSampler("w", Plan{Daily: 1000 * schemas.Dollar, Probability: .13})
	taken := 0
	const n = 40_000
	for k := range n {
		d := s.Draw(fmt.Sprintf("018f3a52-%08x", k), cent/100, 1, midnight)
		if d.Probability != .13 {
			t.Fatalf("probability %v", d.Probability)
		}
		if d.Taken {
			taken++
			s.Settle(cent/100, cent/100)
		}
	}
	if sd := math.Sqrt(n * .13 * .87); math.Abs(float64(taken)-n*.13) > 4*sd {
		t.Errorf("%d of %d taken at .13", taken, n)
	}
}

func TestTheProbabilityIsConstantWithinAStratumAndBlindToItsRequests(t *testing.T) {
	by := map[string]float64{}
	s := NewSampler("w", Plan{Daily: 50 * cent, Probability: .5})
	for h := range 30 {
		for k := range 300 {
			d := s.Draw(fmt.Sprint(h, "-", k), cent, 1, midnight.Add(time.Duration(h)*time.Hour+time.Duration(k)*12*time.Second))
			if e, ok := by[d.Stratum]; ok && e != d.Probability {
				t.Fatalf("stratum %s has %v and %v", d.Stratum, e, d.Probability)
			}
			by[d.Stratum] = d.Probability
			if d.Taken {
				s.Settle(cent, cent)
			}
		}
	}
	if len(by) < 30 {
		t.Errorf("%d strata in 30 hours", len(by))
	}
}

func TestAnotherProbabilityHoldsAtOnceAlsoAfterARestart(t *testing.T) {
	for _, tt := range []struct{ before, after float64 }{{.1, 1}, {1, .05}} {
		s := NewSampler("w", Plan{Daily: 1000 * schemas.Dollar, Probability: tt.before})
		was := s.Draw("a", cent, 1, midnight.Add(time.Minute))
		again := NewSampler("w", Plan{Daily: 1000 * schemas.Dollar, Probability: tt.after})
		again.s = s.s // what Restore does
		is := again.Draw("b", cent, 1, midnight.Add(2*time.Minute))
		if was.Probability != tt.before || is.Probability != tt.after || is.Stratum == was.Stratum {
			t.Errorf("from %v to %v within the hour: drawn with %v in %s, then with %v in %s", tt.before, tt.after, was.Probability, was.Stratum, is.Probability, is.Stratum)
		}
	}
}

func TestARequestDeliveredTwiceIsDrawnTheSameWay(t *testing.T) {
	plan := Plan{Daily: 1000 * schemas.Dollar, Probability: .3}
	a, b := NewSampler("w", plan), NewSampler("w", plan)
	other, differs := NewSampler("v", plan), 0
	for k := range 500 {
		id := fmt.Sprintf("id-%d", k)
		x, y := a.Draw(id, cent, 1, midnight), b.Draw(id, cent, 1, midnight)
		if x != y {
			t.Fatalf("%s: %+v and %+v", id, x, y)
		}
		if z := other.Draw(id, cent, 1, midnight); z.Taken != x.Taken {
			differs++
		}
	}
	if differs == 0 {
		t.Error("two workloads draw the very same requests: the key does nothing")
	}
}

func TestWhatAnotherRoadKnowsOfTheSpendingCounts(t *testing.T) {
	s := NewSampler("w", Plan{Daily: 10 * cent})
	s.AtLeast(10*cent, midnight.Add(time.Hour))
	for k := range 100 {
		if d := s.Draw(fmt.Sprint(k), cent, 1, midnight.Add(time.Hour)); d.Taken {
			t.Fatal("drawn although the cap is spent")
		}
	}
	if s.s.Stopped != 100 {
		t.Errorf("%d stopped", s.s.Stopped)
	}
	tomorrow := midnight.Add(25 * time.Hour)
	taken := 0
	for k := range 100 {
		if s.Draw(fmt.Sprint(k), cent/10, 1, tomorrow).Taken {
			taken++
		}
	}
	if taken == 0 {
		t.Error("the next day's budget is not there")
	}
}

func TestTheGate(t *testing.T) {
	cases := []struct {
		name           string
		closed, open   int // answers seen: closed, not closed
		same, differ   int // pairs
		isOpen, isShut bool
	}{
		{"is closed before it has seen enough", 50, 0, 50, 0, false, false},
		{"opens when the baseline agrees with itself", 100, 0, 100, 0, true, false},
		{"opens at half the margin", 100, 0, 99, 1, true, false},
		{"is not decided while the disagreement may be luck", 110, 0, 98, 2, false, false},
		{"shuts when the baseline does not agree with itself", 120, 0, 90, 10, false, true},
		{"stays open on a doubtful disagreement", 100, 0, 395, 5, true, false},
		{"shuts when most answers are not closed", 20, 200, 20, 0, false, true},
		{"waits when few were seen, though most are not closed", 20, 60, 20, 0, false, false},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			var g gate
			for range tt.closed {
				g.saw(true)
			}
			for range tt.open {
				g.saw(false)
			}
			for range tt.same {
				g.compared(true, .02)
			}
			for range tt.differ {
				g.compared(false, .02)
			}
			if g.Open != tt.isOpen || g.Shut != tt.isShut {
				t.Errorf("open %v, shut %v; want %v, %v (%+v)", g.Open, g.Shut, tt.isOpen, tt.isShut, g)
			}
		})
	}
	var g gate
	for range 100 {
		g.compared(true, .02)
	}
	for range 60 {
		g.compared(false, .02)
	}
	if g.Open || !g.Shut {
		t.Errorf("an open gate does not shut when the baseline changes: %+v", g)
	}
}
