package training

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/classifier"
)

// Options are how weights are fitted.
type Options struct {
	Version  uint32    // stamped on the weights
	Seed     uint64    // of the folds
	Folds    int       // by group, to choose the penalty and to calibrate
	Penalty  []float64 // on words: the one that ranks best across the folds is taken
	Harm     float64   // what a strong answer that is worse counts, against one that is better
	Pairs    map[string][][2]string
	Progress io.Writer // nil = silent
}

// Defaults are the options of the shipped weights. Where a source grades several
// models, the target is the mean over pairs that differ about as the default
// one does: the same prompt, less noise.
func Defaults() Options {
	return Options{
		Version: 2, Seed: 1, Folds: 3, Penalty: []float64{30, 100, 200, 400}, Harm: .5,
		Pairs: map[string][][2]string{
			"mmlu-pro": {
				{"llama-3.1-70b-instruct", "llama-3.1-8b-instruct"},
				{"gemini-1.5-pro-002", "gemini-1.5-flash-002"},
			},
			"llmrouter": {
				{"llama-3.1-nemotron-51b-instruct", "mistral-7b-instruct-v0.3"},
				{"llama-3.3-nemotron-super-49b-v1", "mistral-7b-instruct-v0.3"},
			},
		},
	}
}

// target is what the regression predicts: how much better the strong answer is;
// where it is worse, that counts by Harm, for it says more of the strong model's
// slips than of the prompt.
func (o *Options) target(r *Row) float64 {
	sum, n := 0.0, 0
	for _, p := range o.Pairs[r.Source] {
		strong, ok := r.Scores[p[0]]
		weak, too := r.Scores[p[1]]
		if ok && too {
			sum += o.harmed(strong - weak)
			n++
		}
	}
	if n == 0 {
		return o.harmed(r.Gain())
	}
	return sum / float64(n)
}

func (o *Options) harmed(gain float64) float64 {
	if gain < 0 {
		return float64(gain * o.Harm)
	}
	return gain
}

// SteepestGain bounds what a workload's pairs may make of the score: gain per
// unit of it. Least squares within workloads gave 0 to .45 on rows that a model
// had not seen, .6 to 1.1 on rows that it was fitted on.
const SteepestGain = .4

// ErrRows says that the rows are too few or too much alike to fit anything.
var ErrRows = errors.New("too few graded rows")

// leastRows is how many rows a fit needs at least.
const leastRows = 100

// Train fits weights on the rows: the same rows, options and seed give the same
// bytes, on every machine.
func Train(rows []Row, o Options) (*classifier.Weights, error) {
	if len(rows) < leastRows {
		return nil, fmt.Errorf("%w: %d, of at least %d", ErrRows, len(rows), leastRows)
	}
	in := examine(rows, o)
	var best crossed
	for _, penalty := range o.Penalty {
		c := cross(in, penalty, o.Folds)
		if o.Progress != nil {
			fmt.Fprintf(o.Progress, "penalty %g: APGR %.3f in the mean over sources, cross-validated by group\n", penalty, c.apgr)
		}
		if best.gain == nil || c.apgr > best.apgr {
			best = c
		}
	}
	spread := deviation(best.gain)
	if !(spread > 0) {
		return nil, fmt.Errorf("%w: nothing of the prompts tells a gain", ErrRows)
	}
	l := newLayout(in)
	w := l.weights(fit(l, in, best.penalty), 1/spread)
	w.Version, w.Rows, w.Data = o.Version, uint32(len(rows)), dataHash(rows)
	for i := range best.gain {
		best.gain[i] /= spread
	}
	w.Bias -= int64(math.Round(median(best.gain) * 65536)) // the folds' bias is the same but for noise
	centre := median(best.gain)
	for i := range best.gain {
		best.gain[i] -= centre
	}
	setKnots(w, best.gain, nil)
	l.adequacy(w, in, best.gain, nil)
	familiarise(w, rows)
	return w, nil
}

// crossed is what models said of rows that they had not seen.
type crossed struct {
	gain    []float64
	penalty float64
	apgr    float64
}

// cross fits a model without each fold and asks it of the fold.
func cross(in []example, penalty float64, folds int) crossed {
	c := crossed{gain: make([]float64, len(in)), penalty: penalty}
	var wait sync.WaitGroup
	for fold := range folds {
		wait.Go(func() { // each fold writes its own rows: the order in which they end does not matter
			var seen, unseen []example
			var at []int
			for i := range in {
				if in[i].fold == fold {
					unseen, at = append(unseen, in[i]), append(at, i)
				} else {
					seen = append(seen, in[i])
				}
			}
			if len(seen) == 0 || len(unseen) == 0 {
				return
			}
			l := newLayout(seen)
			b := fit(l, seen, penalty)
			l.forget(b)
			z := make([]float64, len(unseen))
			l.matrix(unseen).times(b, z)
			for k, i := range at {
				c.gain[i] = z[k]
			}
		})
	}
	wait.Wait()
	c.apgr = meanAPGR(in, c.gain)
	return c
}

// meanAPGR is the mean over sources, weighted by the root of their size.
func meanAPGR(in []example, gain []float64) float64 {
	by := map[string][]Scored{}
	var names []string
	for i := range in {
		r := in[i].row
		if by[r.Source] == nil {
			names = append(names, r.Source)
		}
		by[r.Source] = append(by[r.Source], Scored{gain[i], r.StrongScore, r.WeakScore})
	}
	sum, weight := 0.0, 0.0
	for _, name := range names {
		if a := NewCurve(by[name]).APGR(); !math.IsNaN(a) && !math.IsInf(a, 0) {
			root := math.Sqrt(float64(len(by[name])))
			sum += float64(root * a)
			weight += root
		}
	}
	return sum / weight
}

