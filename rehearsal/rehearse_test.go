package rehearsal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flat prices every token of every model alike, but for those it does not know.
type flat struct{}

var errNoPrice = errors.New("no price")

func (flat) Cost(_, model, _ string, u schemas.Usage, _ time.Time) (total, output schemas.NanoUSD, err error) {
	if model == "unpriced" {
		return 0, 0, errNoPrice
	}
	return schemas.NanoUSD(u.InputTokens + u.OutputTokens), schemas.NanoUSD(u.OutputTokens), nil
}
func (flat) Hash() uint64 { return 1 }

// models answers calls by model.
type models map[string]func(c Call) (Reply, error)

func (m models) Send(_ context.Context, c Call) (Reply, error) {
	if f, ok := m[c.Model]; ok {
		return f(c)
	}
	return Reply{}, fmt.Errorf("%w: no model %q", ErrUnsendable, c.Model)
}

func says(words string) func(Call) (Reply, error) {
	return func(c Call) (Reply, error) {
		return Reply{HTTPStatus: 200, Latency: 30 * time.Millisecond, Body: openAIBody(c.Model+"-snapshot", words, "stop")}, nil
	}
}

func openAIBody(model, words, finish string) []byte {
	text, _ := json.Marshal(words)
	return fmt.Appendf(nil, `{"model":%q,"choices":[{"index":0,"message":{"content":%s},"finish_reason":%q}],"usage":{"prompt_tokens":100,"completion_tokens":20}}`, model, text, finish)
}

// observed is a request that would be routed from strong to weak.
func observed(n int, words string) *schemas.Payload {
	return &schemas.Payload{
		Path: "/v1/chat/completions", RequestBody: []byte(`{"model":"strong","messages":[{"role":"system","content":"s"},{"role":"user","content":"q"}],"stream":true,"stream_options":{"include_usage":true}}`),
		ResponseBody: openAIBody("strong-1", words, "stop"),
		Event: schemas.RequestEvent{
			Project: "acme", Ts: midnight.Add(time.Duration(n) * time.Second), RequestID: fmt.Sprintf("01937f00-0000-7000-8000-%012x", n),
			Status: schemas.StatusOK, Workload: "w", Session: fmt.Sprintf("s%d", n), PromptHash: uint64(n + 1), Dialect: dialect.OpenAIChat, Operation: "chat",
			Provider: "p", RequestModel: "strong", ServedModel: "strong", UsageSource: schemas.UsageProvider,
			WouldRoute: "p/weak", Usage: schemas.Usage{InputTokens: 100, CacheReadTokens: 90, OutputTokens: 20},
		},
	}
}

