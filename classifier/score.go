package classifier

import (
	"math"
	"slices"
)

// score is the share of the graded prompts that needed the strong model less,
// by the predicted gain, in 1/65535. Integers throughout: every machine gives
// the same.
func (m *Model) score(f *Features, task TaskClass, g *grams) uint16 {
	return m.rank(m.shape(f, task) + g.gain())
}

// shape is the gain that the features and the task class predict, in 1/65536.
// Beyond what was seen in training a feature counts as its bound: a long
// document is not ever harder the longer it is.
func (m *Model) shape(f *Features, task TaskClass) int64 {
	sum := m.w.Bias
	if int(task) < len(m.w.Task) {
		sum += int64(m.w.Task[task])
	}
	for j, x := range f.Lexical {
		sum += m.feature(j, x)
	}
	return sum
}

func (m *Model) feature(j int, x int16) int64 {
	w := m.w
	return int64(w.Slope[j]) * int64(max(w.Low[j], min(x, w.High[j]))-w.Middle[j]) >> 8
}

// BinOf is how many cuts are at or below x.
func BinOf(cuts *[MaxCuts]int16, x int16) (b int) {
	for _, c := range cuts {
		if x < c || c == math.MaxInt16 {
			break
		}
		b++
	}
	return b
}

// rank turns a gain into a score: straight between the knots.
func (m *Model) rank(gain int64) uint16 {
	k := &m.w.Knots
	if gain >= int64(k[knots]) {
		return math.MaxUint16
	}
	if gain < int64(k[0]) {
		return 0
	}
	i, found := slices.BinarySearch(k[:], int32(gain))
	if found {
		for i < knots && k[i+1] == k[i] {
			i++
		}
	} else {
		i--
	}
	low, high := int64(k[i]), int64(k[i+1])
	return uint16((int64(i)*math.MaxUint16 + (gain-low)*math.MaxUint16/max(high-low, 1)) / knots)
}

// unrank is the gain that has a score, within the knots.
func (m *Model) unrank(score uint16) int64 {
	at := int64(score) * knots
	i := min(at/math.MaxUint16, knots-1)
	low, high := int64(m.w.Knots[i]), int64(m.w.Knots[i+1])
	return low + (high-low)*(at-i*math.MaxUint16)/math.MaxUint16
}

// Gain is what the model predicted that the strong answer is worth more, for a
// score: in standard deviations of the graded prompts, within the knots.
func (m *Model) Gain(a *Assessment) float64 { return float64(m.unrank(a.Score)) / 65536 }

// Adequate is the probability, from 0 to 1, that the cheaper model's answer is
// no worse than the strong one's, for a pair of models that differ as those of
// the graded data do and a workload like theirs. It opens no gate: of a new
// workload only its own graded pairs are evidence.
func (m *Model) Adequate(f *Features, a *Assessment) float64 {
	w := m.w
	odds := w.AdequateBias + int64(w.AdequateSlope)*m.unrank(a.Score)>>16
	for j, x := range f.Lexical {
		odds += int64(w.AdequateBins[j][BinOf(&w.Cuts[j], x)])
	}
	return 1 / (1 + math.Exp(-float64(odds)/65536))
}

// familiar says whether a word, by its hash, is among those that novelty knows;
// for about 3 words in 100 wrongly so.
func (m *Model) familiar(h uint32) bool {
	a, b := h%(8*wordBytes), h>>16
	return m.w.Familiar[a/8]&(1<<(a%8)) != 0 && m.w.Familiar[b/8]&(1<<(b%8)) != 0
}

// Familiarise puts a word of ASCII letters into the filter of familiar words.
func (w *Weights) Familiarise(word string) {
	h := wordHash(word)
	for _, bit := range []uint32{h % (8 * wordBytes), h >> 16} {
		w.Familiar[bit/8] |= 1 << (bit % 8)
	}
}
