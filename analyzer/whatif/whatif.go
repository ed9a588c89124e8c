package whatif

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/projection"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Question is what is asked of the log.
type Question struct {
	Project    string
	From, To   time.Time
	Thresholds []float64 // empty: a grid over all of them
	Workload   string    // empty: all

	// Parts are the ladders to ask about, what models can do, where they are and
	// what they cost; and the policies in force, the draft threshold, the names and
	// the evidence, for today's point; the evidence for what it makes expect of a
	// request, too.
	Parts  classifier.Parts
	Prices *savings.Book
}

// gridSteps cut 0 to 1: the ranges of scores in which a graded pair speaks for the
// requests, and the thresholds where none was named.
const gridSteps = 20

// world is a question with its buckets.
type world struct {
	Question
	thresholds []float64 // ascending, one a bound
	bounds     []uint16  // the highest score that each admits
	asked      map[int]bool
	sizes      []uint32
	would      *classifier.Snapshot // the policy that never ran, at threshold 1
	today      *classifier.Snapshot // what is in force
	lengths    map[route]projection.Length
	known      map[route]judged
	expect     map[route]schemas.Calibration
}

// Ask scores the log again.
func Ask(ctx context.Context, log Log, q Question) (*Result, error) {
	began := time.Now()
	w := newWorld(q)
	cells, err := log.WhatIf(ctx, q.Project, q.From, q.To, w.bounds, w.sizes)
	if err != nil {
		return nil, err
	}
	evals, err := log.Evaluations(ctx, q.Project, q.From, q.To)
	if err != nil {
		return nil, err
	}
	w.known, w.lengths = w.qualities(evals), lengths(evals)
	w.expect = w.calibrations()
	w.snapshots()
	r, err := w.answer(cells)
	if err != nil {
		return nil, err
	}
	r.Elapsed = time.Since(began)
	r.Seconds = r.Elapsed.Seconds()
	return r, nil
}

func newWorld(q Question) *world {
	w := &world{Question: q, asked: map[int]bool{}}
	var grid []float64
	for i := range gridSteps {
		grid = append(grid, float64(i+1)/gridSteps)
	}
	shown := slices.Clone(q.Thresholds)
	if len(shown) == 0 {
		shown = append(slices.Clone(grid), q.Parts.DraftThreshold)
	}
	// The grid is looked at whatever is asked: where pairs were graded is said by it.
	all := append(slices.Clone(shown), grid...)
	for i := range q.Parts.Policies {
		all = append(all, q.Parts.Policies[i].Threshold)
	}
	all = append(all, q.Parts.DraftThreshold)
	byBound := map[uint16]float64{}
	wanted := map[uint16]bool{}
	for i, t := range all {
		bound, some := highest(t)
		if !some {
			continue
		}
		if _, known := byBound[bound]; !known {
			byBound[bound] = t
		}
		wanted[bound] = wanted[bound] || i < len(shown)
	}
	for bound := range byBound {
		w.bounds = append(w.bounds, bound)
	}
	slices.Sort(w.bounds)
	for i, bound := range w.bounds {
		w.thresholds = append(w.thresholds, byBound[bound])
		w.asked[i] = wanted[bound]
	}
	w.sizes = []uint32{4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144, 1_048_576}
	if q.Prices != nil {
		w.sizes = append(w.sizes, q.Prices.Steps()...)
	}
	slices.Sort(w.sizes)
	w.sizes = slices.Compact(w.sizes)
	return w
}

// highest is the highest score that a threshold admits, as the decision has it.
func highest(threshold float64) (uint16, bool) {
	n := classifier.Admits(threshold)
	return uint16(n - 1), n > 0
}

// bucketOf is the first bound that admits a score.
func (w *world) bucketOf(score float32) int {
	n, _ := slices.BinarySearch(w.bounds, uint16(math.Round(float64(score)*math.MaxUint16)))
	return n
}

// snapshots makes the policy that never ran, and the one in force.
func (w *world) snapshots() {
	p := w.Parts
	if w.Prices != nil {
		p.Prices = w.Prices
	}
	w.today = classifier.NewSnapshot(p)
	p.Evidence, p.Policies, p.DraftThreshold = nil, nil, 1
	for key, l := range w.lengths {
		p.Evidence = append(p.Evidence, classifier.Evidence{Workload: key.workload, Provider: key.provider, RequestModel: key.model, Candidate: key.candidate, OutputRatio: l.Ratio})
	}
	w.would = classifier.NewSnapshot(p)
}

