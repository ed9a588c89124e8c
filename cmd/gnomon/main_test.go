package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/analyzer/whatif"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// call runs one command line in an empty folder.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodesTellAWrongCallFromAFailure(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"help is an answer", []string{"--help"}, exitDone, "report"},
		{"the version is one too", []string{"--version"}, exitDone, "gnomon"},
		{"an unknown command", []string{"observe"}, exitUsage, "unknown command"},
		{"an unknown flag", []string{"status", "--jsn"}, exitUsage, "unknown flag"},
		{"a role that does not exist", []string{"serve", "--roles", "proxy,wizard"}, exitUsage, "wizard"},
		{"no workload named", []string{"rollback", "--reason", "x"}, exitUsage, "workload"},
		{"a missing flag", []string{"activate", "w", "--reason", "x"}, exitUsage, "candidate"},
		{"a missing flag, with a call that would do", []string{"rollback", "w"}, exitUsage, `for example: gnomon rollback chat/faq --reason`},
		{"a query with a format of its own", []string{"sql", "SELECT 1\nFORMAT Vertical;\n"}, exitUsage, "--json"},
		{"a column called format is none", []string{"sql", "SELECT 1 AS format ORDER BY format DESC", "--set", "clickhouse.listen=127.0.0.1:1"}, exitError, "does not answer"},
		{"a store that is away, without its long address", []string{"sql", "SELECT 1", "--set", "clickhouse.listen=127.0.0.1:1"}, exitError, "127.0.0.1:1 does not answer: dial tcp"},
		{"a malformed --set", []string{"status", "--set", "project"}, exitUsage, "key=value"},
		{"an unknown key", []string{"config", "check", "--set", "proxy.adr=:1"}, exitError, "proxy.adr"},
		{"nobody to ask", []string{"report", "--set", "admin.addr=127.0.0.1:1"}, exitError, "gnomon serve"},
		{"a configuration that is in order", []string{"config", "check"}, exitDone, "in order"},
		{"prices by part of a name", []string{"prices", "gpt-4o-mini"}, exitDone, "openai/gpt-4o-mini"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errs := call(t, tt.args...)
			if code != tt.code || !strings.Contains(out+errs, tt.says) {
				t.Errorf("status %d, want %d; said %q", code, tt.code, out+errs)
			}
		})
	}
}

func TestPeopleGetShortNumbers(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{{198.25999999999996, "198.26"}, {0.1 + 0.2, "0.3"}, {1234567.0, "1234567"}, {nil, "NULL"}, {"a\tb", `a\tb`}} {
		if got := cell(tt.v); got != tt.want {
			t.Errorf("%v is printed %s, want %s", tt.v, got, tt.want)
		}
	}
}

func TestMachinesGetJSON(t *testing.T) {
	for _, args := range [][]string{{"config", "print", "--json"}, {"config", "check", "--json"}, {"prices", "--json"}, {"prices", "check", "--json"}} {
		code, out, _ := call(t, args...)
		if code != exitDone || !json.Valid([]byte(out)) {
			t.Errorf("%v: status %d, %.80q", args, code, out)
		}
	}
	code, out, _ := call(t, "doctor", "--json", "--set", "admin.addr=127.0.0.1:1", "--set", "kafka.listen=127.0.0.1:1", "--set", "clickhouse.listen=127.0.0.1:1", "--set", "data_dir="+t.TempDir())
	if code != exitError || !json.Valid([]byte(out)) || !strings.Contains(out, `"mend"`) {
		t.Errorf("doctor: status %d, %s", code, out)
	}
}

func TestTheAPIsRefusalIsToldWithItsHint(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/api/v1/workloads/a%2Fb/activate" || r.Header.Get("Authorization") != "Bearer sesame-open-now-please" {
			t.Errorf("asked %s with %q", r.URL.EscapedPath(), r.Header.Get("Authorization"))
		}
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte(`{"error":{"code":"unsupported","message":"No.","hint":"Wait."}}`))
	}))
	defer srv.Close()
	code, _, errs := call(t, "activate", "a/b", "--candidate", "openai/x", "--share", "25%", "--reason", "r", "--set", "admin.addr="+strings.TrimPrefix(srv.URL, "http://"), "--set", "admin.token=sesame-open-now-please")
	if code != exitError || !strings.Contains(errs, "No.") || !strings.Contains(errs, "Wait.") {
		t.Errorf("status %d: %s", code, errs)
	}
}

func TestTheProjectIsTheServersUnlessOneIsNamed(t *testing.T) {
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("project"))
		_, _ = w.Write([]byte(`{"project":"acme"}`))
	}))
	defer srv.Close()
	at := []string{"status", "--set", "admin.addr=" + strings.TrimPrefix(srv.URL, "http://")}
	_, out, _ := call(t, at...)
	call(t, append(at, "--project", "other")...)
	if !slices.Equal(asked, []string{"", "other"}) || !strings.HasPrefix(out, "acme ") {
		t.Errorf("asked about %q; said %q", asked, out)
	}
}

