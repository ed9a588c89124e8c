package dashboards

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// What a person who sees gnomon for the first time must not be told.

func TestAStepIsTickedOnlyWhenItWasTaken(t *testing.T) {
	v := verdict("w", "m", "p/x", schemas.Collecting, 1)
	v.DaysObserved, v.Quality.Pairs = 0, 0
	states := func(v schemas.Verdict) (s []string) {
		w := &workload{Workload: "w", Mode: schemas.ModeCanary, Policy: &schemas.Policy{Mode: schemas.ModeCanary, Candidate: "p/x", Share: 500, Override: true}, Verdicts: []schemas.Verdict{v}}
		for _, step := range life(w) {
			s = append(s, step.State)
		}
		return s
	}
	if got := strings.Join(states(v), " "); got != "todo todo todo present todo" {
		t.Errorf("activated by override on the first day: %s", got)
	}
	v.DaysObserved, v.Quality.Pairs = 14, 7
	if got := strings.Join(states(v), " "); got != "done done todo present todo" {
		t.Errorf("activated by override, observed and rehearsed: %s", got)
	}
	v.Readiness = schemas.Ready
	if got := strings.Join(states(v), " "); got != "done done done present todo" {
		t.Errorf("activated when ready: %s", got)
	}
}

func TestAWorkloadIsToldOfTheCandidateThatMostRequestsWouldGoTo(t *testing.T) {
	most := verdict("code/review", "opus", "a/sonnet", schemas.Worse, 101)
	most.Savings.RoutedRequests = 900
	few := verdict("code/review", "opus", "a/haiku", schemas.NotWorthwhile, 16)
	few.Savings.RoutedRequests = 18
	for _, order := range [][]schemas.Verdict{{most, few}, {few, most}} {
		if got := gather(nil, order, nil)[0].Best(); got.Candidate != "a/sonnet" || got.Readiness != schemas.Worse {
			t.Errorf("told of %s, %s", got.Candidate, got.Readiness)
		}
	}
	few.Readiness = schemas.Ready // what can be had goes before
	if got := gather(nil, []schemas.Verdict{most, few}, nil)[0].Best(); got.Candidate != "a/haiku" {
		t.Errorf("told of %s", got.Candidate)
	}
}

// firstDay leaves of the fixture what a first day leaves: no whole day, so no
// projection, in verdicts that all collect.
func firstDay(_ *Config, f *fake) {
	today := f.now.Truncate(24 * time.Hour)
	var kept []Traffic
	for _, d := range f.traffic {
		if d.Day.Equal(today) {
			kept = append(kept, d)
		}
	}
	f.traffic, f.policies = kept, map[string][]schemas.Policy{}
	for i := range f.verdicts {
		v := &f.verdicts[i]
		v.Readiness, v.DaysObserved, v.Quality = schemas.Collecting, 0, schemas.QualityFinding{}
		v.Savings = schemas.SavingsFinding{Requests: v.Savings.Requests, RoutedRequests: v.Savings.RoutedRequests, RoutedShare: v.Savings.RoutedShare}
	}
}

func TestTheFirstDayPromisesNothingAndDeniesNothing(t *testing.T) {
	h, _ := newServer(t, firstDay)
	for _, p := range []string{"/", "/workloads", "/workloads/support/summary"} {
		body := get(t, h, p).Body.String()
		if !strings.Contains(body, "not yet") || strings.Contains(body, "$0</span>") {
			t.Errorf("%s: a saving of $0 is told before a whole day", p)
		}
	}
	if body := get(t, h, "/workloads/support/summary").Body.String(); strings.Contains(body, "It would save about") {
		t.Error("the form promises a saving before a whole day")
	}
	whole, _ := newServer(t, nil)
	if body := get(t, whole, "/workloads/support/summary").Body.String(); !strings.Contains(body, "It would save about") {
		t.Error("the form no longer tells of a saving")
	}
}

func TestAPeriodIsOfTheDaysThatThereAre(t *testing.T) {
	h, _ := newServer(t, nil)
	if body := get(t, h, "/workloads").Body.String(); !strings.Contains(body, "8 workloads, 8–21 Nov") {
		t.Errorf("fourteen days of traffic are told as %s", regexp.MustCompile(`workloads, [^.]*`).FindString(body))
	}
}

