package training

import (
	"math"
	"slices"

	"github.com/gnomon-llm/gnomon/classifier"
)

// example is a row as the classifier sees it.
type example struct {
	row      *Row
	lexical  [16]int16
	task     classifier.TaskClass
	slots    []uint32
	each     float64 // value of a slot
	target   float64
	adequate bool
	fold     int
}

// examine reads the rows with the classifier's own code.
func examine(rows []Row, o Options) []example {
	out := make([]example, len(rows))
	for i := range rows {
		r := &rows[i]
		f, task, slots, each := classifier.Examine("openai.chat", ChatBody(r.Prompt))
		out[i] = example{row: r, lexical: f.Lexical, task: task, slots: slots, each: each, target: o.target(r), adequate: r.Adequate(), fold: foldOf(r.Group, o.Folds, o.Seed)}
	}
	return out
}

// foldOf deals keys to folds by their hash: neither order nor file matters.
func foldOf(key string, folds int, seed uint64) int {
	h := 14695981039346656037 ^ seed*0x9e3779b97f4a7c15
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return int((h ^ h>>33) % uint64(folds))
}

// layout says which column means what: words, lines, tasks, sources.
type layout struct {
	slot    map[uint32]int // to its column
	order   []uint32       // slot of each word column
	cuts    [16][classifier.MaxCuts]int16
	low     [16]int16
	middle  [16]int16
	high    [16]int16
	sources map[string]int
}

const (
	nBins  = classifier.MaxCuts + 1
	nTasks = int(classifier.TaskTranslation) + 1
)

func (l *layout) lines() int   { return len(l.order) }
func (l *layout) tasks() int   { return l.lines() + 16 }
func (l *layout) bias() int    { return l.tasks() + nTasks }
func (l *layout) source() int  { return l.bias() + 1 }
func (l *layout) columns() int { return l.source() + len(l.sources) }

// leastPrompts is in how many prompts a word or pair has to stand to have a
// weight of its own.
const leastPrompts = 3

// newLayout is learnt from prompts alone, never from grades.
func newLayout(in []example) *layout {
	l := &layout{slot: map[uint32]int{}, sources: map[string]int{}}
	count := make([]int, classifier.Slots)
	for i := range in {
		for _, s := range in[i].slots {
			count[s]++
		}
		if src := in[i].row.Source; !has(l.sources, src) {
			l.sources[src] = len(l.sources)
		}
	}
	for s, n := range count {
		if n >= leastPrompts {
			l.slot[uint32(s)] = len(l.order)
			l.order = append(l.order, uint32(s))
		}
	}
	for j := range l.cuts {
		v := make([]int16, len(in))
		for i := range in {
			v[i] = in[i].lexical[j]
		}
		slices.Sort(v)
		l.low[j], l.middle[j], l.high[j] = v[len(v)/50], v[len(v)/2], v[len(v)-1-len(v)/50]
		var cuts []int16
		for q := range classifier.MaxCuts {
			if c := v[len(v)*(q+1)/nBins]; len(cuts) == 0 || c > cuts[len(cuts)-1] {
				cuts = append(cuts, c)
			}
		}
		for q := range l.cuts[j] {
			l.cuts[j][q] = math.MaxInt16
			if q < len(cuts) {
				l.cuts[j][q] = cuts[q]
			}
		}
	}
	return l
}

func has(m map[string]int, key string) bool { _, ok := m[key]; return ok }

// line is feature j between its bounds, about −1 to 1, 0 at the median.
func (l *layout) line(j int, x int16) float64 {
	return float64(max(l.low[j], min(x, l.high[j]))-l.middle[j]) * l.unit(j)
}

func (l *layout) unit(j int) float64 { return 2 / float64(max(int(l.high[j])-int(l.low[j]), 26)) }

// matrix is the examples under the layout. What tells sources apart goes to
// columns of their own, which are left out of the weights: a source's pair of
// models is no property of its prompts.
func (l *layout) matrix(in []example) *sparse {
	m := &sparse{}
	for i := range in {
		e := &in[i]
		m.begin()
		for _, s := range e.slots {
			if c, ok := l.slot[s]; ok {
				m.put(c, e.each)
			}
		}
		for j, x := range e.lexical {
			if v := l.line(j, x); v != 0 {
				m.put(l.lines()+j, v)
			}
		}
		m.put(l.tasks()+int(e.task), 1)
		m.put(l.bias(), 1)
		if s, ok := l.sources[e.row.Source]; ok {
			m.put(l.source()+s, 1)
		}
	}
	return m
}

// penalties of the columns: words by the one that is chosen inside folds.
func (l *layout) penalties(words float64) []float64 {
	p := make([]float64, l.columns())
	for c := range p {
		switch {
		case c < l.lines():
			p[c] = words
		case c < l.tasks():
			p[c] = 1
		case c < l.bias():
			p[c] = 10
		default:
			p[c] = .01
		}
	}
	return p
}