func TestAPriceOfOnesOwnGoesBeforeTheBooks(t *testing.T) {
	rate := func(f float64) *float64 { return &f }
	c := config.Default()
	c.Prices = []config.Price{{Provider: "openai", Model: "gpt-4o", Input: rate(1), Output: rate(2.5)}, {Provider: "openai", Model: "our-finetune", Input: rate(.1), Output: rate(.1)}}
	book, err := priceBook(&c)
	if err != nil {
		t.Fatal(err)
	}
	for model, want := range map[string]schemas.NanoUSD{"gpt-4o": 3_500_000_000, "our-finetune": 200_000_000} {
		if got, _, err := book.Cost("openai", model, "", schemas.Usage{InputTokens: 1e6, OutputTokens: 1e6}, time.Now()); err != nil || got != want {
			t.Errorf("a million tokens each way of %s cost %d nano-dollars, want %d (%v)", model, got, want, err)
		}
	}
}

func TestAWorkloadThatCannotBeRehearsedIsNamed(t *testing.T) {
	c := config.Default()
	if got := keyless(&c); len(got) != 0 {
		t.Errorf("nothing is to be rehearsed: %q", got)
	}
	c.Workloads = map[string]config.Workload{"a/b": {DataPolicy: config.DataPolicyRehearse, Rehearse: config.Rehearse{DailyUSD: 1}}}
	if got := strings.Join(keyless(&c), "\n"); !strings.Contains(got, "providers.openai has no api_key: a/b") {
		t.Errorf("no stored key: %q", got)
	}
	for name, p := range c.Providers {
		p.APIKey = "stored"
		c.Providers[name] = p
	}
	if got := keyless(&c); len(got) != 0 {
		t.Errorf("with keys: %q", got)
	}
}

func TestALadderThatNoCallerCanFollowIsNamed(t *testing.T) {
	c := config.Default()
	if got := diagnoseCrossing(&c); len(got) != 0 {
		t.Errorf("the built-in ladders stay at their providers: %+v", got)
	}
	c.Ladders = []config.Ladder{{Baseline: "openai/gpt-4o", Candidates: []string{"openai/gpt-4o-mini", "anthropic/claude-haiku-4-5"}}}
	got := diagnoseCrossing(&c)
	if len(got) != 2 || !got[0].OK || !strings.Contains(got[0].Detail, "anonymous") || got[1].OK || !strings.Contains(got[1].Detail, "providers.anthropic has no api_key") {
		t.Errorf("%+v", got)
	}
	p := c.Providers["anthropic"]
	p.APIKey = "stored"
	c.Providers["anthropic"] = p
	if got = diagnoseCrossing(&c); len(got) != 1 || !got[0].OK {
		t.Errorf("with a key: %+v", got)
	}
}

func TestTheConsoleNamesTheDataPlaneAsItListens(t *testing.T) {
	for _, tt := range []struct{ addr, cert, want string }{
		{":8080", "", "http://localhost:8080"}, {"127.0.0.1:28080", "", "http://localhost:28080"}, {"0.0.0.0:443", "cert.pem", "https://localhost:443"}, {"10.1.2.3:8080", "", "http://10.1.2.3:8080"},
	} {
		c := config.Default()
		c.Proxy.Addr, c.Proxy.TLS.CertFile = tt.addr, tt.cert
		if got := proxyURL(&c); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.addr, got, tt.want)
		}
	}
}

func TestDialable(t *testing.T) {
	for in, want := range map[string]string{":8081": "127.0.0.1:8081", "0.0.0.0:1": "127.0.0.1:1", "[::]:1": "127.0.0.1:1", "10.0.0.1:1": "10.0.0.1:1", "localhost:1": "localhost:1"} {
		if got := dialable(in); got != want {
			t.Errorf("%s is called at %s, want %s", in, got, want)
		}
	}
}

