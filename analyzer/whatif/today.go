package whatif

import (
	"math"
	"slices"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// todayOf is what the policy in force does: nothing while it observes; else it
// moves the requests of the model that it speaks of, as far as evidence permits.
func (w *world) todayOf(name string, cells []*Cell, index map[time.Time]int, days []time.Time, total uint64) Point {
	p := w.today.PolicyFor(name)
	if p == nil || p.Mode != schemas.ModeCanary && p.Mode != schemas.ModeLive {
		still := Point{Threshold: w.Parts.DraftThreshold, Mode: schemas.ModeObserve}
		if p != nil {
			still.Mode = p.Mode
		}
		still.quality(nil, nil, 0, total)
		return still
	}
	threshold := p.Threshold
	if p.Candidate == "" {
		threshold = w.Parts.DraftThreshold // of the ladder, as Decide has it
	}
	bound, some := highest(threshold)
	bucket, found := slices.BinarySearch(w.bounds, bound)
	if !some || !found {
		return Point{Threshold: threshold, Mode: p.Mode, Evidence: Nothing}
	}
	var unproved, novel uint64
	now := w.point(w.tally(cells, w.today, index, func(c *Cell, candidate string) bool {
		in := w.today.PolicyOn(c.Workload, c.Provider, c.RequestModel)
		switch {
		case in == nil:
			return false // it speaks of another model
		case in.Override:
			return true
		case int(c.Bucket) > bucket:
		case !w.today.Proved(c.Workload, c.Provider, c.RequestModel, candidate):
			unproved += c.Requests
		case c.Novel:
			novel += c.Requests
		default:
			return true
		}
		return false
	}), bucket, total, days)
	const all = 10_000
	now.Threshold, now.Mode, now.Treated = threshold, p.Mode, float64(all-int(p.Control))*float64(p.Share)/all/all
	now.HeldEvidence, now.HeldNovel = unproved, novel
	now.scale(now.Treated)
	return now
}

// scale has only a share of the sessions treated.
func (p *Point) scale(share float64) {
	money := func(n schemas.NanoUSD) schemas.NanoUSD {
		return schemas.NanoUSD(math.Round(float64(n) * share))
	}
	p.Routed = uint64(math.Round(float64(p.Routed) * share))
	p.RoutedShare *= share
	p.SavingMonth, p.SavingWarm = money(p.SavingMonth), money(p.SavingWarm)
	for _, b := range []*schemas.NanoUSD{p.SavingLo, p.SavingHi} {
		if b != nil {
			*b = money(*b)
		}
	}
	if q := p.Quality; q != nil {
		q.Point, q.Lo, q.Hi = q.Point*share, q.Lo*share, q.Hi*share
	}
}