func TestAProxyLifeHasOneFormInConsoleAndSQL(t *testing.T) {
	h, f := newServer(t, nil)
	for _, p := range []string{"/health", "/requests/" + f.requests[0].RequestID} {
		if body := get(t, h, p).Body.String(); !strings.Contains(body, "18369614221190020847") || strings.Contains(body, "feedfacecafebeef") {
			t.Errorf("%s writes a boot id otherwise than the store", p)
		}
	}
	if strings.Contains(sqlLives, "hex(") {
		t.Error("the SQL shown turns the boot id into hex")
	}
}

func TestARolledBackWorkloadIsSaidToObserve(t *testing.T) {
	h, f := newServer(t, func(_ *Config, f *fake) {
		f.accept(schemas.Policy{Workload: "classify/tickets", Mode: schemas.ModeObserve, Candidate: "openai/gpt-4o-mini", Control: 500, Override: true, Actor: "jo", Reason: "back"})
	})
	body := get(t, h, workloadPath("classify/tickets")).Body.String()
	if !strings.Contains(body, "<strong>observe</strong>, every request goes to the model it asks for.") || strings.Contains(body, "0 % of sessions outside") {
		t.Error("a rolled-back workload is told as if it still sent somebody somewhere")
	}
	if len(f.policies["classify/tickets"]) != 2 || strings.Contains(body, `class="override"`) {
		t.Error("an observing record is marked as an override")
	}
}

func TestContributionsHaveTheirValueAndATrueMinus(t *testing.T) {
	for text, want := range map[string][2]string{"how long the prompt is (1,234 words)": {"how long the prompt is", "1,234 words"}, "what its words are about": {"what its words are about", ""}, "kind (a (b))": {"kind", "a (b)"}} {
		if f, v := FeatureValue(text); f != want[0] || v != want[1] {
			t.Errorf("%q is %q and %q", text, f, v)
		}
	}
	if got := signed(-1.943); got != "−1.943" {
		t.Error(got)
	}
}

func TestAnIntervalIsWideEnoughToRead(t *testing.T) {
	lo, hi := usd(.5), usd(.6)
	svg := string(whisker(usd(.55), &lo, &hi, usd(10_000)))
	if !strings.Contains(svg, `width="168" height="18"`) || !strings.Contains(svg, `width="3.0"`) {
		t.Error(svg)
	}
}

// The axis' labels are JavaScript: they are tried where there is a Node.
func TestNeighbouringLabelsOfAnAxisDiffer(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("no node here: make browser tries it in a browser")
	}
	raw, err := os.ReadFile("assets/charts.js")
	if err != nil {
		t.Fatal(err)
	}
	part := regexp.MustCompile(`(?s)  // digits are the decimals.*?const ticks = [^\n]*\n`).FindString(string(raw))
	if part == "" {
		t.Fatal("charts.js has no labels as this test knows them")
	}
	out, err := exec.Command(node, "-e", part+`console.log([ticks(tick)(null, [0, 0.005, 0.01, 0.015, 0.02]), ticks(tick)(null, [0, 0.0025, 0.005]), ticks(tick)(null, [0, 500, 1000]), ticks(tick)(null, [0, 0.5, 1]), ticks(tick)(null, [-20, 0]),
		ticks(tickPoints)(null, [-0.02, -0.01, 0]), ticks(tickPoints)(null, [-0.005, -0.0025, 0])].map((l) => l.join(' ')).join('\n'))`).CombinedOutput()
	want := "$0.000 $0.005 $0.010 $0.015 $0.020\n$0.0000 $0.0025 $0.0050\n$0 $500 $1,000\n$0.00 $0.50 $1.00\n−$20 $0\n−2 pp −1 pp 0 pp\n−0.50 pp −0.25 pp 0.00 pp"
	if err != nil || strings.TrimSpace(string(out)) != want {
		t.Errorf("%v:\n%s\nwant\n%s", err, out, want)
	}
}
