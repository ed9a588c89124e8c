package classifier

import "math"

// grams sums the weights of a turn's distinct words and pairs of neighbours.
// A number counts as a word by how many digits it has; a mark only as a
// neighbour; the end of a line not at all.
type grams struct {
	weights *[Slots]int16
	seen    [Slots / 64]uint64
	before  uint32 // hash of the neighbour
	sum     int64  // in 1/32768
	n       int64
	found   *[]uint32 // where training collects them; nil in a request
}

// word takes a word by its hash.
func (g *grams) word(h uint32) {
	g.take(mix(h))
	g.take(mix(h ^ g.before*0x9e3779b1 + 0x7f4a7c15))
	g.before = h
}

func (g *grams) number(digits int) { g.word(wordSeed ^ uint32(min(digits, 5))) }

func (g *grams) mark(c byte) { g.before = uint32(c) }

func (g *grams) take(slot uint32) {
	if bit := uint64(1) << (slot % 64); g.seen[slot/64]&bit == 0 {
		g.seen[slot/64] |= bit
		g.sum += int64(g.weights[slot])
		g.n++
		if g.found != nil {
			*g.found = append(*g.found, slot)
		}
	}
}

// mix spreads a hash over the slots.
func mix(x uint32) uint32 {
	x ^= x >> 15
	x *= 0x2c1b3c6d
	x ^= x >> 12
	x *= 0x297a2d39
	return (x ^ x>>15) % Slots
}

// gain is the sum's part of the gain in 1/65536: divided by the root of how many
// there are, so that saying the same in more words changes little.
func (g *grams) gain() int64 { return g.sum * gramScale(g.n) >> 19 }

// gramScale is 8/√(n+4) in 1/2^20. The root of IEEE 754 is exact, and the same
// everywhere.
func gramScale(n int64) int64 { return int64(math.Sqrt(float64((int64(1) << 46) / (n + 4)))) }
