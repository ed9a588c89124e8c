package training

import (
	"math"
	"testing"
)

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-9 {
		t.Errorf("%s: got %.6f, want %.6f", what, got, want)
	}
}

// ten prompts, of which the strong model alone answers four.
func ten(score func(i int) float64) []Scored {
	rows := make([]Scored, 10)
	for i := range rows {
		rows[i] = Scored{Score: score(i), Strong: 1, Weak: 1}
		if i < 4 {
			rows[i].Weak = 0
		}
	}
	return rows
}

func TestMetricsByHand(t *testing.T) {
	oracle := NewCurve(ten(func(i int) float64 { return -float64(i) }))
	// PGR is 0, ¼, ½, ¾, 1, 1 … 1: the area is (0.5·0 + 1.5 + 6 + 0.5)/10.
	near(t, "APGR of the oracle", oracle.APGR(), .8)
	near(t, "CPT50 of the oracle", oracle.CPT(.5), .2)
	near(t, "weak share at 10 pp of the oracle", oracle.WeakShare(.1), .7)
	same := NewCurve(ten(func(int) float64 { return 1 }))
	near(t, "APGR of equal scores is that of chance, whatever the order of the rows", same.APGR(), .5)
	near(t, "CPT80 of equal scores", same.CPT(.8), .8)
	near(t, "weak share at 10 pp of equal scores", same.WeakShare(.1), .2)
	worst := NewCurve(ten(func(i int) float64 { return float64(i) }))
	near(t, "APGR of the worst ranking", worst.APGR(), .2)
	harmful := NewCurve([]Scored{{3, 1, 0}, {2, 1, 0}, {1, 0, 1}}) // on one prompt the strong model is worse
	near(t, "CPT50 with a strong model that is worse somewhere", harmful.CPT(.5), 1./6)
	near(t, "weak share at no loss", harmful.WeakShare(0), 2./3)
}

func TestCalibrationByHand(t *testing.T) {
	rows := []Forecast{{.9, true}, {.9, true}, {.9, false}, {.9, true}, {.1, false}, {.1, false}}
	near(t, "ECE", ECE(rows), (4*math.Abs(.9-.75)+2*.1)/6)
	near(t, "Brier", Brier(rows), (3*.01+.81+2*.01)/6)
	near(t, "AUC", AUC([]float64{3, 2, 2}, []float64{1, 2}), (1+1+.5+1+.5+1)/6)
	if got := len(Reliability([]Forecast{{0, false}, {1, true}})); got != 2 {
		t.Errorf("%d bins", got)
	}
}
