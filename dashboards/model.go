package dashboards

import (
	"context"
	"slices"
	"sort"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gnomon-llm/gnomon/schemas"
)

// observed is how far back pages look.
const observed = 30 * 24 * time.Hour

// workload is one workload as pages and API show it.
type workload struct {
	Workload string            `json:"workload"`
	Mode     schemas.Mode      `json:"mode"`
	Policy   *schemas.Policy   `json:"policy"`   // the accepted one; null while it has none
	Verdicts []schemas.Verdict `json:"verdicts"` // best first
	Total    Traffic           `json:"total"`    // of the window
	First    time.Time         `json:"first"`    // first day with traffic
	Days     []Traffic         `json:"days,omitempty"`
	History  []schemas.Policy  `json:"history,omitempty"` // newest first
}

// Best is the verdict to speak of: the policy's while one is active, else the
// most useful. Nil when there is none.
func (w *workload) Best() *schemas.Verdict {
	if len(w.Verdicts) == 0 {
		return nil
	}
	return &w.Verdicts[0]
}

// Active says that a policy may be routing requests.
func (w *workload) Active() bool { return w.Mode == schemas.ModeCanary || w.Mode == schemas.ModeLive }

// window is the span that pages and API sum over: whole UTC days up to today.
func (s *server) window() (from, to time.Time) {
	to = s.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	return to.Add(-observed), to
}

// workloads reads every workload known by traffic, verdict or policy, the one
// with the most to save first.
func (s *server) workloads(ctx context.Context, project string) ([]*workload, error) {
	ws, err := s.gathered(ctx, project)
	for _, w := range ws {
		w.Days = nil // the list stays small; a workload's own page has its days
	}
	return ws, err
}

// gathered asks for the three parts at once: they are three queries.
func (s *server) gathered(ctx context.Context, project string) ([]*workload, error) {
	from, to := s.window()
	var days []Traffic
	var verdicts []schemas.Verdict
	var policies []schemas.Policy
	g, gctx := errgroup.WithContext(ctx)
	g.Go(safely(func() (err error) { days, err = s.data(ctx).Traffic(gctx, project, from, to); return err }))
	g.Go(safely(func() (err error) { verdicts, err = s.data(ctx).Verdicts(gctx, project); return err }))
	g.Go(safely(func() (err error) { policies, err = s.data(ctx).Policies(gctx, project, ""); return err }))
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return gather(days, verdicts, publicPolicies(policies)), nil
}

// workload reads one workload whole.
func (s *server) workload(ctx context.Context, project, name string) (*workload, error) {
	ws, err := s.gathered(ctx, project)
	if err != nil {
		return nil, err
	}
	name = s.called(project, name)
	// A moment after it was named the store may have it under its own name still.
	before := s.recordedAs(project, name)[1:]
	if slices.ContainsFunc(ws, func(w *workload) bool { return w.Workload == name }) {
		before = nil
	}
	for _, w := range ws {
		if slices.Contains(before, w.Workload) {
			w.Workload = name
		}
		if w.Workload == name {
			history, err := s.data(ctx).Policies(ctx, project, name)
			w.History = publicPolicies(history)
			return w, err
		}
	}
	known := make([]string, len(ws))
	for i, w := range ws {
		known[i] = w.Workload
	}
	return nil, Unknown(project, name, known)
}

// gather joins traffic, verdicts and accepted policies by workload.
func gather(days []Traffic, verdicts []schemas.Verdict, policies []schemas.Policy) []*workload {
	byName := map[string]*workload{}
	get := func(name string) *workload {
		w, ok := byName[name]
		if !ok {
			w = &workload{Workload: name, Mode: schemas.ModeObserve, Verdicts: []schemas.Verdict{}}
			byName[name] = w
		}
		return w
	}
	for _, d := range days {
		w := get(d.Workload)
		w.Days = append(w.Days, d)
		w.Total.add(d)
		if w.First.IsZero() || d.Day.Before(w.First) {
			w.First = d.Day
		}
	}
	for _, p := range policies {
		w := get(p.Workload)
		w.Policy, w.Mode = &p, p.Mode
	}
	for _, v := range verdicts {
		w := get(v.Workload)
		w.Verdicts = append(w.Verdicts, v)
	}
	out := make([]*workload, 0, len(byName))
	for name, w := range byName {
		w.Total.Workload = name
		sort.Slice(w.Days, func(i, j int) bool { return w.Days[i].Day.Before(w.Days[j].Day) })
		w.sortVerdicts()
		out = append(out, w)
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i].saving(), out[j].saving()
		if a != b {
			return a > b
		}
		return out[i].Workload < out[j].Workload
	})
	return out
}

// saving orders workloads: what is not to be had counts for nothing.
func (w *workload) saving() schemas.NanoUSD {
	if v := w.Best(); v != nil && (v.Readiness == schemas.Ready || v.Readiness == schemas.Collecting) {
		return v.Savings.SavingMonth
	}
	return 0
}

