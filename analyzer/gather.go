package analyzer

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// key names what a verdict is about.
type key struct{ workload, provider, model, candidate string }

func (k key) String() string {
	return k.workload + "\x00" + k.provider + "\x00" + k.model + "\x00" + k.candidate
}

func (k key) base() string { return k.provider + "/" + k.model }

func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.workload, o.workload), cmp.Compare(k.provider, o.provider), cmp.Compare(k.model, o.model), cmp.Compare(k.candidate, o.candidate))
}

// model is what is observed of one baseline in one workload, over all routes.
type model struct {
	days     map[time.Time]*tally
	rejected []RejectCount
}

// tally sums the cells of a day.
type tally struct {
	requests, unpriced, estimated, lost uint64
	baseline                            schemas.NanoUSD
	simulated                           bool
	// stay is what requests that stay at the baseline would cost more, for a
	// cache that their routed neighbours no longer warm.
	stay   schemas.NanoUSD
	routes map[string]*Cell // by candidate
}

// observed is everything read of a project.
type observed struct {
	period Period
	// members are the discovered workloads that go by a name.
	members map[string][]Member
	hours   map[time.Time]int // covered, by day; nil: unknown
	today   time.Time         // not complete yet
	models  map[key]*model    // candidate empty
	evals   map[key][]*schemas.Evaluation
	inputs  map[string][]byte // of graded requests, by id
	keys    []key
}

const day = 24 * time.Hour

func midnight(t time.Time) time.Time { return t.UTC().Truncate(day) }

// read gathers what the log holds.
func read(ctx context.Context, log Log, project string, s Settings, now time.Time) (*observed, error) {
	period, err := log.Period(ctx, project)
	if err != nil {
		return nil, fmt.Errorf("read the observation period of %s: %w", project, err)
	}
	o := newObserved(period, now)
	// First: evidence of a set that has changed since is held by the proxies, and of
	// one that changes between the readings nothing is claimed.
	if o.members, err = log.Members(ctx, project); err != nil {
		return nil, fmt.Errorf("read what the workloads of %s are called: %w", project, err)
	}
	from, to := midnight(now.Add(-s.Lookback)), now.UTC()
	cells, err := log.Cells(ctx, project, from, to)
	if err != nil {
		return nil, fmt.Errorf("read the traffic of %s: %w", project, err)
	}
	evaluations, err := log.Evaluations(ctx, project, from, to)
	if err != nil {
		return nil, fmt.Errorf("read the evaluations of %s: %w", project, err)
	}
	rejects, err := log.Rejects(ctx, project, from, to)
	if err != nil {
		return nil, fmt.Errorf("read why requests of %s were not routed: %w", project, err)
	}
	if o.inputs, err = log.InputsOfGraded(ctx, project, from, to); err != nil {
		return nil, fmt.Errorf("read what the graded requests of %s look like: %w", project, err)
	}
	for i := range cells {
		o.addCell(&cells[i])
	}
	for _, r := range rejects {
		k := key{r.Workload, r.Provider, r.RequestModel, ""}
		if m := o.models[k]; m != nil {
			m.rejected = append(m.rejected, r)
		}
	}
	o.findKeys()
	o.addEvaluations(evaluations)
	return o, nil
}

func newObserved(period Period, now time.Time) *observed {
	o := &observed{period: period, today: midnight(now), models: map[key]*model{}, evals: map[key][]*schemas.Evaluation{}}
	if len(period.Days) > 0 {
		o.hours = map[time.Time]int{}
		for _, d := range period.Days {
			o.hours[midnight(d.Day)] = d.Hours
		}
	}
	return o
}

func (o *observed) addCell(c *Cell) {
	k := key{c.Workload, c.Provider, c.RequestModel, ""}
	m := o.models[k]
	if m == nil {
		m = &model{days: map[time.Time]*tally{}}
		o.models[k] = m
	}
	m.add(c)
}

