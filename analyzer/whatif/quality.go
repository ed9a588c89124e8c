package whatif

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/gnomon-llm/gnomon/analyzer/projection"
	"github.com/gnomon-llm/gnomon/schemas"
)

// route is what one group of requests would move from and to.
type route struct{ workload, model, candidate string }

// pair is one graded pair, as a threshold cuts it.
type pair struct {
	bucket  int
	cluster string
	weight  float64 // inverse sampling probability
	diff    float64 // candidate's quality less the baseline's
}

// minClusters is how many sessions a quality takes: below, nothing is said.
const minClusters = 20

const level = 0.95

// pairsOf sorts the evaluations by route. Grades without a sampling probability
// speak for nobody but themselves, and are left out, as in verdicts.
func (w *world) pairsOf(evals []schemas.Evaluation) map[route][]pair {
	all := map[route][]pair{}
	for i := range evals {
		e := &evals[i]
		p := e.SamplingProbability
		if p == nil || !(*p > 0 && *p <= 1) || e.Outcome == schemas.OutcomeUngraded || !(e.QualityBaseline >= 0 && e.QualityBaseline <= 1 && e.QualityCandidate >= 0 && e.QualityCandidate <= 1) {
			continue
		}
		key := route{e.Workload, e.RequestModel, e.Candidate}
		all[key] = append(all[key], pair{w.bucketOf(e.Score), clusterOf(e), 1 / *p, float64(e.QualityCandidate) - float64(e.QualityBaseline)})
	}
	return all
}

func clusterOf(e *schemas.Evaluation) string {
	if e.Cluster != "" {
		return e.Cluster
	}
	return e.RequestID
}

// lengths measures the candidates' output lengths.
func lengths(evals []schemas.Evaluation) map[route]projection.Length {
	answers := map[route][]projection.Answer{}
	for i := range evals {
		e := &evals[i]
		p := e.SamplingProbability
		whole := e.Outcome == schemas.OutcomeGraded || e.Outcome == schemas.OutcomeUngraded || e.Outcome == schemas.OutcomeTruncated
		if p == nil || !(*p > 0 && *p <= 1) || !whole || e.OutputTokens == 0 || e.BaselineOutputTokens == 0 {
			continue
		}
		key := route{e.Workload, e.RequestModel, e.Candidate}
		answers[key] = append(answers[key], projection.Answer{Cluster: clusterOf(e), Weight: 1 / *p, Baseline: float64(e.BaselineOutputTokens), Candidate: float64(e.OutputTokens)})
	}
	out := map[route]projection.Length{}
	for key, list := range answers {
		if l, ok := projection.OutputLength(list); ok {
			out[key] = l
		}
	}
	return out
}

// estimate is a mean difference with its standard error over clusters.
type estimate struct {
	mean, se float64
	pairs    int
	clusters int
	highest  int // bucket with a pair
}

// meanUpTo estimates the mean difference of the requests that a threshold
// admits: each pair by the inverse of its probability, its spread over sessions.
func meanUpTo(pairs []pair, bucket int) (e estimate) {
	sw, swd := 0.0, 0.0
	for _, p := range pairs {
		if p.bucket <= bucket {
			sw, swd = sw+p.weight, swd+p.weight*p.diff
			e.highest = max(e.highest, p.bucket)
			e.pairs++
		}
	}
	if e.pairs == 0 {
		return e
	}
	e.mean = swd / sw
	index, sums := map[string]int{}, []float64{}
	for _, p := range pairs {
		if p.bucket > bucket {
			continue
		}
		i, ok := index[p.cluster]
		if !ok {
			i = len(sums)
			index[p.cluster] = i
			sums = append(sums, 0)
		}
		sums[i] += p.weight * (p.diff - e.mean)
	}
	e.clusters = len(sums)
	if e.clusters > 1 {
		ss := 0.0
		for _, s := range sums {
			ss += s * s
		}
		m := float64(e.clusters)
		e.se = math.Sqrt(ss*m/(m-1)) / sw
	}
	return e
}

// quality fills in what is known of a point: routed are the requests by route
// and bucket, total all of the workload's.
func (p *Point) quality(routed map[route][]uint64, pairs map[route][]pair, bucket int, total uint64) {
	var mean, variance float64
	var all, covered uint64
	df := math.Inf(1)
	for key, by := range routed {
		e := meanUpTo(pairs[key], bucket)
		n, in := uint64(0), uint64(0)
		for b := 0; b <= bucket && b < len(by); b++ {
			n += by[b]
			if e.clusters >= minClusters && b <= e.highest {
				in += by[b]
			}
		}
		all += n
		if n == 0 || e.clusters < minClusters {
			continue
		}
		p.Pairs += e.pairs
		covered += in
		share := float64(n) / float64(total)
		mean += share * e.mean
		variance += share * share * e.se * e.se
		df = min(df, float64(e.clusters-1))
	}
	if all == 0 {
		p.Quality, p.Evidence, p.Covered = &schemas.Interval{Level: level}, Measured, 1 // nothing moves, nothing changes
		return
	}
	p.Covered = float64(covered) / float64(all)
	switch {
	case covered == 0:
		p.Evidence = Nothing
	case p.Covered < mostly:
		p.Evidence = Partly
	default:
		half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: df}.Quantile((1+level)/2) * math.Sqrt(variance)
		p.Evidence, p.Quality = Measured, &schemas.Interval{Point: mean, Lo: max(-1, mean-half), Hi: min(1, mean+half), Level: level}
	}
}

// mostly is the share of the routed requests that has to lie where pairs were
// graded.
const mostly = 0.95