func (w *workload) sortVerdicts() {
	rank := func(v *schemas.Verdict) int {
		if w.Active() && w.Policy != nil && v.Candidate == w.Policy.Candidate && (w.Policy.RequestModel == "" || w.Policy.RequestModel == v.RequestModel) {
			return -1
		}
		if v.Readiness == schemas.Ready {
			return 0
		}
		return 1
	}
	sort.SliceStable(w.Verdicts, func(i, j int) bool {
		a, b := &w.Verdicts[i], &w.Verdicts[j]
		if ra, rb := rank(a), rank(b); ra != rb {
			return ra < rb
		}
		// What is not ready yet is told of the candidate that most requests would go
		// to: another word about one that hardly any would reach would hide it.
		if a.Readiness != schemas.Ready && a.Savings.RoutedRequests != b.Savings.RoutedRequests {
			return a.Savings.RoutedRequests > b.Savings.RoutedRequests
		}
		if a.Savings.SavingMonth != b.Savings.SavingMonth {
			return a.Savings.SavingMonth > b.Savings.SavingMonth
		}
		return a.Candidate < b.Candidate
	})
}

func (t *Traffic) add(d Traffic) {
	t.Requests += d.Requests
	t.Failed += d.Failed
	t.Lost += d.Lost
	t.Unpriced += d.Unpriced
	t.Estimated += d.Estimated
	t.WouldRoute += d.WouldRoute
	t.Routed += d.Routed
	t.Fallbacks += d.Fallbacks
	t.Cost += d.Cost
	t.Baseline += d.Baseline
	t.Would += d.Would
	t.RoutedBaseline += d.RoutedBaseline
	t.RoutedCost += d.RoutedCost
}

// saved is a sum of projected savings a month.
type saved struct {
	Workloads int              `json:"workloads"`
	Saving    schemas.NanoUSD  `json:"saving_month"`
	Lo        *schemas.NanoUSD `json:"saving_month_lo"` // null when one of them has no interval yet
	Hi        *schemas.NanoUSD `json:"saving_month_hi"`
	Models    int              `json:"models"` // requested models that add to it
	Told      bool             `json:"-"`      // one of them has an amount: without, zero would be no statement
	open      bool             // one of them has no interval
}

// totals answer the overview's questions.
type totals struct {
	Traffic    Traffic          `json:"traffic"`
	Days       int              `json:"days"`        // observed, with traffic
	SpendMonth *schemas.NanoUSD `json:"spend_month"` // 30 days at the pace of those observed; null below a day
	Ready      saved            `json:"ready"`       // proven, not yet active
	Active     saved            `json:"active"`      // projected for what is activated
	Collecting saved            `json:"collecting"`  // not proven yet
}

// totals sums what workloads hold. Savings of several requested models of a
// workload add up; of several candidates for one model only the best counts.
// Bounds are summed as they are, which is wider than the sum's own interval.
func (s *server) totals(ws []*workload) totals {
	t := totals{}
	first := time.Time{}
	for _, w := range ws {
		t.Traffic.add(w.Total)
		if !w.First.IsZero() && (first.IsZero() || w.First.Before(first)) {
			first = w.First
		}
		groups := map[*saved]bool{}
		seen := map[string]bool{}
		for i := range w.Verdicts {
			v := &w.Verdicts[i]
			if seen[v.RequestModel] {
				continue
			}
			seen[v.RequestModel] = true
			var g *saved
			switch {
			case w.Active() && i == 0:
				g = &t.Active
			case v.Readiness == schemas.Ready:
				g = &t.Ready
			case v.Readiness == schemas.Collecting:
				g = &t.Collecting
			default:
				continue
			}
			g.take(v)
			groups[g] = true
		}
		for g := range groups {
			g.Workloads++
		}
	}
	if !first.IsZero() {
		span := s.Now().Sub(first)
		t.Days = int(span.Hours()/24) + 1
		if span >= 24*time.Hour {
			m := schemas.NanoUSD(float64(t.Traffic.Cost) * (30 * 24) / span.Hours())
			t.SpendMonth = &m
		}
	}
	return t
}

func (g *saved) take(v *schemas.Verdict) {
	g.Models++
	g.Told = g.Told || projected(v)
	g.Saving += v.Savings.SavingMonth
	lo, hi := v.Savings.SavingMonthLo, v.Savings.SavingMonthHi
	if lo == nil || hi == nil || g.open {
		g.Lo, g.Hi, g.open = nil, nil, true
		return
	}
	g.Lo, g.Hi = plus(g.Lo, *lo), plus(g.Hi, *hi)
}

// projected says whether a verdict's amounts rest on a day of spend. Before the
// first whole day they are zero, and say nothing.
func projected(v *schemas.Verdict) bool {
	return v.Savings.BaselineMonth != 0 || v.Savings.SavingMonth != 0
}

func plus(p *schemas.NanoUSD, n schemas.NanoUSD) *schemas.NanoUSD {
	if p != nil {
		n += *p
	}
	return &n
}

// step is one step in the life of a workload.
type step struct {
	Name  string // observed, rehearsed, …
	ID    string
	State string // done, present, todo, ended
	Line  string // where it stands, in a sentence
	// Present: the step that waits for something now.
	Present bool
}

