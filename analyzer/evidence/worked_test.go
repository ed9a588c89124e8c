package evidence_test

import (
	"testing"

	"github.com/gnomon-llm/gnomon/analyzer/evidence"
)

// TestWorkedValues holds the bettors against values computed apart from this
// code with 40 digits, so that they are checked where the reference table is not.
func TestWorkedValues(t *testing.T) {
	d := []float64{0, 1, 0, -1, .5, 1, 0, 0, 1, .25, 1, 1, -.5, 1, 0, 1, 1, 0, 1, 1}
	at := []int{1, 2, 5, 10, 20}
	for _, row := range []struct {
		name   string
		bettor evidence.Bettor
		margin float64
		logK   [5]float64
		lower  float64
	}{
		{"adaptive bet, margin 2 pp", evidence.Adaptive, .02, [5]float64{.0003997601492374, .040358072450841, -.51742134156934, .039391026422062, 2.6831699474234}, -.044101885571999},
		{"adaptive bet, margin 5 pp", evidence.Adaptive, .05, [5]float64{.0024906613124519, .10186313512566, -.45688311948416, .22697969328328, 3.0740574999487}, -.044101885571999},
		{"fixed stakes, margin 2 pp", evidence.Fixed, .02, [5]float64{.0047082863588708, .22145151254368, -.018743758370343, .49796965149602, 2.9528740847119}, -.023246776933493},
		{"fixed stakes, margin 5 pp", evidence.Fixed, .05, [5]float64{.012097580921774, .24259401732041, .011877804501724, .60506690755767, 3.361383068606}, -.023246776933493},
		{"aimed mixture, margin 2 pp", evidence.Aimed, .02, [5]float64{.0009315680217935, .091643973715191, -.078018138019565, .12929982787931, 1.7667999381971}, -.10247061387142},
		{"aimed mixture, margin 5 pp", evidence.Aimed, .05, [5]float64{.0057651000741618, .22176301535057, .027361729983652, .36426983077107, 2.1942568956558}, -.10247061387142},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := evidence.New(row.bettor, d, nil, 0)
			path := p.Path(row.margin)
			for i, n := range at {
				near(t, "log K", path[n-1], row.logK[i])
			}
			near(t, "lower bound", p.LowerNow(.05, 1e-12), row.lower)
			// All these streams grow towards their end, so the bound over time is
			// the bound of the end, and the mirrored bets give it back negated.
			near(t, "lower bound over time", p.Lower(.05, 1e-12, len(d))[0], row.lower)
			neg := make([]float64, len(d))
			for i, v := range d {
				neg[i] = -v
			}
			near(t, "upper bound of the mirror", evidence.Mirrored(row.bettor, neg, nil, 0).Upper(.05, 1e-12, len(d))[0], -row.lower)
		})
	}
}

func TestThousandsOfBetsNeitherOverflowNorVanish(t *testing.T) {
	for _, row := range []struct {
		name string
		d    float64
	}{{"won every time", 1}, {"lost every time", -1}} {
		t.Run(row.name, func(t *testing.T) {
			d := make([]float64, 20_000)
			for i := range d {
				d[i] = row.d
			}
			for _, b := range []evidence.Bettor{evidence.Aimed, evidence.Adaptive, evidence.Fixed} {
				p := evidence.New(b, d, nil, 0)
				path := p.Path(.02)
				last := path[len(path)-1]
				if row.d > 0 && !(last > 5000 && last < 20_000) || row.d < 0 && !(last <= 0 && last > -50_000) {
					t.Errorf("bettor %d: log wealth %v", b, last)
				}
				lower, upper := p.Lower(.05, 1e-6, len(d))[0], evidence.Mirrored(b, d, nil, 0).Upper(.05, 1e-6, len(d))[0]
				if row.d > 0 && !(lower > .99 && upper == 1) || row.d < 0 && !(lower == -1 && upper < -.99) {
					t.Errorf("bettor %d: bounds %v and %v", b, lower, upper)
				}
			}
		})
	}
}
