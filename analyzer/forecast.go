package analyzer

import (
	"cmp"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/schemas"
)

const (
	forecastSessions = 20   // below which nothing is said of how good forecasts were
	forecastBins     = 10   // of what was said, equally wide
	forecastOff      = 0.02 // a mean that is off by less is not worth a warning
)

// check holds what was expected of requests against how they were graded. What
// was expected is what proxies recorded when the requests came, so that no pair
// is held against a calibration it had a part in.
func (q *quality) check() {
	type sum struct{ weight, said, came float64 }
	var all sum
	var bins [forecastBins]sum
	var sessions []sum // in the order of their first pairs: sums of floats depend on it
	index, pairs := map[string]int{}, 0
	add := func(s *sum, w, said, came float64) {
		s.weight, s.said, s.came = s.weight+w, s.said+w*said, s.came+w*came
	}
	for i := range q.inForce {
		p := &q.inForce[i]
		if p.Expected == nil {
			continue
		}
		pairs++
		w, said, came := 1/p.Probability, float64(*p.Expected), 0.0
		if p.D >= 0 {
			came = 1
		}
		add(&all, w, said, came)
		add(&bins[min(int(said*forecastBins), forecastBins-1)], w, said, came)
		name := cmp.Or(p.Cluster, p.Request)
		if _, known := index[name]; !known {
			index[name] = len(sessions)
			sessions = append(sessions, sum{})
		}
		add(&sessions[index[name]], w, said, came)
	}
	m := float64(len(sessions))
	if len(sessions) < forecastSessions {
		return
	}
	f := &schemas.Forecast{Pairs: pairs, Sessions: len(sessions), Said: all.said / all.weight, Came: all.came / all.weight}
	for _, b := range bins {
		f.Error += math.Abs(b.came-b.said) / all.weight
	}
	off, squares := f.Came-f.Said, 0.0
	for _, s := range sessions {
		r := s.came - s.said - off*s.weight
		squares += r * r
	}
	half := distuv.StudentsT{Sigma: 1, Nu: m - 1}.Quantile((1+level)/2) * math.Sqrt(squares*m/(m-1)) / all.weight
	f.Off = schemas.Interval{Point: off, Lo: off - half, Hi: off + half, Level: level}
	q.finding.Forecast = f
	if math.Abs(off) > forecastOff && f.Off.Lo*f.Off.Hi > 0 {
		q.note("forecast_off", fmt.Sprintf("The chance of an answer that is no worse was put at %s of %s before they were graded, and %s came: p_adequate is off by %s [%s … %s].",
			report.Percent(f.Said), report.Plural(pairs, "pair", "pairs"), report.Percent(f.Came), report.Points(off), report.Points(f.Off.Lo), report.Points(f.Off.Hi)))
	}
}