// life tells the five steps of a workload for its foremost verdict.
func life(w *workload) []step {
	steps := []step{{Name: "Observed", ID: "observed"}, {Name: "Rehearsed", ID: "rehearsed"}, {Name: "Proven", ID: "proven"},
		{Name: "Activated", ID: "activated"}, {Name: "Verified", ID: "verified"}}
	v := w.Best()
	present := 0
	switch {
	case w.Mode == schemas.ModeLive:
		present = 4
	case w.Mode == schemas.ModeCanary:
		present = 3
	case v == nil:
		present = 0
	case v.Readiness == schemas.Ready:
		present = 3
	case v.Readiness == schemas.Worse, v.Readiness == schemas.NotWorthwhile:
		present = 2
	case v.Quality.Pairs > 0 && v.DaysObserved >= v.DaysPlanned:
		present = 2
	case v.DaysObserved >= v.DaysPlanned:
		present = 1
	}
	for i := range steps {
		switch {
		case i < present && complete(i, v):
			steps[i].State = "done"
		case i < present: // passed over, by an override
			steps[i].State = "todo"
		case i == present:
			steps[i].State, steps[i].Present = "present", true
		default:
			steps[i].State = "todo"
		}
	}
	fillLines(steps, w, v)
	return steps
}

// complete says whether one of the first three steps was really taken.
func complete(i int, v *schemas.Verdict) bool {
	switch i {
	case 0:
		return v != nil && v.DaysObserved >= v.DaysPlanned
	case 1:
		return v != nil && v.Quality.Pairs > 0
	case 2:
		return v != nil && v.Readiness == schemas.Ready
	}
	return true
}

func fillLines(steps []step, w *workload, v *schemas.Verdict) {
	steps[0].Line = plural(w.Total.Requests, "request", "requests")
	steps[1].Line, steps[2].Line = "no pairs yet", "no verdict yet"
	steps[3].Line, steps[4].Line = "observing only", "not yet"
	if v != nil {
		steps[0].Line = group(v.DaysObserved) + " of " + plural(v.DaysPlanned, "day", "days")
		if v.Quality.Pairs+v.Quality.Ungraded > 0 {
			steps[1].Line = pairs(v.Quality)
		}
		steps[2].Line = glyph(v.Readiness) + " " + string(v.Readiness)
		if v.Readiness == schemas.Worse || v.Readiness == schemas.NotWorthwhile {
			steps[2].State = "ended" // also under an override: what was proven stays proven
		}
	}
	if w.Policy != nil {
		steps[3].Line = string(w.Mode)
		if w.Mode == schemas.ModeCanary {
			steps[3].Line += " " + basis(w.Policy.Share)
		}
	}
	if steps[4].State == "present" {
		steps[4].Line = "held against control"
	}
}

// need is one thing that waits for a person.
type need struct {
	Level string // act, look, wrong
	Text  string
	Link  string
	Label string
}

// needs lists what a person should do today, most urgent first.
func needs(ws []*workload, c Completeness) []need {
	var out []need
	if t := sumLives(c); t.Dropped > 0 {
		out = append(out, need{"wrong", plural(t.Dropped, "event was", "events were") + " dropped: the disk's bound for waiting events was reached. They are counted and declared.", "/health", "Health"})
	}
	for _, w := range ws {
		v := w.Best()
		switch {
		case w.Active() && v != nil && v.Readiness == schemas.Worse:
			out = append(out, need{"wrong", w.Workload + " is routed to " + w.Policy.Candidate + ", which is worse: " + firstReason(v), workloadPath(w.Workload), "Roll back"})
		case w.Active() && w.Policy != nil && w.Policy.Override:
			out = append(out, need{"look", w.Workload + " is active by override: the verdict does not support it.", workloadPath(w.Workload), "Look"})
		case !w.Active() && v != nil && v.Readiness == schemas.Ready:
			out = append(out, need{"act", w.Workload + " is ready: " + money(v.Savings.SavingMonth) + " a month " + bounds(v.Savings.SavingMonthLo, v.Savings.SavingMonthHi) + ", quality " + quality(v) + ".", workloadPath(w.Workload) + "#activated", "Activate"})
		}
		if w.Total.Requests > 0 && w.Total.Unpriced*20 > w.Total.Requests {
			out = append(out, need{"look", percent(float64(w.Total.Unpriced)/float64(w.Total.Requests)) + " of " + w.Workload + "'s requests are unpriced: its spend is larger than shown.", "/requests?workload=" + queryEscape(w.Workload), "Requests"})
		}
	}
	rank := func(n need) int { return slices.Index([]string{"wrong", "act", "look"}, n.Level) }
	sort.SliceStable(out, func(i, j int) bool { return rank(out[i]) < rank(out[j]) })
	return out
}

func firstReason(v *schemas.Verdict) string {
	if len(v.Reasons) == 0 {
		return "quality " + quality(v) + "."
	}
	return strings.TrimSuffix(v.Reasons[0], ".") + "."
}
