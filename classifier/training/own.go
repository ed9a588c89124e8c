package training

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/analyzer/calibration"
	"github.com/gnomon-llm/gnomon/classifier"
)

// Pair is a graded pair as the store has it: features and score, never the
// prompt.
type Pair struct {
	Workload, RequestModel, Candidate string
	Cluster                           string  // of pairs that are not independent; empty: of those of the same prompt
	Probability                       float64 // with which it was sampled; 0 = unknown, taken as 1
	Baseline, Cheap                   float64 // what the answers were worth, 0 to 1
	Features                          classifier.Features
	Assessment                        classifier.Assessment
}

// cell is what shares a level: the workload and the two models.
func (p *Pair) cell() string { return p.Workload + "\x00" + p.RequestModel + "\x00" + p.Candidate }

// cluster is what folds and intervals take as one.
func (p *Pair) cluster() string {
	if p.Cluster == "" {
		return fmt.Sprintf("prompt\x00%016x", p.Features.PromptHash)
	}
	return p.Cluster
}

// Compared is how one way to predict does on pairs that it had not seen, each
// weighed by the inverse of its probability: figures are of the traffic, not of
// what was picked from it.
type Compared struct {
	Within float64 // chance that a pair whose cheap answer was worse ranks above one of the same workload and models whose was not; ties by half
	All    float64 // the same over all pairs
	Error  float64 // mean squared, of the gain; NaN where none is predicted
}

// Comparison says whether weights fitted to a team's own pairs are better than
// those in force.
type Comparison struct {
	Pairs, Cells, Clusters     int
	InForce, Levelled, Anew    Compared
	Better, BetterLo, BetterHi float64 // Anew.Within − InForce.Within, and its 95 % interval over clusters
	Slope, Penalty             float64 // of the final fit: what the score in force counts; on the rest
}

// Refit fits slope, shape and task of the weights in force to graded pairs, of
// which the words are not known: they keep their weights, times the slope. Each
// cell's level is fitted beside and thrown away: what a pair of models differs by
// is no property of prompts, and verdicts measure it.
//
// All figures are of pairs, in folds by cluster, that the fit had not seen; the
// penalty is chosen inside the folds. Every pair has to have been assessed by base.
func Refit(pairs []Pair, base *classifier.Model, o Options) (*Comparison, *classifier.Weights, error) {
	if len(pairs) < leastRows {
		return nil, nil, fmt.Errorf("%w: %d graded pairs, of at least %d", ErrRows, len(pairs), leastRows)
	}
	r := newRefitting(pairs, base, o)
	c := &Comparison{Pairs: len(pairs), Cells: len(r.cells), Clusters: r.clusters()}
	inForce, levelled := make([]float64, len(pairs)), make([]float64, len(pairs))
	anew, gain := make([]float64, len(pairs)), make([]float64, len(pairs))
	for fold := range ownFolds {
		seen, unseen := r.parted(r.everything(), fold, o.Seed)
		if len(seen) == 0 || len(unseen) == 0 {
			return nil, nil, fmt.Errorf("%w: all pairs are of %d clusters", ErrRows, c.Clusters)
		}
		b := r.fit(seen, r.choose(seen, o.Seed))
		m := calibration.Fit(r.observations(seen), SteepestGain)
		for _, i := range unseen {
			gain[i] = r.gain(b, i)
			anew[i] = gain[i] + b[r.level(i)]
			inForce[i] = r.inForce[i]
			levelled[i] = m.Predict(pairs[i].cell(), float64(pairs[i].Assessment.Score)/65535)
		}
	}
	c.InForce = r.compared(inForce, math.NaN())
	c.Levelled, c.Anew = r.compared(levelled, 0), r.compared(anew, 0)
	c.Better = c.Anew.Within - c.InForce.Within
	c.BetterLo, c.BetterHi = r.interval(inForce, anew)
	c.Penalty = r.choose(r.everything(), o.Seed)
	b := r.fit(r.everything(), c.Penalty)
	c.Slope = b[0]
	w, err := r.weights(b, gain)
	return c, w, err
}

// ownFolds is how many folds the pairs are dealt to, and inside them again.
const ownFolds = 5

// ownPenalties are tried on shape and task: the last leaves the weights in force
// but for their slope.
var ownPenalties = []float64{10, 100, 1000, 1e9}

// refitting holds pairs as columns: the gain by the weights in force, sixteen
// lines, the tasks, the cells.
type refitting struct {
	pairs   []Pair
	base    *classifier.Model
	lines   layout // between the bounds of the weights in force
	inForce []float64
	target  []float64
	weight  []float64 // of mean 1
	cells   map[string]int
}

const shapeColumns = 1 + 16 + nTasks // before the cells