func TestEvidenceOutlivesTheProcessAndTheNewestHolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "evidence.json")
	parts := classifier.Parts{Project: "acme"}
	log := slog.New(slog.DiscardHandler)
	s := newSnapshots(parts, path, nil, log)
	bare := s.get().Hash()
	tell := func(state schemas.EvidenceState, at int64, project string) {
		raw, err := json.Marshal(schemas.EvidenceRecord{Project: project, Workload: "w", Provider: "openai", Scorer: classifier.Builtin().Scorer(), RequestModel: "big", Candidate: "openai/small", State: state, At: time.UnixMilli(at)})
		if err != nil {
			t.Fatal(err)
		}
		s.addEvidence(raw)
	}
	tell(schemas.EvidenceReady, 2, "acme")
	if s.get().Hash() != bare || !s.evidenceBehind() {
		t.Error("evidence is acted on before what revokes it has been read")
	}
	s.evidenceCurrent()
	ready := s.get().Hash()
	tell(schemas.EvidenceWorse, 1, "acme") // older: re-read, out of order
	tell(schemas.EvidenceWorse, 9, "other")
	s.addEvidence([]byte("{poison"))
	if s.get().Hash() != ready || ready == bare {
		t.Errorf("hashes: bare %x, ready %x, now %x", bare, ready, s.get().Hash())
	}
	tell(schemas.EvidenceWorse, 3, "acme")
	if s.get().Hash() == ready {
		t.Error("a revocation is not obeyed at once")
	}
	tell(schemas.EvidenceReady, 4, "acme")
	s.mu.Lock()
	s.pending.Stop() // it would write once more when the test's folder is gone
	s.mu.Unlock()
	s.settle()
	if again := newSnapshots(parts, path, nil, log); again.get().Hash() != ready {
		t.Error("a restart forgets the evidence")
	}
}

func TestOnlyLaddersAndPricesOfOursAreActivatedWithoutOverride(t *testing.T) {
	book, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	a := &actions{c: func() *config.Config { return &c }, book: book}
	if !a.priced("openai", "gpt-4o-mini") || a.priced("openai", "no-such-model") {
		t.Error("prices are not what the book says")
	}
	if !a.inLadder("gpt-4o", "openai/gpt-4o-mini") || !a.inLadder("", "openai/gpt-4o-mini") || a.inLadder("gpt-4o", "openai/no-such-model") {
		t.Error("ladders are not what is configured")
	}
}

func TestAMisspeltWorkloadIsNotToldToOverride(t *testing.T) {
	book, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	keeper, err := activation.OpenKeeper(filepath.Join(t.TempDir(), "policies"), activation.Topic(nil), func([]schemas.Policy) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := config.Default()
	a := &actions{c: func() *config.Config { return &c }, book: book, keeper: keeper, called: func(string, string) string { return "" },
		verdicts: func(context.Context, string) ([]schemas.Verdict, error) { return nil, nil },
		seen:     func(context.Context, string) ([]string, error) { return []string{"support/summary", "chat"}, nil }}
	for workload, want := range map[string]string{"support/sumary": "There is support/summary.", "support/summary": "--override"} {
		_, err := a.Activate(t.Context(), dashboards.ActivateRequest{Project: "acme", Workload: workload, Candidate: "openai/gpt-4o-mini", Share: 500, Reason: "x"})
		var refused *dashboards.Error
		if !errors.As(err, &refused) || !strings.Contains(refused.Message+" "+refused.Hint, want) || workload != "support/summary" && strings.Contains(refused.Message, "--override") {
			t.Errorf("%s: %+v", workload, refused)
		}
	}
}

func TestWhatIfTellsBothEndsOfASavingAndNoMinusZero(t *testing.T) {
	dollar := schemas.NanoUSD(1e9)
	lo, hi := -90*dollar, 95*dollar
	var b bytes.Buffer
	writeWhatIf(&b, &whatif.Result{Workloads: []whatif.Frontier{{Workload: "agent/ops", Candidates: []string{"openai/small"}, Points: []whatif.Point{
		{Threshold: .1}, {Threshold: .2, Routed: 1, RoutedShare: .001, SavingMonth: dollar, SavingWarm: dollar},
		{Threshold: .7, Routed: 90, RoutedShare: .9, Draft: true, SavingMonth: -71 * dollar, SavingWarm: 75 * dollar, SavingLo: &lo, SavingHi: &hi, Quality: &schemas.Interval{Point: -.0001, Lo: -.02, Hi: .01}}}}}, Notes: []string{strings.Repeat("A long note. ", 30)}}, true)
	for _, want := range []string{"would save a month, caches cold    warm            interval", " −$71.00  $75.00  [−$90.00 … $95.00]", "0.0 pp [−2.0 … 1.0]", "routed would go to openai/small", "nothing is routed", "<1 %"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing:\n%s", want, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if utf8.RuneCountInString(line) > 141 {
			t.Errorf("a terminal breaks %q", line)
		}
	}
	if strings.Contains(b.String(), "-0.0") || strings.Contains(b.String(), "−0.0") {
		t.Error(b.String())
	}
}

func TestAPolicyIsToldInASentence(t *testing.T) {
	p := schemas.Policy{Project: "acme", Workload: "w", Version: 3, Mode: schemas.ModeCanary, Candidate: "openai/small", Share: 5000, Control: 500, Threshold: .5, Override: true, OverrideReason: "no verdict"}
	for _, want := range []string{"50 % of the sessions outside the control arm (47.5 % of all)", "openai/small", "5 % stay", "OVERRIDE: no verdict"} {
		if s := policySentence(&p); !strings.Contains(s, want) {
			t.Errorf("%q does not say %q", s, want)
		}
	}
}
