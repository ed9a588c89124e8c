package whatif

import (
	"math"

	"github.com/gnomon-llm/gnomon/schemas"
)

// calibrations are what graded pairs make expect of a request at each route: the
// very figures that the proxies decide with.
func (w *world) calibrations() map[route]schemas.Calibration {
	out := map[route]schemas.Calibration{}
	for i := range w.Parts.Evidence {
		if e := &w.Parts.Evidence[i]; e.Adequacy.Pairs > 0 && e.Scorer == w.scorer() {
			out[route{e.Workload, e.Provider, e.RequestModel, e.Candidate}] = e.Adequacy
		}
	}
	return out
}

// middle is the score in the middle of a bucket.
func (w *world) middle(bucket int) uint16 {
	from := 0
	if bucket > 0 {
		from = int(w.bounds[bucket-1]) + 1
	}
	return uint16((from + int(w.bounds[bucket])) / 2)
}

// adequate is the mean chance of the requests routed up to a bucket that the
// candidate's answer is no worse; nil where the pairs speak of fewer than nearly
// all of them. The interval is that of the levels, as if all were wrong together.
func (w *world) adequate(routed map[route][]uint64, bucket int) *schemas.Interval {
	var all, known, point, lo, hi float64
	for key, by := range routed {
		c, ok := w.expect[key]
		for b := 0; b <= bucket && b < len(by); b++ {
			n := float64(by[b])
			all += n
			if !ok || n == 0 {
				continue
			}
			at := func(level uint16) float64 {
				moved := c
				moved.Level = level
				return n * float64(moved.At(w.middle(b))) / math.MaxUint16
			}
			known, point, lo, hi = known+n, point+at(c.Level), lo+at(c.Lower), hi+at(c.Upper)
		}
	}
	if all == 0 || known < mostly*all {
		return nil
	}
	return &schemas.Interval{Point: point / known, Lo: lo / known, Hi: hi / known, Level: level}
}