func newRehearser(t *testing.T, plan Plan, m models) *Rehearser {
	t.Helper()
	r, err := New(Config{Margin: .02, Prices: flat{}, Plan: func(w string) (Plan, bool) { return plan, w == "w" }}, m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var everything = Plan{Daily: 1000 * schemas.Dollar, Probability: 1}

// opened passes the gate with pairs that agree.
func opened(t *testing.T, r *Rehearser) {
	t.Helper()
	for n := range gatePairs {
		p := observed(1_000_000+n, "yes")
		if _, err := r.Rehearse(context.Background(), p, p.Event.Ts); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPairsAreUngradedUntilTheBaselineAgreesWithItself(t *testing.T) {
	r := newRehearser(t, everything, models{"strong": says("yes"), "weak": says("yes")})
	last := map[string]schemas.Evaluation{}
	for n := range gatePairs + 20 {
		p := observed(n, "yes")
		evs, err := r.Rehearse(context.Background(), p, p.Event.Ts)
		if err != nil || len(evs) == 0 {
			t.Fatalf("%d: %v, %v", n, evs, err)
		}
		if n < gatePairs-1 {
			if check, pair := evs[0], evs[1]; len(evs) != 2 || check.Candidate != "p/strong" || check.Outcome != schemas.OutcomeGraded || check.QualityCandidate != 1 ||
				pair.Candidate != "p/weak" || pair.Outcome != schemas.OutcomeUngraded || pair.Grader != "" || pair.QualityCandidate != 0 {
				t.Fatalf("before the gate opened: %+v", evs)
			}
		}
		if n == gatePairs-1 && len(evs) != gatePairs+1 {
			t.Fatalf("%d evaluations when the gate opened, want the check and all that waited", len(evs))
		}
		if n >= gatePairs && len(evs) > 2 {
			t.Fatalf("%d evaluations after the gate had opened", len(evs))
		}
		for _, e := range evs {
			if e.Candidate == "p/weak" {
				last[e.RequestID] = e
			}
		}
	}
	if len(last) != gatePairs+20 {
		t.Fatalf("%d pairs", len(last))
	}
	for _, e := range last {
		if e.Outcome != schemas.OutcomeGraded || e.Grader != "exact_match" || e.QualityCandidate != 1 || e.GradedAt.Before(midnight.Add((gatePairs-1)*time.Second)) {
			t.Fatalf("a pair that waited was not graded when the gate opened: %+v", e)
		}
	}
	if c := r.Counts(); c.Checked < gatePairs || c.Checked > gatePairs+12 {
		t.Errorf("%d checks: the share does not fall once the gate is open", c.Checked)
	}
}

func TestANoisyBaselineIsNeverGraded(t *testing.T) {
	n := 0
	noisy := func(c Call) (Reply, error) { n++; return says(fmt.Sprint("answer ", n%3))(c) }
	r := newRehearser(t, everything, models{"strong": noisy, "weak": says("answer 0")})
	for k := range 400 {
		p := observed(k, fmt.Sprint("answer ", k%3))
		evs, err := r.Rehearse(context.Background(), p, p.Event.Ts)
		if err != nil {
			t.Fatal(err)
		}
		if e := evs[len(evs)-1]; e.Outcome != schemas.OutcomeUngraded || e.Grader != "" {
			t.Fatalf("pair %d was graded: %+v", k, e)
		}
	}
}

func TestWhatBecomesOfACandidate(t *testing.T) {
	reply := func(status int, body []byte) func(Call) (Reply, error) {
		return func(Call) (Reply, error) { return Reply{HTTPStatus: status, Body: body}, nil }
	}
	cases := []struct {
		name    string
		answer  func(Call) (Reply, error)
		outcome schemas.Outcome
		quality float32
		cost    schemas.OptUSD
	}{
		{"the same answer has quality 1", says("Yes."), schemas.OutcomeGraded, 1, schemas.KnownUSD(120)},
		{"another answer has quality 0", says("no"), schemas.OutcomeGraded, 0, schemas.KnownUSD(120)},
		{"a server error has quality 0 and costs nothing", reply(500, []byte(`{"error":{}}`)), schemas.OutcomeFailed, 0, schemas.KnownUSD(0)},
		{"a refused request has quality 0", reply(400, []byte(`{"error":{}}`)), schemas.OutcomeFailed, 0, schemas.KnownUSD(0)},
		{"no answer in time has quality 0, at a cost not known", func(Call) (Reply, error) { return Reply{}, context.DeadlineExceeded }, schemas.OutcomeFailed, 0, schemas.OptUSD{}},
		{"an unreadable answer has quality 0", reply(200, []byte(`<html>`)), schemas.OutcomeFailed, 0, schemas.OptUSD{}},
		{"a truncated answer has quality 0, though its text agrees", reply(200, openAIBody("weak-1", "yes", "length")), schemas.OutcomeTruncated, 0, schemas.KnownUSD(120)},
		{"a refusal has quality 0", reply(200, openAIBody("weak-1", "yes", "content_filter")), schemas.OutcomeRefused, 0, schemas.KnownUSD(120)},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			m := models{"strong": says("yes"), "weak": says("yes")}
			r := newRehearser(t, everything, m)
			opened(t, r)
			m["weak"] = tt.answer
			p := observed(7, "yes")
			evs, err := r.Rehearse(context.Background(), p, p.Event.Ts)
			if err != nil {
				t.Fatal(err)
			}
			e := evs[len(evs)-1]
			if e.Outcome != tt.outcome || e.QualityCandidate != tt.quality || e.QualityBaseline != 1 || e.CandidateCost != tt.cost || e.Grader == "" {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestTheFailuresOfAWorkloadThatNoGraderFitsAreNotGraded(t *testing.T) {
	prose := strings.Repeat("This is a long answer in prose. ", 5)
	r := newRehearser(t, everything, models{"strong": says(prose), "weak": func(Call) (Reply, error) { return Reply{HTTPStatus: 500}, nil }})
	for n := range 300 {
		p := observed(n, prose)
		evs, err := r.Rehearse(context.Background(), p, p.Event.Ts)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range evs {
			if e.Grader != "" {
				t.Fatalf("graded: %+v: failures alone would make a verdict", e)
			}
			if e.Candidate == "p/weak" && e.Outcome != schemas.OutcomeFailed {
				t.Fatalf("the failure is not recorded: %+v", e)
			}
		}
	}
}

func TestAnEvaluationCarriesWhatTheVerdictNeeds(t *testing.T) {
	r := newRehearser(t, everything, models{"strong": says("yes"), "weak": says("yes")})
	opened(t, r)
	p := observed(9, "yes")
	evs, err := r.Rehearse(context.Background(), p, p.Event.Ts.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	e := evs[len(evs)-1]
	if e.SamplingProbability == nil || *e.SamplingProbability != 1 || e.Stratum == "" {
		t.Errorf("no recorded probability: %+v", e)
	}
	if e.BaselineSnapshot != "strong-1" || e.CandidateSnapshot != "weak-snapshot" || e.PromptVersion == 0 {
		t.Errorf("snapshots: %+v", e)
	}
	if e.Cluster != "s9" || !e.RequestTs.Equal(p.Event.Ts) || !e.GradedAt.Equal(p.Event.Ts.Add(time.Minute)) {
		t.Errorf("cluster and times: %+v", e)
	}
	if e.InputTokens != 100 || e.OutputTokens != 20 || e.BaselineOutputTokens != 20 || e.LatencyMS != 30 {
		t.Errorf("tokens: %+v", e)
	}
	again, err := newAndOpened(t).Rehearse(context.Background(), p, p.Event.Ts.Add(time.Hour))
	if err != nil || again[len(again)-1].EvaluationID != e.EvaluationID {
		t.Errorf("made twice, an evaluation has two ids: %v", err)
	}
	dup := observed(10, "yes")
	dup.Event.PromptHash = p.Event.PromptHash
	evs, err = r.Rehearse(context.Background(), dup, dup.Event.Ts)
	if err != nil || evs[len(evs)-1].Cluster != "s9" {
		t.Errorf("a duplicate prompt of another session is a cluster of its own: %+v, %v", evs, err)
	}
}

func newAndOpened(t *testing.T) *Rehearser {
	r := newRehearser(t, everything, models{"strong": says("yes"), "weak": says("yes")})
	opened(t, r)
	return r
}

func TestOnlyWholeObservedRequestsAreRehearsed(t *testing.T) {
	for name, spoil := range map[string]func(*schemas.RequestEvent){
		"bypassed":               func(e *schemas.RequestEvent) { e.Bypassed = true },
		"failed":                 func(e *schemas.RequestEvent) { e.Status = schemas.StatusProviderError },
		"aborted":                func(e *schemas.RequestEvent) { e.Status = schemas.StatusClientAbort },
		"truncated":              func(e *schemas.RequestEvent) { e.Status = schemas.StatusTruncated },
		"usage is estimated":     func(e *schemas.RequestEvent) { e.UsageSource = schemas.UsageEstimated },
		"nothing to route":       func(e *schemas.RequestEvent) { e.WouldRoute = "p/strong" },
		"already routed":         func(e *schemas.RequestEvent) { e.ServedModel = "weak" },
		"answered by a fallback": func(e *schemas.RequestEvent) { e.Fallback = true },
		"another workload":       func(e *schemas.RequestEvent) { e.Workload = "other" },
		"an unpriced candidate":  func(e *schemas.RequestEvent) { e.WouldRoute = "p/unpriced" },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRehearser(t, everything, models{"strong": says("yes"), "weak": says("yes")})
			p := observed(1, "yes")
			spoil(&p.Event)
			evs, err := r.Rehearse(context.Background(), p, p.Event.Ts)
			if len(evs) != 0 || err != nil || r.Counts().Unfit != 1 {
				t.Errorf("%v, %v, %+v", evs, err, r.Counts())
			}
		})
	}
}

func TestACallIsTheObservedRequestToAnotherModel(t *testing.T) {
	cases := []struct{ name, in, want string }{
		{"the model's value alone changes", `{ "messages" : [ {"content":"\u00e4 <b>"} ],"model" :"strong","temperature": 1.0}`, `{ "messages" : [ {"content":"\u00e4 <b>"} ],"model" :"weak","temperature": 1.0}`},
		{"a stream becomes plain", `{"model":"strong","stream":true,"messages":[]}`, `{"model":"weak","stream":false,"messages":[]}`},
		{"stream options go with it", `{"model":"strong","stream":true,"stream_options":{"include_usage":true},"n":1}`, `{"model":"weak","stream":false,"n":1}`},
		{"a nested model stays", `{"metadata":{"model":"strong"},"model":"strong"}`, `{"metadata":{"model":"strong"},"model":"weak"}`},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			c, err := newCall(dialect.OpenAIChat, "/v1/chat/completions", "p/weak", []byte(tt.in), false)
			if err != nil || string(c.Body) != tt.want {
				t.Errorf("%s, %v; want %s", c.Body, err, tt.want)
			}
		})
	}
	if _, err := newCall(dialect.OpenAIChat, "/", "p/weak", []byte(`{"messages":[]}`), false); err == nil {
		t.Error("a request without a model was turned into a call")
	}
}

func TestTheSenderUsesStoredCredentialsAndTriesAgain(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		seen = append(seen, r.URL.Path+" "+r.Header.Get("Authorization")+r.Header.Get("X-Api-Key")+" "+gjson.GetBytes(body, "model").String())
		if len(seen) == 1 {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		_, _ = w.Write([]byte("{}"))
	}))
	defer srv.Close()
	s := NewHTTPSender([]Provider{{Name: "p", BaseURL: srv.URL + "/base/", APIKey: "stored"}, {Name: "keyless", BaseURL: srv.URL}}, time.Second)
	defer s.Close()
	var waited time.Duration
	s.pause = func(_ context.Context, d time.Duration) error { waited += d; return nil }
	reply, err := s.Send(context.Background(), Call{Provider: "p", Dialect: dialect.OpenAIChat, Path: "/v1/x", Body: []byte(`{"model":"weak"}`)})
	if err != nil || reply.HTTPStatus != 200 || waited != 3*time.Second {
		t.Fatalf("%+v, %v, waited %v", reply, err, waited)
	}
	if seen[1] != "/base/v1/x Bearer stored weak" {
		t.Errorf("sent %q", seen[1])
	}
	if _, err := s.Send(context.Background(), Call{Provider: "p", Dialect: dialect.AnthropicMessages, Path: "/v1/messages", Body: []byte(`{}`)}); err != nil || !strings.Contains(seen[2], " stored ") {
		t.Errorf("Anthropic's key: %q, %v", seen[2], err)
	}
	for _, name := range []string{"keyless", "nobody"} {
		if _, err := s.Send(context.Background(), Call{Provider: name}); !errors.Is(err, ErrUnsendable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(seen) != 3 {
		t.Errorf("%d requests: a call without a credential was sent", len(seen))
	}
}

// queue is a Source of payloads that ends.
type queue struct {
	mu    sync.Mutex
	ps    []*schemas.Payload
	done  int
	block bool // when empty, wait for ctx
}

func (q *queue) Next(ctx context.Context) (*schemas.Payload, func(), error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ps) == 0 {
		if q.block {
			<-ctx.Done()
			return nil, nil, ctx.Err()
		}
		return nil, nil, io.EOF
	}
	p := q.ps[0]
	q.ps = q.ps[1:]
	return p, func() { q.mu.Lock(); q.done++; q.mu.Unlock() }, nil
}

func TestRunPublishesAndRemembersWhatItSpent(t *testing.T) {
	dir := t.TempDir()
	plan := Plan{Daily: 1000 * 240, Probability: 1} // a thousand rehearsals with their checks
	src := &queue{}
	for n := range 50 {
		src.ps = append(src.ps, observed(n, "yes"))
	}
	src.ps = append(src.ps, observed(99, "yes"))
	src.ps[50].Event.Bypassed = true
	var mu sync.Mutex
	var got []schemas.Evaluation
	publish := func(_ context.Context, evs []schemas.Evaluation) error {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, evs...)
		return nil
	}
	now := func() time.Time { return midnight.Add(time.Minute) }
	r := newRehearser(t, plan, models{"strong": says("yes"), "weak": says("yes")})
	if err := Run(context.Background(), r, src, publish, RunConfig{Dir: dir, Now: now}); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if src.done != 51 || len(got) != 2*int(r.Counts().Rehearsed) || r.Counts().Rehearsed < 30 {
		t.Fatalf("%d done, %d published, %+v", src.done, len(got), r.Counts())
	}
	spent := r.SpentToday("w", now())
	if want := schemas.NanoUSD(len(got)) * 120; spent != want {
		t.Fatalf("spent %d, want %d", spent, want)
	}
	next := newRehearser(t, plan, models{"strong": says("yes"), "weak": says("yes")})
	if err := Run(context.Background(), next, &queue{}, publish, RunConfig{Dir: dir, Now: now}); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if again := next.SpentToday("w", now()); again != spent {
		t.Errorf("after a restart %d is known to be spent, not %d", again, spent)
	}
}

type ledger map[string]schemas.NanoUSD

func (l ledger) RehearsalSpend(context.Context, time.Time) (map[string]schemas.NanoUSD, error) {
	return l, nil
}

func TestABrokenMemoryIsReplacedAndTheLedgerBelieved(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, stateFile), []byte("{half a"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRehearser(t, Plan{Daily: 1000, Probability: 1}, models{"strong": says("yes"), "weak": says("yes")})
	src := &queue{}
	for n := range 20 {
		src.ps = append(src.ps, observed(n, "yes"))
	}
	published := 0
	err := Run(context.Background(), r, src, func(context.Context, []schemas.Evaluation) error { published++; return nil },
		RunConfig{Dir: dir, Ledger: ledger{"w": 1000}, Now: func() time.Time { return midnight }})
	if !errors.Is(err, io.EOF) || published != 0 {
		t.Errorf("%v, %d published although the ledger says that the day's cap is spent", err, published)
	}
	if b, err := os.ReadFile(filepath.Join(dir, stateFile)); err != nil || !json.Valid(b) {
		t.Errorf("the memory is still broken: %v", err)
	}
}

func TestRunEndsWithItsContextAndOnAFailedPublish(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := newRehearser(t, everything, models{"strong": says("yes"), "weak": says("yes")})
	if err := Run(ctx, r, &queue{block: true}, nil, RunConfig{}); err != nil {
		t.Errorf("ended by its context: %v", err)
	}
	broken := errors.New("no broker")
	src := &queue{ps: []*schemas.Payload{observed(1, "yes")}, block: true}
	err := Run(context.Background(), r, src, func(context.Context, []schemas.Evaluation) error { return broken }, RunConfig{Now: func() time.Time { return midnight }})
	if !errors.Is(err, broken) || src.done != 0 {
		t.Errorf("%v, %d done", err, src.done)
	}
}

func TestOwnGrades(t *testing.T) {
	good := func() schemas.Evaluation {
		return schemas.Evaluation{RequestID: "01937f00-0000-7000-8000-000000000001", Workload: "w", RequestModel: "strong", Candidate: "p/weak", QualityBaseline: .9, QualityCandidate: .8}
	}
	got, err := OwnGrades("acme", []schemas.Evaluation{good()}, midnight)
	if err != nil {
		t.Fatal(err)
	}
	if g := got[0]; g.SamplingProbability != nil || g.Grader != "own" || g.Project != "acme" || g.EvaluationID == "" || g.Cluster != g.RequestID ||
		g.RequestTs.Year() != 2024 || g.Outcome != schemas.OutcomeGraded || g.Version == "" {
		t.Errorf("%+v", g)
	}
	half := .5
	for name, spoil := range map[string]func(*schemas.Evaluation){
		"another project":              func(e *schemas.Evaluation) { e.Project = "other" },
		"no request id":                func(e *schemas.Evaluation) { e.RequestID = "" },
		"no workload":                  func(e *schemas.Evaluation) { e.Workload = "" },
		"a candidate without provider": func(e *schemas.Evaluation) { e.Candidate = "weak" },
		"a grade above 1":              func(e *schemas.Evaluation) { e.QualityCandidate = 1.1 },
		"a probability of 0":           func(e *schemas.Evaluation) { zero := 0.0; e.SamplingProbability = &zero },
		"an unknown outcome":           func(e *schemas.Evaluation) { e.Outcome = "great" },
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			e := good()
			spoil(&e)
			if _, err := OwnGrades("acme", []schemas.Evaluation{good(), e}, midnight); err == nil || !strings.Contains(err.Error(), "evaluation 2") {
				t.Errorf("err = %v", err)
			}
		})
	}
	e := good()
	e.SamplingProbability, e.Grader = &half, "exact_match"
	got, err = OwnGrades("acme", []schemas.Evaluation{e}, midnight)
	if err != nil || got[0].Grader != "own:exact_match" || *got[0].SamplingProbability != half {
		t.Errorf("a team's grade passes for gnomon's: %+v, %v", got, err)
	}
}
