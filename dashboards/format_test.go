package dashboards

import (
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMoneyIsWrittenAsPeopleReadIt(t *testing.T) {
	for _, c := range []struct {
		nano schemas.NanoUSD
		want string
	}{
		{0, "$0"}, {1, "<$0.000001"}, {690_000, "$0.00069"}, {12_300_000, "$0.012"}, {99_400_000, "$0.099"}, {150_000_000, "$0.15"},
		{12_000_000_000, "$12.00"}, {99_990_000_000, "$99.99"}, {99_996_000_000, "$100"}, {100_000_000_000, "$100"}, {4_120_400_000_000, "$4,120"},
		{-4_120_400_000_000, "−$4,120"}, {-150_000_000, "−$0.15"}, {9_223_372_036_854_775_807, "$9,223,372,037"},
	} {
		if got := money(c.nano); got != c.want {
			t.Errorf("%d is %q, want %q", int64(c.nano), got, c.want)
		}
	}
	if optMoney(schemas.OptUSD{}) != "unpriced" || optMoney(schemas.KnownUSD(0)) != "$0" {
		t.Error("unknown and zero are not told apart")
	}
	lo, hi := usd(-4.2), usd(20)
	if got := bounds(&lo, &hi); got != "[−$4.20 … $20.00]" {
		t.Error(got)
	}
	lo, hi = usd(3480), usd(4760)
	if got := bounds(&lo, &hi); got != "[$3,480 … $4,760]" || bounds(nil, &hi) != "" {
		t.Error(got)
	}
}

func TestSharesPointsAndTimesAreWrittenAsPeopleReadThem(t *testing.T) {
	for f, want := range map[float64]string{0: "0 %", .0002: "< 0.1 %", .034: "3.4 %", .03: "3 %", .0994: "9.9 %", .0999: "10 %", .714: "71 %", 1: "100 %", -.05: "−5 %"} {
		if got := percent(f); got != want {
			t.Errorf("%v is %q, want %q", f, got, want)
		}
	}
	for f, want := range map[float64]string{-.017: "−1.7 pp", .006: "0.6 pp", 0: "0.0 pp", -.0001: "0.0 pp"} {
		if got := points(f); got != want {
			t.Errorf("%v is %q, want %q", f, got, want)
		}
	}
	for f, want := range map[float64]string{.212: "0.2 ms", 9.94: "9.9 ms", 10: "10 ms", 1863: "1,863 ms"} {
		if got := millis(f); got != want {
			t.Errorf("%v is %q, want %q", f, got, want)
		}
	}
	day := func(s string) time.Time { d, _ := time.Parse(time.DateOnly, s); return d }
	for _, c := range [][3]string{{"2026-11-14", "2026-11-28", "14–27 Nov"}, {"2026-10-28", "2026-11-11", "28 Oct–10 Nov"}, {"2026-11-14", "2026-11-15", "14 Nov"}, {"2026-12-30", "2027-01-03", "30 Dec–2 Jan"}} {
		if got := period(day(c[0]), day(c[1])); got != c[2] {
			t.Errorf("%s to %s is %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

func TestSQLQuotesWhatComesFromOutside(t *testing.T) {
	q := sqlRequests(RequestFilter{Project: "acme", Workload: `x' OR 1=1 --`, User: `back\'slash`})
	if !strings.Contains(q, `'x\' OR 1=1 --'`) || !strings.Contains(q, `'back\\\'slash'`) {
		t.Error(q)
	}
}