func (m *model) add(c *Cell) {
	d := midnight(c.Day)
	t := m.days[d]
	if t == nil {
		t = &tally{routes: map[string]*Cell{}}
		m.days[d] = t
	}
	t.requests += c.Requests
	t.unpriced += c.Unpriced
	t.estimated += c.Estimated
	t.lost += c.Lost
	t.baseline += c.Baseline
	t.simulated = t.simulated || c.Simulated
	if c.WouldRoute == c.Base() || c.WouldRoute == "" {
		t.stay += c.Would - c.Baseline
		return
	}
	r := t.routes[c.WouldRoute]
	if r == nil {
		r = &Cell{}
		t.routes[c.WouldRoute] = r
	}
	r.Requests += c.Requests
	r.Baseline += c.Baseline
	r.Would += c.Would
	r.WouldOutput += c.WouldOutput
	r.Estimated += c.Estimated
}

// findKeys lists what gets a verdict: every candidate that a request would have
// gone to, and the first of a ladder when none did.
func (o *observed) findKeys() {
	seen := map[key]bool{}
	for k, m := range o.models {
		found := false
		for _, t := range m.days {
			for candidate := range t.routes {
				k.candidate, found = candidate, true
				seen[k] = true
			}
		}
		if found {
			continue
		}
		for _, r := range m.rejected {
			if r.Rank == 0 && r.Candidate != "" {
				k.candidate = r.Candidate
				seen[k] = true
			}
		}
	}
	for k := range seen {
		o.keys = append(o.keys, k)
	}
	slices.SortFunc(o.keys, key.compare)
}

// addEvaluations files evaluations under the keys they speak of. One whose
// baseline's provider nobody knows (a record of before it was one, whose request
// is gone) is filed where only one provider serves the model, else nowhere.
func (o *observed) addEvaluations(all []schemas.Evaluation) {
	type name struct{ workload, model string }
	byName, only := map[name][]key{}, map[name]string{}
	for _, k := range o.keys {
		n := name{k.workload, k.model}
		if len(byName[n]) == 0 {
			only[n] = k.provider
		} else if only[n] != k.provider {
			only[n] = ""
		}
		byName[n] = append(byName[n], k)
	}
	for i := range all {
		e := &all[i]
		n := name{e.Workload, e.RequestModel}
		for _, k := range byName[n] {
			if cmp.Or(e.Provider, only[n]) == k.provider && (e.Candidate == k.candidate || e.Candidate == k.base()) {
				o.evals[k] = append(o.evals[k], e)
			}
		}
	}
}

// complete reports whether a day is over and was covered.
func (o *observed) complete(d time.Time) bool {
	if !d.Before(o.today) {
		return false
	}
	if o.hours == nil {
		return !d.Equal(midnight(o.period.First)) || o.period.First.Sub(d) < (24-fullHours+1)*time.Hour
	}
	return o.hours[d] >= fullHours
}

// fullHours is how much of a day must have been covered for it to count.
const fullHours = 22

// days returns the complete days from the model's first with traffic, and how
// many past ones were left out for not being covered. A covered day without
// traffic is a day: nothing was spent on it.
func (o *observed) days(m *model) (days []time.Time, left int) {
	first := o.today
	for d := range m.days {
		if d.Before(first) {
			first = d
		}
	}
	for d := first; d.Before(o.today); d = d.Add(day) {
		if o.complete(d) {
			days = append(days, d)
		} else {
			left++
		}
	}
	return days, left
}

// coverage is the share of hours in which a proxy was there to see, from the
// first day observed to the last complete one.
func (o *observed) coverage() float64 {
	if o.hours == nil || o.period.First.IsZero() {
		return 1
	}
	first, sum, n := midnight(o.period.First), 0, 0
	for d := first; d.Before(o.today); d = d.Add(day) {
		full := 24
		if d.Equal(first) {
			full = 24 - o.period.First.UTC().Hour()
		}
		n += full
		sum += min(full, o.hours[d])
	}
	if n == 0 {
		return 1
	}
	return float64(sum) / float64(n)
}
