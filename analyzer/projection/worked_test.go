package projection_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/projection"
)

// TestWorkedValues holds the blocks against values computed apart from this code
// in exact fractions, so that they are checked where the reference table is not.
func TestWorkedValues(t *testing.T) {
	a := []float64{100, 120, 90, 80, 110, 40, 30, 105, 115, 95, 85, 100, 45, 35}
	b := []float64{60, 70, 50, 50, 61, 25, 20, 66, 64, 55, 50, 55, 30, 20}
	r, u := projection.Ratio(a, b)
	near(t, "saving", 1-r, .4121739130434783)
	for j, want := range []float64{.0022759924385633, .013603024574669, -.017890359168242, -.0032816635160681} {
		near(t, "block mean", projection.Blocks(u, 4)[j], want)
	}
	s := projection.BlockSpread(u, 4, .95)
	near(t, "se", s.SE, .0065450535298443)
	near(t, "half-width", s.Half(), .020829281423941)
	near(t, "half-width next month", s.Next(14), .020829281423941*math.Sqrt(1+14./30))
}

func TestHowManyDaysMakeAnInterval(t *testing.T) {
	series := func(n int) (days []time.Time, x, a []float64) {
		r := stream(uint64(n))
		for i := range n {
			days = append(days, time.Date(2025, 11, 3, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i))
			x, a = append(x, 100+10*r.NormFloat64()), append(a, 200)
		}
		return days, x, a
	}
	for _, row := range []struct {
		days, usable, blocks int
		early, ok            bool
	}{
		{0, 0, 0, false, false}, {1, 1, 0, false, false}, {6, 6, 0, false, false}, {7, 7, 0, true, true}, {13, 13, 0, true, true}, {14, 14, 4, false, true},
		{27, 27, 4, false, true}, {28, 28, 4, false, true}, {34, 28, 4, false, true}, {56, 56, 6, false, true}, {112, 112, 8, false, true},
	} {
		t.Run(fmt.Sprintf("%d days", row.days), func(t *testing.T) {
			n := projection.Usable(row.days)
			days, x, a := series(n)
			_, u := projection.Ratio(a, x)
			s, ok := projection.MeanSpread(a, u, .95)
			m := projection.ProjectMonth(days, x, .95)
			if n != row.usable || ok != row.ok || s.Early != row.early || s.Blocks != row.blocks || m.OK != row.ok || m.Early != row.early {
				t.Errorf("%d usable, %+v, %v; month %+v", n, s, ok, m)
			}
			if row.days >= 7 && (m.Sum < 2700 || m.Sum > 3300) {
				t.Errorf("30 days of about 100 make %.0f", m.Sum)
			}
		})
	}
}

func TestTheMonthFollowsTheWeek(t *testing.T) {
	// Working days 10, weekends 0. The 30 days after Sunday 16 November hold
	// four weekends.
	var days []time.Time
	var x []float64
	for i := range 14 {
		d := time.Date(2025, 11, 3, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i)
		days = append(days, d)
		if w := d.Weekday(); w == time.Saturday || w == time.Sunday {
			x = append(x, 0)
		} else {
			x = append(x, 10)
		}
	}
	m := projection.ProjectMonth(days, x, .95)
	if math.Abs(m.Sum-220) > 1e-9 || m.Half > 1e-9 {
		t.Errorf("%.1f ± %.2f, want 22 working days of 10, without doubt", m.Sum, m.Half)
	}
	y := make([]float64, len(x))
	for i := range x {
		y[i] = 3 * x[i]
	}
	near(t, "another amount of the same days", m.Apply(days, y), 660)
}

func TestOutputLengthRestsOnSessions(t *testing.T) {
	var one, many []projection.Answer
	r := stream(5)
	for i := range 2000 {
		long := math.Exp(.3 * r.NormFloat64())
		for range 5 { // the answers of a session are all long, or all short
			many = append(many, projection.Answer{Cluster: fmt.Sprint(i), Weight: 10, Baseline: 100, Candidate: 120 * long})
			one = append(one, projection.Answer{Cluster: fmt.Sprint(len(one)), Weight: 10, Baseline: 100, Candidate: 120 * long})
		}
	}
	l, ok := projection.OutputLength(many)
	naive, _ := projection.OutputLength(one)
	if !ok || l.Clusters != 2000 || math.Abs(l.Ratio-1.2*math.Exp(.045)) > 3*l.SE {
		t.Errorf("%+v", l)
	}
	if ratio := l.SE / naive.SE; ratio < 2.1 || ratio > 2.4 {
		t.Errorf("by sessions the error is %.2f times that by answers, want √5", ratio)
	}
	if _, ok := projection.OutputLength(many[:19*5]); ok {
		t.Error("19 sessions were enough")
	}
	if _, ok := projection.OutputLength(nil); ok {
		t.Error("nothing was enough")
	}
}
