package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/schemas"
)

var update = flag.Bool("update", false, "write the golden files anew")

func usd(f float64) schemas.NanoUSD     { return schemas.NanoUSD(f * 1e9) }
func usdPtr(f float64) *schemas.NanoUSD { n := usd(f); return &n }

func verdict(workload, model, candidate string, word schemas.Readiness, brief string, routed, saving, lo, hi, bound float64, pairs int) schemas.Verdict {
	v := schemas.Verdict{Version: schemas.SchemaVersion, Project: "acme", Workload: workload, Provider: "openai", RequestModel: model, Candidate: candidate,
		Readiness: word, Brief: brief, Reasons: []string{}, Warnings: []schemas.Warning{}, Simulated: true}
	v.Savings.RoutedShare, v.Savings.SavingMonth = routed, usd(saving)
	if hi > lo {
		v.Savings.SavingMonthLo, v.Savings.SavingMonthHi = usdPtr(lo), usdPtr(hi)
	}
	v.Quality = schemas.QualityFinding{Pairs: pairs, Clusters: pairs, Lower: bound, Upper: bound, Margin: .02, Alpha: .05}
	return v
}

func sample() *report.Report {
	r := &report.Report{
		Version: schemas.SchemaVersion, Project: "acme", At: time.Date(2025, 11, 25, 9, 0, 0, 0, time.UTC), DaysObserved: 14, DaysPlanned: 14, Margin: .02, Alpha: .05,
		Requests: 213_406, Accepted: 213_406, Stored: 213_400, Declared: 6, SpendMonth: usdPtr(18_240), Unpriced: 640,
		NotRouted: []schemas.Count{{Name: "tools", N: 610}, {Name: "signed_thinking", N: 402}, {Name: "context", N: 192}},
	}
	unmeasured := verdict("new\x1b[31m/thing with a very long name indeed", "gpt-4o", "openai/gpt-4o-mini", schemas.Collecting, "9 more days", .5, 310, 0, 0, -1, 0)
	unmeasured.Warnings = append(unmeasured.Warnings, schemas.Warning{Code: "output_length_unmeasured", Text: "…"})
	r.SetVerdicts([]schemas.Verdict{
		verdict("chat/smalltalk", "gpt-4o-mini", "google/gemini-flash", schemas.NotWorthwhile, "below $50 a month", .9, 12, 4, 20, -.0189, 1640),
		verdict("code/review", "claude-opus", "anthropic/claude-haiku", schemas.Worse, "", .38, 2050, 1600, 2500, -.0262, 240),
		unmeasured,
		verdict("docs/rag", "gpt-4o", "openai/gpt-4o-mini", schemas.Collecting, "about 1,400 more pairs, $18, 9 days", .44, 1310, 820, 1800, -.0788, 118),
		verdict("support/summary", "gpt-4o", "openai/gpt-4o-mini", schemas.Ready, "", .713, 4120, 3480, 4760, -.0163, 1912),
	})
	return r
}

func TestTheReportForATerminal(t *testing.T) {
	for _, row := range []struct {
		file string
		o    report.Options
	}{
		{"piped.txt", report.Options{Console: "http://localhost:8081"}},
		{"width120.txt", report.Options{Width: 120, Console: "http://localhost:8081"}},
		{"width100.txt", report.Options{Width: 100}},
		{"width140color.txt", report.Options{Width: 140, Color: true}},
	} {
		t.Run(row.file, func(t *testing.T) {
			var b bytes.Buffer
			if err := report.WriteText(&b, sample(), row.o); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", row.file)
			if *update {
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.String(); got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			if !row.o.Color && strings.Contains(b.String(), "\x1b") {
				t.Error("an escape of a caller's name reached the terminal")
			}
			for _, l := range strings.Split(b.String(), "\n") {
				if row.o.Width > 0 && !row.o.Color && utf8.RuneCountInString(l) > row.o.Width {
					t.Errorf("a line of %d columns: %s", utf8.RuneCountInString(l), l)
				}
			}
		})
	}
}

func TestAReportWithoutVerdictsSaysWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		name             string
		requests, routed uint64
		want             string
	}{
		{"nothing came", 0, 0, "No request is stored yet"},
		{"nothing could have gone elsewhere", 21, 0, "none has a cheaper candidate"},
		{"the analyzer has not looked since", 21, 20, "20 of 21 requests have a cheaper candidate, and the analyzer has not looked"},
	} {
		var b bytes.Buffer
		r := report.Report{Project: "acme", DaysPlanned: 14, Margin: .02, Alpha: .05, Requests: tt.requests, WouldRoute: tt.routed}
		if err := report.WriteText(&b, &r, report.Options{}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{fmt.Sprintf("0 of 14 days observed · %d requests", tt.requests), tt.want, "Nothing to activate yet."} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%s: no %q in:\n%s", tt.name, want, b.String())
			}
		}
	}
	raw, err := json.Marshal(func() *report.Report { r := &report.Report{}; r.SetVerdicts(nil); return r }())
	if err != nil || !strings.Contains(string(raw), `"verdicts":[]`) {
		t.Errorf("%s, %v", raw, err)
	}
}

