package schemas

import (
	"math"
	"testing"
)

func TestAShareIsToldWithWhatItComesToOfAllSessions(t *testing.T) {
	for _, tt := range []struct {
		share, control BasisPoints
		want           string
		treated        float64
	}{
		{2500, 500, "25 % of the sessions outside the control arm (23.75 % of all)", .2375},
		{10000, 500, "100 % of the sessions outside the control arm (95 % of all)", .95},
		{1, 500, "0.01 % of the sessions outside the control arm (0.0095 % of all)", .000095},
		{5000, 10000, "50 % of the sessions outside the control arm (0 % of all)", 0},
	} {
		p := Policy{Share: tt.share, Control: tt.control}
		if got := p.ShareInWords(); got != tt.want || math.Abs(p.Treated()-tt.treated) > 1e-12 {
			t.Errorf("%q, %v", got, p.Treated())
		}
	}
}

func TestAShareIsWrittenExactly(t *testing.T) {
	for b, want := range map[BasisPoints]string{1: "0.01%", 7: "0.07%", 500: "5%", 1250: "12.5%", 2375: "23.75%", 10000: "100%"} {
		if got := b.Percent(); got != want {
			t.Errorf("%d: %q, want %q", b, got, want)
		}
	}
}