// MeanAPGR is how a model ranks rows: the mean of APGR over sources, weighted by
// the root of their size.
func MeanAPGR(rows []Row, m *classifier.Model) float64 {
	in, gain := make([]example, len(rows)), make([]float64, len(rows))
	for i := range rows {
		_, a := m.Assess("openai.chat", ChatBody(rows[i].Prompt))
		in[i].row, gain[i] = &rows[i], float64(a.Score)
	}
	return meanAPGR(in, gain)
}

func fit(l *layout, in []example, penalty float64) []float64 {
	p := problem{x: l.matrix(in), y: make([]float64, len(in)), penalty: l.penalties(penalty)}
	for i := range in {
		p.y[i] = in[i].target
	}
	return p.ridge()
}

// forget takes out what was learnt of the sources.
func (l *layout) forget(b []float64) { clear(b[l.source():]) }

// weights puts a fit into fixed point.
func (l *layout) weights(b []float64, scale float64) *classifier.Weights {
	w := &classifier.Weights{Magic: classifier.WeightsMagic, Low: l.low, Middle: l.middle, High: l.high, Cuts: l.cuts}
	fixed := func(v float64) int32 { return int32(math.Round(v * scale * 65536)) }
	for c, slot := range l.order {
		w.Words[slot] = int16(max(math.MinInt16, min(math.Round(b[c]*scale*32768), math.MaxInt16)))
	}
	for j := range 16 {
		w.Slope[j] = fixed(b[l.lines()+j] * l.unit(j) * 256)
	}
	for t := range nTasks {
		w.Task[t] = fixed(b[l.tasks()+t])
	}
	w.Bias = int64(fixed(b[l.bias()]))
	return w
}

// setKnots makes the score the share of prompts with less gain, as seen by
// models that had not seen them; of prompts that stand for others, nil for one
// each, by their weight.
func setKnots(w *classifier.Weights, gain, weight []float64) {
	order := make([]int, len(gain))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(gain[a], gain[b]) })
	last := len(w.Knots) - 1
	at := func(k int) int { return (len(order) - 1) * k / last }
	if weight != nil {
		upTo, sum := make([]float64, len(order)), 0.0 // the weight that stands before each
		for i, of := range order {
			upTo[i] = sum
			sum += weight[of]
		}
		at = func(k int) int {
			i, found := slices.BinarySearch(upTo, upTo[len(upTo)-1]*float64(k)/float64(last))
			if !found {
				i--
			}
			return i
		}
	}
	for k := range w.Knots {
		w.Knots[k] = int32(math.Round(gain[order[at(k)]] * 65536))
	}
}

// adequacy fits how likely the cheap answer is no worse: logistic on the gain
// that models saw without the row, and on the features' bins, by which levels
// differ between kinds of prompt.
func (l *layout) adequacy(w *classifier.Weights, in []example, gain, weight []float64) {
	m := &sparse{}
	y := make([]float64, len(in))
	low, high := float64(w.Knots[0])/65536, float64(w.Knots[len(w.Knots)-1])/65536
	for i := range in {
		m.begin()
		m.put(0, 1)
		m.put(1, max(low, min(gain[i], high)))
		for j, x := range in[i].lexical {
			m.put(2+j*nBins+classifier.BinOf(&w.Cuts[j], x), 1)
		}
		if in[i].adequate {
			y[i] = 1
		}
	}
	penalty := make([]float64, 2+16*nBins)
	for c := range penalty {
		penalty[c] = 5
	}
	penalty[0], penalty[1] = .01, .01
	b := (&problem{x: m, y: y, weight: weight, penalty: penalty}).logistic()
	fixed := func(v float64) int32 { return int32(math.Round(v * 65536)) }
	w.AdequateBias, w.AdequateSlope = int64(fixed(b[0])), fixed(b[1])
	for j := range 16 {
		for q := range nBins {
			w.AdequateBins[j][q] = fixed(b[2+j*nBins+q])
		}
	}
}

// familiarPrompts is in how many prompts a word has to stand to be familiar.
const familiarPrompts = 8

// familiarise collects the words that novelty knows.
func familiarise(w *classifier.Weights, rows []Row) {
	seen := map[string]int{}
	for i := range rows {
		once := map[string]bool{}
		for _, word := range strings.FieldsFunc(strings.ToLower(rows[i].Prompt), func(r rune) bool { return r < 'a' || r > 'z' }) {
			if len(word) >= 3 && !once[word] {
				once[word] = true
				seen[word]++
			}
		}
	}
	for word, prompts := range seen {
		if prompts >= familiarPrompts {
			w.Familiarise(word)
		}
	}
}

// dataHash identifies rows in their order, by what training reads of them.
func dataHash(rows []Row) uint64 {
	h := xxhash.New()
	var number [8]byte
	text := func(s string) {
		_, _ = h.Write(binary.LittleEndian.AppendUint64(number[:0], uint64(len(s))))
		_, _ = h.WriteString(s)
	}
	for i := range rows {
		r := &rows[i]
		text(r.Source)
		text(r.Prompt)
		for _, v := range []float64{r.StrongScore, r.WeakScore} {
			_, _ = h.Write(binary.LittleEndian.AppendUint64(number[:0], math.Float64bits(v)))
		}
	}
	return h.Sum64()
}

func median(v []float64) float64 { return slices.Sorted(slices.Values(v))[len(v)/2] }

func deviation(v []float64) float64 {
	mean := 0.0
	for _, x := range v {
		mean += x / float64(len(v))
	}
	sum := 0.0
	for _, x := range v {
		sum += float64((x - mean) * (x - mean))
	}
	return math.Sqrt(sum / float64(len(v)))
}
