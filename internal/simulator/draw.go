package simulator

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/cespare/xxhash/v2"
)

// splitmix is SplitMix64 (Steele, Lea & Flood 2014): a stream per key, and cheap
// to begin, which matters with a stream for every prompt.
type splitmix struct{ state uint64 }

func (s *splitmix) Uint64() uint64 {
	s.state += 0x9e3779b97f4a7c15
	return finish(s.state)
}

func finish(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// mix folds keys into one number; their order matters.
func mix(keys ...uint64) uint64 {
	h := uint64(0x2545f4914f6cdd1d)
	for _, k := range keys {
		h = finish(h ^ (k+0x9e3779b97f4a7c15)*0xd6e8feb86659fd93)
	}
	return h
}

// What a stream is for. Streams of different purposes never share draws.
const (
	forVolume uint64 = iota + 1
	forSessions
	forPrompt
	forAnswer
	forSlip
	forWeather
	forNoise
	forErrors
	forTiming
	forIDs
	forLive
	forText
)

func stream(keys ...uint64) *rand.Rand { return rand.New(&splitmix{mix(keys...)}) }

// unit maps a hash to [0, 1).
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }

// normal maps a hash to a standard normal.
func normal(h uint64) float64 {
	u := (float64(h>>11) + 0.5) / (1 << 53)
	v := unit(finish(h + 0x9e3779b97f4a7c15))
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*v)
}

// lognormal has the given median.
func lognormal(median, sigma, z float64) float64 { return median * math.Exp(sigma*z) }

// poisson draws by inversion for small means and by a rounded normal for large.
func poisson(r *rand.Rand, mean float64) int {
	if mean <= 0 {
		return 0
	}
	if mean > 60 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64())))
	}
	limit, p, n := math.Exp(-mean), r.Float64(), 0
	for p > limit {
		p *= r.Float64()
		n++
	}
	return n
}

func hash(b []byte) uint64 { return xxhash.Sum64(b) }

func hex(h uint64) string { return fmt.Sprintf("%016x", h) }