func newRefitting(pairs []Pair, base *classifier.Model, o Options) *refitting {
	w := base.Weights()
	r := &refitting{pairs: pairs, base: base, lines: layout{low: w.Low, middle: w.Middle, high: w.High}, cells: map[string]int{}}
	sum := 0.0
	for i := range pairs {
		p := &pairs[i]
		if c := p.cell(); !has(r.cells, c) {
			r.cells[c] = len(r.cells)
		}
		r.inForce = append(r.inForce, base.Gain(&p.Assessment))
		r.target = append(r.target, o.harmed(p.Baseline-p.Cheap))
		weight := 1.0
		if p.Probability > 0 {
			weight = 1 / p.Probability
		}
		r.weight = append(r.weight, weight)
		sum += weight
	}
	for i := range r.weight {
		r.weight[i] *= float64(len(pairs)) / sum
	}
	return r
}

func (r *refitting) everything() []int {
	all := make([]int, len(r.pairs))
	for i := range all {
		all[i] = i
	}
	return all
}

func (r *refitting) clusters() int {
	seen := map[string]bool{}
	for i := range r.pairs {
		seen[r.pairs[i].cluster()] = true
	}
	return len(seen)
}

// parted deals rows to those that a fold may see and those that it is asked of.
func (r *refitting) parted(rows []int, fold int, seed uint64) (seen, unseen []int) {
	for _, i := range rows {
		if foldOf(r.pairs[i].cluster(), ownFolds, seed) == fold {
			unseen = append(unseen, i)
		} else {
			seen = append(seen, i)
		}
	}
	return seen, unseen
}

func (r *refitting) level(i int) int { return shapeColumns + r.cells[r.pairs[i].cell()] }

// shape calls put for every column but the level.
func (r *refitting) shape(i int, put func(col int, v float64)) {
	put(0, r.inForce[i])
	for j, x := range r.pairs[i].Features.Lexical {
		if v := r.lines.line(j, x); v != 0 {
			put(1+j, v)
		}
	}
	if t := int(r.pairs[i].Assessment.Task); t < nTasks {
		put(17+t, 1)
	}
}

func (r *refitting) gain(b []float64, i int) (sum float64) {
	r.shape(i, func(col int, v float64) { sum += float64(b[col] * v) })
	return sum
}

// fit is a ridge regression of the gain, weighted by how the pairs were sampled.
func (r *refitting) fit(rows []int, penalty float64) []float64 {
	p := problem{x: &sparse{}, penalty: make([]float64, shapeColumns+len(r.cells))}
	for _, i := range rows {
		p.x.begin()
		r.shape(i, p.x.put)
		p.x.put(r.level(i), 1)
		p.y, p.weight = append(p.y, r.target[i]), append(p.weight, r.weight[i])
	}
	for c := range p.penalty {
		p.penalty[c] = penalty
		if c == 0 || c >= shapeColumns {
			p.penalty[c] = 1
		}
	}
	b := p.ridge()
	if b[0] < 0 { // a score that ranks the wrong way round is left out, not turned round
		p.penalty[0] = 1e12
		b = p.ridge()
		b[0] = 0
	}
	return b
}

// choose returns the penalty of least squared error across folds of the rows.
func (r *refitting) choose(rows []int, seed uint64) float64 {
	best, least := 0.0, math.Inf(1)
	for _, penalty := range slices.Backward(ownPenalties) { // the most cautious of equals
		sum := 0.0
		for fold := range ownFolds {
			seen, unseen := r.parted(rows, fold, seed+1)
			if len(seen) == 0 {
				continue
			}
			b := r.fit(seen, penalty)
			for _, i := range unseen {
				off := r.target[i] - r.gain(b, i) - b[r.level(i)]
				sum += r.weight[i] * off * off
			}
		}
		if sum < least {
			best, least = penalty, sum
		}
	}
	return best
}

func (r *refitting) observations(rows []int) (out []calibration.Observation) {
	for _, i := range rows {
		p := &r.pairs[i]
		out = append(out, calibration.Observation{Workload: p.cell(), Prior: float64(p.Assessment.Score) / 65535, Outcome: r.target[i], Weight: r.weight[i], Cluster: p.cluster()})
	}
	return out
}

// compared measures predictions; predicted is NaN where they are no gains.
func (r *refitting) compared(said []float64, predicted float64) (c Compared) {
	c.Within, c.Error = r.within(said, r.everything()), predicted
	c.All, _ = auc(r, said, r.everything())
	sum := 0.0
	for i := range said {
		sum += r.weight[i]
		c.Error += r.weight[i] * (r.target[i] - said[i]) * (r.target[i] - said[i])
	}
	c.Error /= sum
	return c
}

// auc is the AUC of rows, and the weight of the comparisons it rests on.
func auc(r *refitting, said []float64, rows []int) (area, comparisons float64) {
	order := slices.Clone(rows)
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(said[a], said[b]), cmp.Compare(a, b)) })
	var below, worse, above float64 // weights: of answers no worse that rank lower; of all that are worse
	for i := 0; i < len(order); {
		var here, bad float64
		j := i
		for ; j < len(order) && said[order[j]] == said[order[i]]; j++ {
			if k := order[j]; r.pairs[k].Baseline > r.pairs[k].Cheap {
				bad += r.weight[k]
			} else {
				here += r.weight[k]
			}
		}
		above += bad * (below + here/2)
		below, worse, i = below+here, worse+bad, j
	}
	return above / (worse * below), worse * below
}

