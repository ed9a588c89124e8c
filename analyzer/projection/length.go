package projection

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Answer is the length of both models' answers to one request.
type Answer struct {
	Cluster             string
	Weight              float64 // inverse sampling probability
	Baseline, Candidate float64 // output tokens
}

// Length is the candidate's output tokens per baseline's.
type Length struct {
	Ratio    float64
	SE       float64
	Clusters int
}

// MinClusters is how many sessions a measured output length takes.
const MinClusters = 20

// OutputLength estimates the ratio of total lengths, Σwy/Σwx, with a standard
// error over clusters (sessions), since the answers of one resemble each other.
// ok is false when there are fewer than MinClusters.
func OutputLength(answers []Answer) (l Length, ok bool) {
	sx, sy := 0.0, 0.0
	for _, a := range answers {
		sx += a.Weight * a.Baseline
		sy += a.Weight * a.Candidate
	}
	index, clusters := map[string]int{}, []float64{}
	for _, a := range answers {
		i, known := index[a.Cluster]
		if !known {
			i = len(clusters)
			index[a.Cluster], clusters = i, append(clusters, 0)
		}
		clusters[i] += a.Weight * (a.Candidate - sy/sx*a.Baseline)
	}
	g := float64(len(clusters))
	if sx <= 0 || len(clusters) < MinClusters {
		return Length{Ratio: 1, Clusters: len(clusters)}, false
	}
	ss := 0.0
	for _, e := range clusters {
		ss += e * e
	}
	return Length{Ratio: sy / sx, SE: math.Sqrt(g/(g-1)*ss) / sx, Clusters: len(clusters)}, true
}

// Half is the half-width of the ratio's interval at level.
func (l Length) Half(level float64) float64 {
	return distuv.UnitNormal.Quantile((1+level)/2) * l.SE
}

// Join combines half-widths of independent sources.
func Join(halves ...float64) float64 {
	ss := 0.0
	for _, h := range halves {
		ss += h * h
	}
	return math.Sqrt(ss)
}
