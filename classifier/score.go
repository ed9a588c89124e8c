package classifier

import (
	_ "embed"
	"math"

	"github.com/cespare/xxhash/v2"
)

// score ranks prompts by how much the strong model is needed: a linear
// prediction of the gain P(strong is right) − P(weak is right) from the lexical
// features, spread so that half of the graded prompts lie below 1/2. Integers
// throughout: every machine gives the same.
func score(x *[16]int16) uint16 { return sigmoid(linear(x)) }

// linear returns the prediction in 1/65536: weights are in 1/65536 and features
// in 1/256. Beyond what was seen in training a feature counts as its bound: a
// long document is not ever harder the longer it is.
func linear(x *[16]int16) int64 {
	sum := int64(0)
	for j, w := range weights {
		sum += int64(w) * int64(max(lowest[j], min(x[j], highest[j])))
	}
	return bias + sum>>8
}

// sigmoid returns 65535 / (1 + e^−z), z in 1/65536, from a table with steps of
// 1/8, straight in between (off by 2e-4 at most).
func sigmoid(z int64) uint16 {
	const reach, step = 8 << 16, 1 << 13
	z = max(-reach, min(z, reach))
	i := (z + reach) / step
	if int(i) >= len(sigmoids)-1 {
		return sigmoids[len(sigmoids)-1]
	}
	low, high := int64(sigmoids[i]), int64(sigmoids[i+1])
	return uint16(low + (high-low)*((z+reach)%step)/step)
}

// familiarWords is a Bloom filter of the words that stand in at least eight
// prompts of the graded data: 2^16 bits, two probes.
//
//go:embed familiar_v1.bin
var familiarWords string

const familiarBits = math.MaxUint16 + 1

// familiar says whether a word, by its hash, is one of those; for about 3 words
// in 100 wrongly so.
func familiar(h uint32) bool {
	a, b := h%familiarBits, h>>16
	return familiarWords[a/8]&(1<<(a%8)) != 0 && familiarWords[b/8]&(1<<(b%8)) != 0
}

// modelHash identifies the weights: decisions under others are other decisions.
var modelHash = func() uint64 {
	h := hasher{}
	h.number(uint64(bias))
	for j := range weights {
		for _, n := range []int64{int64(weights[j]), int64(lowest[j]), int64(highest[j])} {
			h.number(uint64(n))
		}
	}
	for _, n := range sigmoids {
		h.number(uint64(n))
	}
	h.text(familiarWords)
	return xxhash.Sum64(h)
}()
