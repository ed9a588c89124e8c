package evidence

import (
	"cmp"
	"slices"
	"time"
)

// Thing is what evidence is about: wealth belongs to one thing only, and starts
// anew when any part of it changes.
type Thing struct {
	Baseline, Candidate   string // snapshots that answered
	Prompt                uint64 // template of the system prompt
	Grader, GraderVersion string // the rubric's version included
	Judge                 string
}

// Pair is one graded pair.
type Pair struct {
	ID          string    // orders pairs of one instant
	At          time.Time // graded
	Day         time.Time // midnight UTC of the day of the request
	Cluster     string    // session, user or duplicate group, as recorded
	Request     string
	Thing       Thing
	Probability float64 // with which it was sampled, above 0 and at most 1
	D           float64 // quality of the candidate minus the baseline's
}

// Unit is what one bet is made on: the pairs of one cluster.
type Unit struct {
	At     time.Time
	Day    time.Time
	Thing  Thing
	D      float64 // mean of its pairs
	Weight float64 // mean of 1/Probability
	Pairs  int
}

// Units gathers pairs into units of one bet each, in the order of betting.
// Pairs of one session, user or duplicate prompt share a Cluster, and those of
// one request are one unit whatever their clusters: what is linked by either is
// joined.
//
// A unit is closed at the end of the clock hour (UTC) in which its first pair
// was graded. Pairs of an hour that ends after settled wait (their unit could
// still change after a look at it), and pairs that come to a unit after its bet
// are late: they are counted and not bet on, or a growing session would be bet
// on twice.
func Units(pairs []Pair, settled time.Time) (units []Unit, waiting, late int) {
	sorted := slices.Clone(pairs)
	slices.SortFunc(sorted, func(a, b Pair) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	inherit(sorted)
	j := &joined{index: map[string]int{}}
	for from := 0; from < len(sorted); {
		hour := sorted[from].At.Truncate(time.Hour)
		to := from
		for to < len(sorted) && sorted[to].At.Truncate(time.Hour).Equal(hour) {
			to++
		}
		if hour.Add(time.Hour).After(settled) {
			waiting += to - from
		} else {
			made, behind := j.close(sorted[from:to])
			units, late = append(units, made...), late+behind
		}
		from = to
	}
	return units, waiting, late
}

// inherit gives a pair without a snapshot (its candidate failed and never said
// what it was) the one before it, or the first known.
func inherit(pairs []Pair) {
	for _, field := range []func(*Thing) *string{func(t *Thing) *string { return &t.Baseline }, func(t *Thing) *string { return &t.Candidate }} {
		known := ""
		for i := range pairs {
			if s := *field(&pairs[i].Thing); s != "" {
				known = s
				break
			}
		}
		for i := range pairs {
			if s := field(&pairs[i].Thing); *s == "" {
				*s = known
			} else {
				known = *s
			}
		}
	}
}

// joined is a union-find over clusters and requests that remembers which
// components have been bet on.
type joined struct {
	index  map[string]int
	parent []int
	done   []bool
}

func (j *joined) node(name string) int {
	i, ok := j.index[name]
	if !ok {
		i = len(j.parent)
		j.index[name] = i
		j.parent, j.done = append(j.parent, i), append(j.done, false)
	}
	return i
}

func (j *joined) root(i int) int {
	for j.parent[i] != i {
		j.parent[i] = j.parent[j.parent[i]]
		i = j.parent[i]
	}
	return i
}

func (j *joined) join(a, b int) {
	a, b = j.root(a), j.root(b)
	j.parent[b] = a
	j.done[a] = j.done[a] || j.done[b]
}

// close makes units of the pairs of one hour.
func (j *joined) close(hour []Pair) (units []Unit, late int) {
	nodes := make([]int, len(hour))
	for i, p := range hour {
		nodes[i] = j.node("r" + p.Request)
		if p.Cluster != "" {
			j.join(nodes[i], j.node("c"+p.Cluster))
		}
	}
	at := map[int]int{} // root → index in units
	for i, p := range hour {
		root := j.root(nodes[i])
		if j.done[root] {
			late++
			continue
		}
		k, ok := at[root]
		if !ok {
			k = len(units)
			at[root] = k
			units = append(units, Unit{At: p.At, Day: p.Day, Thing: p.Thing})
		}
		u := &units[k]
		if u.Thing != p.Thing { // a unit is about one thing: what came after the change is left to others
			late++
			continue
		}
		u.Pairs++
		n := float64(u.Pairs)
		u.D += (p.D - u.D) / n
		u.Weight += (1/p.Probability - u.Weight) / n
	}
	for root := range at {
		j.done[root] = true
	}
	return units, late
}

// Weights returns the units' weights, or nil when all are equal.
func Weights(units []Unit) []float64 {
	w := make([]float64, len(units))
	equal := true
	for i, u := range units {
		w[i] = u.Weight
		equal = equal && u.Weight == units[0].Weight
	}
	if equal {
		return nil
	}
	return w
}

// Differences returns the units' D.
func Differences(units []Unit) []float64 {
	d := make([]float64, len(units))
	for i, u := range units {
		d[i] = u.D
	}
	return d
}
