package report

import (
	"testing"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestPairsAreToldAsSampledGradedAndUngraded(t *testing.T) {
	for _, tt := range []struct {
		graded, ungraded     int
		words, cell, quality string
	}{
		{0, 0, "0 graded pairs", "0", "no pairs yet"},
		{0, 802, "802 sampled pairs: 0 graded, 802 ungraded", "0 of 802", "none graded"},
		{1640, 0, "1,640 graded pairs", "1,640", "no bound yet"},
		{953, 31, "984 sampled pairs: 953 graded, 31 ungraded", "953 of 984", "no bound yet"},
	} {
		q := schemas.QualityFinding{Pairs: tt.graded, Ungraded: tt.ungraded, Lower: -1}
		if a, b, c := Pairs(q), pairsCell(q), Quality(&schemas.Verdict{Quality: q}); a != tt.words || b != tt.cell || c != tt.quality {
			t.Errorf("%d graded, %d not: %q, %q, %q", tt.graded, tt.ungraded, a, b, c)
		}
	}
}