// answer sums the cells to frontiers. It is an UnknownError where the log has
// nothing of the workload asked for.
func (w *world) answer(cells []Cell) (*Result, error) {
	r := &Result{Project: w.Project, Workloads: []Frontier{}, TooFew: []TooFew{}, Ladders: []LadderOf{}, Notes: notes}
	for _, l := range w.Parts.Ladders {
		r.Ladders = append(r.Ladders, LadderOf{l.Baseline, l.Candidates})
	}
	by, names := map[string][]*Cell{}, map[string]bool{}
	for i := range cells {
		c := &cells[i]
		r.Requests += c.Requests
		r.Simulated = r.Simulated || c.Simulated
		names[c.Workload] = true
		if w.Workload == "" || c.Workload == w.Workload {
			by[c.Workload] = append(by[c.Workload], c)
		}
	}
	if w.Workload != "" && !names[w.Workload] {
		return nil, &UnknownError{w.Workload, slices.Sorted(maps.Keys(names))}
	}
	days := fullDays(cells, w.From, w.To)
	if len(days) > 0 {
		r.From, r.To = days[0], days[len(days)-1].AddDate(0, 0, 1)
	}
	for name, list := range by {
		if n := requestsOf(list); n < MinRequests {
			r.TooFew = append(r.TooFew, TooFew{name, n})
			continue
		}
		if f := w.frontier(name, list, days); f.Routable > 0 {
			r.Workloads = append(r.Workloads, f)
		}
	}
	slices.SortFunc(r.Workloads, func(a, b Frontier) int {
		if c := b.most() - a.most(); c != 0 {
			return int(min(max(c, -1), 1))
		}
		return strings.Compare(a.Workload, b.Workload)
	})
	slices.SortFunc(r.TooFew, func(a, b TooFew) int { return strings.Compare(a.Workload, b.Workload) })
	return r, nil
}

func requestsOf(cells []*Cell) (n uint64) {
	for _, c := range cells {
		n += c.Requests
	}
	return n
}

// most is the largest saving of a frontier.
func (f *Frontier) most() (n schemas.NanoUSD) {
	for i := range f.Points {
		n = max(n, f.Points[i].SavingMonth)
	}
	return n
}

var notes = []string{
	"A projection for a policy that never ran; no promise. What supports an activation is a verdict.",
	"Amounts are exact sums of recorded tokens at list prices of the day (at noon UTC), times the measured output length where there is one; a sum of many requests is rounded once.",
	"A saving is given for both ends: the candidate's prompt caches cold (holding nothing), and warm (holding what the baseline's did). The report models what they hold for each request, so its figure lies between, less what requests that stay lose by it.",
	"Requested output ceilings are not part of the sums: a request that asks for more than a candidate can give is counted as routable.",
	"Routes no worse is of the routed requests: the calibrated chance that the candidate's answer is no worse, as proxies record it; a forecast.",
	"Quality is over all requests of a workload, from graded pairs weighted by the inverse of their probability, intervals over sessions at 95 %; not safe under peeking.",
	"Requests stand at the scores that were recorded: those that other weights had scored, too. Pairs are of the weights in force alone.",
	"Evidence: \"1,204 pairs\" where 95 % of what is routed has scores with graded pairs (measured); interpolated: some scores lie between those; assumed: below all of them; both stand in the interval as anything from all worse to all better.",
	"Today's point is of the policies in force with their holds. A prompt recorded before there was evidence is taken for a familiar one.",
}

// fullDays are the days that the period and the log hold whole.
func fullDays(cells []Cell, from, to time.Time) []time.Time {
	if len(cells) == 0 {
		return nil
	}
	first, last := cells[0].Day, cells[0].Day
	for i := range cells {
		if d := cells[i].Day; d.Before(first) {
			first = d
		} else if d.After(last) {
			last = d
		}
	}
	// The first and the last day of a log are rarely whole.
	if last.Sub(first) >= 2*24*time.Hour {
		if !first.Equal(from) {
			first = first.AddDate(0, 0, 1)
		}
		if !last.AddDate(0, 0, 1).Equal(to) {
			last = last.AddDate(0, 0, -1)
		}
	}
	var days []time.Time
	for d := first; !d.After(last); d = d.AddDate(0, 0, 1) {
		days = append(days, d)
	}
	return days
}

