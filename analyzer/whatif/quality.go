package whatif

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/gnomon-llm/gnomon/analyzer/projection"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// route is what one group of requests would move from and to.
type route struct{ workload, provider, model, candidate string }

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

// qualities are what the evaluations say of each route, up to each bucket. Grades without a sampling probability
// speak for nobody but themselves, and are left out, as in verdicts; so are pairs
// of other scores than those in force, and failures that no grader judged: of the
// answers beside them nothing is known, and both their qualities are recorded as 0.
func (w *world) qualities(evals []schemas.Evaluation) map[route]judged {
	all, scorer := map[route][]pair{}, w.scorer()
	for i := range evals {
		e := &evals[i]
		p := e.SamplingProbability
		if e.Grader == "" || e.Scorer != scorer || p == nil || !(*p > 0 && *p <= 1) || e.Outcome == schemas.OutcomeUngraded || !(e.QualityBaseline >= 0 && e.QualityBaseline <= 1 && e.QualityCandidate >= 0 && e.QualityCandidate <= 1) {
			continue
		}
		key := route{e.Workload, e.Provider, e.RequestModel, e.Candidate}
		all[key] = append(all[key], pair{w.bucketOf(e.Score), clusterOf(e), 1 / *p, float64(e.QualityCandidate) - float64(e.QualityBaseline)})
	}
	out := map[route]judged{}
	for key, pairs := range all {
		out[key] = judgedOf(pairs, len(w.bounds))
	}
	return out
}

// scorer is whose scores are in force.
func (w *world) scorer() schemas.Scorer {
	if w.Parts.Model == nil {
		return classifier.Builtin().Scorer()
	}
	return w.Parts.Model.Scorer()
}

// judged is what pairs say of one route, and of which scores.
type judged struct {
	upTo            []estimate // by bucket
	pairs           []int      // in each bucket; the last is beyond all bounds
	lowest, highest int        // buckets with a pair
}

func judgedOf(pairs []pair, buckets int) judged {
	g := judged{upTo: upToEach(pairs, buckets), pairs: make([]int, buckets+1), lowest: buckets}
	for i := range pairs {
		b := min(pairs[i].bucket, buckets)
		g.pairs[b]++
		g.lowest, g.highest = min(g.lowest, b), max(g.highest, b)
	}
	return g
}

// place says what the scores of a bucket have to do with those that were graded.
func (g *judged) place(bucket int) Evidence {
	switch {
	case g.pairs[bucket] > 0:
		return Measured
	case bucket < g.lowest:
		return Assumed
	case bucket < g.highest:
		return Interpolated
	}
	return Nothing
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
		key := route{e.Workload, e.Provider, e.RequestModel, e.Candidate}
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
}

// upToEach estimates, for each bucket, the mean difference of the requests up to
// it: each pair by the inverse of its probability, its spread over sessions. One
// pass over the pairs, and one over the sessions for each bucket.
func upToEach(pairs []pair, buckets int) []estimate {
	slices.SortStableFunc(pairs, func(a, b pair) int { return a.bucket - b.bucket })
	index := map[string]int{}
	var weights, sums []float64 // by session
	sw, swd := 0.0, 0.0
	out := make([]estimate, buckets)
	e, next := estimate{}, 0
	for b := range out {
		for ; next < len(pairs) && pairs[next].bucket <= b; next++ {
			p := &pairs[next]
			i, known := index[p.cluster]
			if !known {
				i = len(sums)
				index[p.cluster] = i
				weights, sums = append(weights, 0), append(sums, 0)
			}
			weights[i] += p.weight
			sums[i] += p.weight * p.diff
			sw, swd = sw+p.weight, swd+p.weight*p.diff
			e.pairs++
		}
		if e.clusters = len(sums); e.clusters > 1 {
			e.mean = swd / sw
			ss := 0.0
			for i, s := range sums {
				r := s - e.mean*weights[i]
				ss += r * r
			}
			m := float64(e.clusters)
			e.se = math.Sqrt(ss*m/(m-1)) / sw
		}
		out[b] = e
	}
	return out
}

// quality fills in what is known of a point: routed are the requests by route
// and bucket, total all of the workload's. Requests at scores without a pair are
// in the mean as if they were like the others, and in the interval as anything
// from all worse to all better: that holds whatever they are.
func (p *Point) quality(routed map[route][]uint64, known map[route]judged, bucket int, total uint64) {
	var mean, variance, unseen float64
	var all uint64
	in := map[Evidence]uint64{}
	df := math.Inf(1)
	for key, by := range routed {
		g, some := known[key]
		var e estimate
		if some && bucket < len(g.upTo) {
			e = g.upTo[bucket]
		}
		n, here := uint64(0), uint64(0)
		for b := 0; b <= bucket && b < len(by); b++ {
			n += by[b]
			if e.clusters >= minClusters {
				place := g.place(b)
				in[place] += by[b]
				if place == Measured {
					here += by[b]
				}
			}
		}
		all += n
		unseen += float64(n-here) / float64(total)
		if n == 0 || e.clusters < minClusters {
			continue
		}
		p.Pairs += e.pairs
		mean += float64(n) / float64(total) * e.mean
		share := float64(here) / float64(total)
		variance += share * share * e.se * e.se
		df = min(df, float64(e.clusters-1))
	}
	if all == 0 {
		p.Quality, p.Evidence, p.Covered = &schemas.Interval{Level: level}, Measured, 1 // nothing moves, nothing changes
		return
	}
	share := func(e Evidence) float64 { return float64(in[e]) / float64(all) }
	p.Covered, p.Between, p.Below = share(Measured), share(Interpolated), share(Assumed)
	switch {
	case p.Covered == 0:
		p.Evidence = Nothing
		return
	case p.Covered >= mostly:
		p.Evidence = Measured
	case p.Covered+p.Between >= mostly:
		p.Evidence = Interpolated
	case p.Covered+p.Between+p.Below >= mostly:
		p.Evidence = Assumed
	default:
		p.Evidence = Partly
		return
	}
	half := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: df}.Quantile((1+level)/2)*math.Sqrt(variance) + unseen
	p.Quality = &schemas.Interval{Point: mean, Lo: max(-1, mean-half), Hi: min(1, mean+half), Level: level}
}

// mostly is the share of the routed requests that makes a point's label.
const mostly = 0.95