// within is the AUC inside cells, each by the comparisons it holds.
func (r *refitting) within(said []float64, rows []int) float64 {
	by := make([][]int, len(r.cells))
	for _, i := range rows {
		c := r.cells[r.pairs[i].cell()]
		by[c] = append(by[c], i)
	}
	sum, weight := 0.0, 0.0
	for _, of := range by {
		if area, n := auc(r, said, of); n > 0 {
			sum += n * area
			weight += n
		}
	}
	return sum / weight
}

// dealer draws by arithmetic: the same draws everywhere.
type dealer struct{ state uint64 }

func (d *dealer) below(n int) int { // a linear congruential generator, of which the high bits are good
	d.state = d.state*6364136223846793005 + 1442695040888963407
	return int(d.state >> 33 % uint64(n))
}

// redraws is how often clusters are drawn anew for an interval.
const redraws = 400

// interval is the 95 % interval of how much b ranks better than a inside cells:
// percentiles over clusters drawn with replacement, the same ones for both.
func (r *refitting) interval(a, b []float64) (low, high float64) {
	at := map[string]int{}
	var clusters [][]int
	for i := range r.pairs {
		name := r.pairs[i].cluster()
		k, known := at[name]
		if !known {
			k = len(clusters)
			at[name], clusters = k, append(clusters, nil)
		}
		clusters[k] = append(clusters[k], i)
	}
	d := dealer{2026}
	var better []float64
	for range redraws {
		var rows []int
		for range clusters {
			rows = append(rows, clusters[d.below(len(clusters))]...)
		}
		if v := r.within(b, rows) - r.within(a, rows); !math.IsNaN(v) {
			better = append(better, v)
		}
	}
	if len(better) < redraws/2 {
		return math.Inf(-1), math.Inf(1)
	}
	slices.Sort(better)
	return better[len(better)/40], better[len(better)-1-len(better)/40]
}

// weights puts the fit into a file: what was in force times the slope, and the
// shape beside it. gain is what folds said of pairs that they had not seen.
func (r *refitting) weights(b, gain []float64) (*classifier.Weights, error) {
	spread := deviation(gain)
	if !(spread > 1e-6) {
		return nil, fmt.Errorf("%w: nothing that is recorded of the prompts tells a gain", ErrRows)
	}
	w := *r.base.Weights()
	scale := b[0] / spread
	fixed := func(v float64) int32 { return int32(math.Round(max(math.MinInt32, min(v, math.MaxInt32)))) }
	for s, v := range w.Words {
		w.Words[s] = int16(max(math.MinInt16, min(math.Round(float64(v)*scale), math.MaxInt16)))
	}
	for j := range w.Slope {
		w.Slope[j] = fixed(float64(w.Slope[j])*scale + b[1+j]*r.lines.unit(j)/spread*65536*256)
	}
	for t := range w.Task {
		w.Task[t] = fixed(float64(w.Task[t])*scale + b[17+t]/spread*65536)
	}
	centre := median(gain) / spread
	w.Bias = int64(math.Round(float64(w.Bias)*scale - centre*65536))
	scaled := make([]float64, len(gain))
	in := make([]example, len(gain))
	for i := range gain {
		scaled[i] = gain[i]/spread - centre
		in[i] = example{lexical: r.pairs[i].Features.Lexical, adequate: r.pairs[i].Cheap >= r.pairs[i].Baseline}
	}
	setKnots(&w, scaled, r.weight)
	(&layout{}).adequacy(&w, in, scaled, r.weight)
	w.Rows, w.Data = uint32(len(r.pairs)), pairsHash(r.pairs)
	return &w, nil
}

// pairsHash identifies pairs in any order.
func pairsHash(pairs []Pair) (sum uint64) {
	for i := range pairs {
		p := &pairs[i]
		in := classifier.Inputs{Workload: p.cell(), Features: p.Features, Assessment: p.Assessment}
		b := in.AppendBinary(nil)
		for _, v := range []float64{p.Baseline, p.Cheap, p.Probability} {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		sum += xxhash.Sum64(b)
	}
	return sum
}

// SortPairs brings pairs into an order that does not depend on where they came
// from: sums of floats depend on it.
func SortPairs(pairs []Pair) {
	slices.SortStableFunc(pairs, func(a, b Pair) int {
		return cmp.Or(cmp.Compare(a.cell(), b.cell()), cmp.Compare(a.cluster(), b.cluster()), cmp.Compare(a.Features.PromptHash, b.Features.PromptHash), cmp.Compare(a.Baseline-a.Cheap, b.Baseline-b.Cheap))
	})
}