// tally is what moves under a policy, by bucket of the score.
type tally struct {
	routed      map[route][]uint64
	saved, cold [][]float64 // by bucket, by day, in dollars
	routable    uint64
	candidates  map[string]bool
}

// frontier is one workload under each threshold.
func (w *world) frontier(name string, cells []*Cell, days []time.Time) Frontier {
	f := Frontier{Workload: name, Candidates: []string{}, Points: []Point{}}
	index := map[time.Time]int{}
	for i, d := range days {
		index[d] = i
	}
	base := make([]float64, len(days))
	active := map[time.Time]bool{}
	for _, c := range cells {
		f.Requests += c.Requests
		if !c.Priced {
			f.Unpriced += c.Requests
		}
		if i, ok := index[c.Day]; ok {
			base[i] += c.Baseline.USD()
			active[c.Day] = true
		}
	}
	f.Days = len(active)
	would := w.tally(cells, w.would, index, nil)
	f.Routable = would.routable
	for c := range would.candidates {
		f.Candidates = append(f.Candidates, c)
	}
	slices.Sort(f.Candidates)
	f.BaselineMonth = month(days, base, base).sum
	for i, t := range w.thresholds {
		if w.asked[i] {
			p := w.point(would, i, f.Requests, days)
			p.Threshold, p.Draft = t, t == w.Parts.DraftThreshold
			f.Points = append(f.Points, p)
			f.Method = would.month(days, i).method
		}
	}
	f.Today = w.todayOf(name, cells, index, days, f.Requests)
	beaten(f.Points)
	return f
}

// tally asks the decision about each cell, once: at the lowest score, so that
// the threshold alone is left open. What moves has to be permitted, too; nil
// permits everything.
func (w *world) tally(cells []*Cell, s *classifier.Snapshot, index map[time.Time]int, permit func(c *Cell, candidate string) bool) *tally {
	t := &tally{routed: map[route][]uint64{}, candidates: map[string]bool{}}
	for range w.bounds {
		t.saved, t.cold = append(t.saved, make([]float64, len(index))), append(t.cold, make([]float64, len(index)))
	}
	for _, c := range cells {
		if !c.Priced || c.Failed || c.Lost {
			continue
		}
		in := classifier.Inputs{
			Workload: c.Workload, Provider: c.Provider, RequestModel: c.RequestModel, Dialect: c.Dialect, Operation: c.Operation, Bypassed: c.Bypassed,
			Features: classifier.Features{Gates: c.Gates, PromptTokens: c.Longest}, Hour: uint32(c.Day.Add(12*time.Hour).Unix() / 3600),
		}
		d := classifier.Decide(&in, s)
		provider, model, _ := strings.Cut(d.Route, "/")
		if provider == c.Provider && model == c.RequestModel {
			continue
		}
		saved, cold, ok := w.saving(c, provider, model)
		if !ok || permit != nil && !permit(c, d.Route) {
			continue
		}
		t.routable += c.Requests
		b := int(c.Bucket)
		if b >= len(w.bounds) {
			continue // no threshold asked for admits it
		}
		t.candidates[d.Route] = true
		key := route{c.Workload, c.Provider, c.RequestModel, d.Route}
		if t.routed[key] == nil {
			t.routed[key] = make([]uint64, len(w.bounds))
		}
		t.routed[key][b] += c.Requests
		if i, ok := index[c.Day]; ok {
			t.saved[b][i] += saved.USD()
			t.cold[b][i] += cold.USD()
		}
	}
	return t
}