func TestTotalsCountTheBestCandidateOfABaseline(t *testing.T) {
	a := verdict("w", "gpt-4o", "openai/mini", schemas.Ready, "", .5, 300, 200, 400, 0, 9)
	b := verdict("w", "gpt-4o", "openai/nano", schemas.Ready, "", .5, 500, 300, 700, 0, 9)
	c := verdict("x", "gpt-4o", "openai/nano", schemas.Ready, "", .5, 100, 50, 150, 0, 9)
	d := verdict("y", "gpt-4o", "openai/nano", schemas.Collecting, "", .5, 100, 0, 0, 0, 9)
	var r report.Report
	r.SetVerdicts([]schemas.Verdict{a, b, c, d})
	if r.Ready.Baselines != 2 || r.Ready.Saving != usd(600) || *r.Ready.Lo != usd(350) || *r.Ready.Hi != usd(850) {
		t.Errorf("%+v", r.Ready)
	}
	if r.Collecting.Baselines != 1 || r.Collecting.Lo != nil {
		t.Errorf("%+v", r.Collecting)
	}
	if r.Best().Candidate != "openai/nano" || r.Best().Workload != "w" {
		t.Errorf("%+v", r.Best())
	}
}

func TestFigures(t *testing.T) {
	lo, hi := usd(3480.2), usd(4759.6)
	small, neg := usd(20.25), usd(-3.5)
	for _, row := range []struct{ name, got, want string }{
		{"dollars from a hundred on", report.Money(usd(4120.4)), "$4,120"},
		{"cents below", report.Money(usd(99.99)), "$99.99"},
		{"no rounding up to $100.00", report.Money(usd(99.999)), "$100"},
		{"two digits below ten cents", report.Money(usd(.0123)), "$0.012"},
		{"never nano-dollars", report.Money(1), "<$0.000001"},
		{"nothing", report.Money(0), "$0"},
		{"less than nothing", report.Money(usd(-1234)), "−$1,234"},
		{"about", report.RoundMoney(usd(17.6)), "$18"},
		{"about nothing", report.RoundMoney(usd(.2)), "below $1"},
		{"unpriced is not free", report.OptMoney(schemas.OptUSD{}), "unpriced"},
		{"an interval", report.MoneyInterval(&lo, &hi), "[$3,480 … $4,760]"},
		{"an interval around nothing", report.MoneyInterval(&neg, &small), "[−$3.50 … $20.25]"},
		{"no interval", report.MoneyInterval(nil, &hi), ""},
		{"a share", report.Percent(.714), "71 %"},
		{"a small share", report.Percent(.0312), "3.1 %"},
		{"hardly any", report.Percent(.0001), "< 0.1 %"},
		{"none", report.Percent(0), "0 %"},
		{"points", report.Points(-.0172), "−1.7 pp"},
		{"no difference", report.Points(-.0001), "0.0 pp"},
		{"a count", report.Count(213_406), "213,406"},
		{"about so many", report.Count(report.About(1387)), "1,400"},
		{"one", report.Plural(1, "day", "days"), "1 day"},
	} {
		if row.got != row.want {
			t.Errorf("%s: %q, want %q", row.name, row.got, row.want)
		}
	}
}

func TestASavingIsWrittenInOnePrecision(t *testing.T) {
	for _, row := range []struct {
		point, lo, hi float64
		want          string
	}{
		{83.95, 65.2, 102.7, "$84 a month [$65 … $103]"},
		{12, 4, 20, "$12.00 a month [$4.00 … $20.00]"},
		{300, 0, 0, "$300 a month"},
	} {
		v := verdict("w", "a", "b/c", schemas.Ready, "", .5, row.point, row.lo, row.hi, 0, 10)
		if got := report.Saving(&v.Savings); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}

func TestABoundIsRoundedToTheSideThatClaimsLess(t *testing.T) {
	v := verdict("w", "a", "b/c", schemas.Ready, "", .5, 100, 50, 150, -.01991, 10)
	if got := report.Quality(&v); got != "≥ −2.0 pp" {
		t.Error(got)
	}
	v.Readiness, v.Quality.Upper = schemas.Worse, -.0219
	if got := report.Quality(&v); got != "≤ −2.1 pp" {
		t.Error(got)
	}
}