// saving is what a cell would have cost less at a candidate: with a cache as
// warm as the baseline's, and with an empty one.
func (w *world) saving(c *Cell, provider, model string) (warm, cold schemas.NanoUSD, ok bool) {
	tier, tokens := "", c.Tokens
	if provider == c.Provider {
		tier = c.Tier
	} else {
		tokens.CacheWrite, tokens.CacheWrite1h = 0, 0 // each provider writes by its own rules
	}
	if l, measured := w.lengths[route{c.Workload, c.Provider, c.RequestModel, provider + "/" + model}]; measured {
		tokens.Output = uint64(math.Round(float64(tokens.Output) * l.Ratio))
	}
	at := c.Day.Add(12 * time.Hour)
	price := func(t savings.Tokens) (schemas.NanoUSD, bool) {
		total, _, err := w.Prices.CostOfMany(provider, model, tier, t, c.Longest, at)
		return total, err == nil
	}
	one, ok1 := price(tokens)
	// What the cache held is sent, and where writes are billed written, again.
	if tokens.CacheWrite > 0 {
		tokens.CacheWrite += tokens.CacheRead
	}
	tokens.CacheRead = 0
	other, ok2 := price(tokens)
	return c.Baseline - one, c.Baseline - other, ok1 && ok2
}

// amount is a month's sum with its interval.
type amount struct {
	sum    schemas.NanoUSD
	lo, hi *schemas.NanoUSD
	method string
}

// month projects daily dollars, by the rhythm of x.
func month(days []time.Time, x, rhythm []float64) amount {
	k := len(days) - projection.Usable(len(days))
	m := projection.ProjectMonth(days[k:], rhythm[k:], level)
	a := amount{sum: nano(m.Apply(days[k:], x[k:])), method: m.Method}
	if m.OK {
		lo, hi := nano(m.Sum-m.Half), nano(m.Sum+m.Half)
		a.lo, a.hi = &lo, &hi
	}
	return a
}

func nano(usd float64) schemas.NanoUSD { return schemas.NanoUSD(math.Round(usd * 1e9)) }

// upTo sums the days of all buckets that a threshold admits.
func upTo(by [][]float64, bucket, days int) []float64 {
	x := make([]float64, days)
	for b := 0; b <= bucket; b++ {
		for i, v := range by[b] {
			x[i] += v
		}
	}
	return x
}

func (t *tally) month(days []time.Time, bucket int) amount {
	x := upTo(t.saved, bucket, len(days))
	return month(days, x, x)
}

// point is one threshold over a tally.
func (w *world) point(t *tally, bucket int, total uint64, days []time.Time) Point {
	p := Point{}
	for _, by := range t.routed {
		for b := 0; b <= bucket; b++ {
			p.Routed += by[b]
		}
	}
	p.RoutedShare = float64(p.Routed) / float64(max(total, 1))
	cold, warm := upTo(t.cold, bucket, len(days)), upTo(t.saved, bucket, len(days))
	lesser, greater := month(days, cold, cold), month(days, warm, warm)
	if lesser.sum > greater.sum { // two rhythms
		lesser, greater = greater, lesser
	}
	p.SavingMonth, p.SavingLo = lesser.sum, lesser.lo
	p.SavingWarm, p.SavingHi = greater.sum, greater.hi
	p.quality(t.routed, w.known, bucket, total)
	p.Adequate = w.adequate(t.routed, bucket)
	return p
}

// beaten marks the points that another one of measured quality beats.
func beaten(points []Point) {
	for i := range points {
		p := &points[i]
		for k := range points {
			o := &points[k]
			if k == i || o.Quality == nil || o.Evidence != Measured || o.SavingMonth < p.SavingMonth {
				continue
			}
			worse := p.Quality != nil && o.Quality.Point >= p.Quality.Point
			same := worse && o.SavingMonth == p.SavingMonth && o.Quality.Point == p.Quality.Point
			if worse && (!same || k < i) {
				p.Beaten = true
			}
		}
	}
}

// ParseLadder reads a ladder as a flag gives it:
// provider/model=provider/cheaper,provider/cheapest.
func ParseLadder(s string) (classifier.Ladder, error) {
	baseline, list, ok := strings.Cut(s, "=")
	l := classifier.Ladder{Baseline: strings.TrimSpace(baseline)}
	for c := range strings.SplitSeq(list, ",") {
		l.Candidates = append(l.Candidates, strings.TrimSpace(c))
	}
	for _, name := range append([]string{l.Baseline}, l.Candidates...) {
		provider, model, cut := strings.Cut(name, "/")
		if !ok || !cut || provider == "" || model == "" {
			return l, fmt.Errorf("ladder %q: want provider/model=provider/cheaper,provider/cheapest", s)
		}
	}
	return l, nil
}
