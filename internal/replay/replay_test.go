package replay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
	"github.com/gnomon-llm/gnomon/internal/replay"
	"github.com/gnomon-llm/gnomon/internal/store"
	"github.com/gnomon-llm/gnomon/proxy"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMain(m *testing.M) {
	replay.Impatient()
	embeddedtest.Main(m)
}

// open returns a migrated store on the test engine, and a project of its own.
func open(t testing.TB) (*store.Store, string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DSN: embeddedtest.Engine(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, "p" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
}

func book(t testing.TB) *savings.Book {
	t.Helper()
	b, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func partsOf(t testing.TB, project string) classifier.Parts {
	return classifier.Parts{
		Project: project, Ladders: classifier.BuiltinLadders(), Capabilities: classifier.BuiltinCapabilities(), Prices: book(t), DraftThreshold: .5,
		Providers: []classifier.Provider{{Name: "openai", Dialects: []string{"openai.chat"}, Credential: true}, {Name: "anthropic", Dialects: []string{"anthropic.messages"}}},
		Policies:  []schemas.Policy{{Project: project, Workload: "live", Version: 2, Mode: schemas.ModeLive, Candidate: "openai/gpt-4o-mini", Threshold: .9, Share: 10_000, Control: 500, Salt: []byte("0123456789abcdef"), Override: true}},
		Evidence: []classifier.Evidence{{Workload: "live", Provider: "openai", Scorer: classifier.Builtin().Scorer(), RequestModel: "gpt-4o", Candidate: "openai/gpt-4o-mini", State: schemas.EvidenceCollecting,
			Adequacy: schemas.Calibration{Pairs: 90, Level: 61_000, Lower: 58_000, Upper: 63_000, Centre: 21_000, Slope: 9_000}}},
	}
}

// keep stores what decides, as ingest would.
func keep(t testing.TB, s *store.Store, snapshots ...*classifier.Snapshot) {
	t.Helper()
	for _, snapshot := range snapshots {
		sealed := snapshot.Sealed()
		at := time.Now()
		prices, err := json.Marshal(snapshot.Parts().Prices)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := json.Marshal(sealed)
		if err != nil {
			t.Fatal(err)
		}
		err = s.InsertSnapshots(t.Context(), "", []schemas.SnapshotRecord{
			{Kind: schemas.KindPriceBook, Hash: sealed.Prices, At: at, Record: prices},
			{Kind: schemas.KindSnapshot, Hash: sealed.Hash, At: at, ClassifierVer: sealed.Origin.Version, ModelHash: sealed.Origin.Model, RulesHash: sealed.Origin.Rules, PricesHash: sealed.Prices, Record: whole},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

var start = time.Date(2026, 11, 3, 22, 0, 0, 0, time.UTC)

// bodyOf is the i-th request of a mixed lot.
func bodyOf(i int) []byte {
	model := []string{"gpt-4o", "gpt-4o-2024-08-06", "gpt-4.1", "gpt-4o-mini", "nobody-knows"}[i%5]
	extra := []string{"", `"tools":[{"type":"function","function":{"name":"f"}}],`, `"max_tokens":200,`, `"response_format":{"type":"json_object"},`, `"n":2,`, ""}[i%6]
	return fmt.Appendf(nil, `{"model":%q,%s"messages":[{"role":"system","content":"You sort letters of customers into classes."},{"role":"user","content":"%s number %d, please explain why %s"}]}`,
		model, extra, []string{"Classify the letter", "Prove the theorem", "Translate this"}[i%3], i, strings.Repeat("the invoice was charged twice. ", i%17))
}

// eventsOf are n requests as a proxy records them.
func eventsOf(t testing.TB, project string, s *classifier.Snapshot, n int) (evs []schemas.RequestEvent, bodies []schemas.Payload) {
	t.Helper()
	o := proxy.NewObserver(project, func() *classifier.Snapshot { return s }, book(t))
	boot := uint64(time.Now().UnixNano())
	for i := range n {
		body := bodyOf(i)
		r := proxy.Request{Ts: start.Add(time.Duration(i) * 37 * time.Second), Provider: "openai", Path: "/v1/chat/completions", Dialect: "openai.chat",
			Feature: []string{"sort", "live", "", "math"}[i%4], Session: fmt.Sprint("s", i/3), CredentialHash: "c", Body: body, Bypassed: i%50 == 7}
		d := o.Decide(&r)
		a := proxy.Answer{HTTPStatus: 200, Sent: true, Latency: time.Second,
			Body: []byte(`{"id":"x","model":"gpt-4o","choices":[{"message":{"content":"yes"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":20}}`)}
		if d.Route.Model != "" {
			a.Provider, a.ServedModel = d.Route.Provider, d.Route.Model
		}
		ev := o.Event(&r, &d, &a)
		ev.RequestID, ev.BootID, ev.Seq = uuid.Must(uuid.NewV7()).String(), boot, uint64(i+1)
		evs = append(evs, ev)
		bodies = append(bodies, schemas.Payload{Event: ev, Path: r.Path, RequestBody: body})
	}
	return evs, bodies
}

func insert(t testing.TB, s *store.Store, evs ...schemas.RequestEvent) {
	t.Helper()
	if err := s.InsertRequests(t.Context(), "", evs); err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, s *store.Store, project string) *replay.Result {
	t.Helper()
	r, err := replay.Run(t.Context(), s, project, time.Unix(0, 0), time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheLogDecidesAsItWasDecided(t *testing.T) {
	s, project := open(t)
	before := classifier.NewSnapshot(partsOf(t, project))
	parts := partsOf(t, project)
	parts.DraftThreshold, parts.Policies[0].Threshold, parts.Ladders = .8, .2, nil
	after := classifier.NewSnapshot(parts)
	keep(t, s, before, after)
	one, _ := eventsOf(t, project, before, 3000)
	two, _ := eventsOf(t, project, after, 500)
	lost := schemas.RequestEvent{Project: project, Ts: start, RequestID: uuid.NewString(), Status: schemas.StatusLost}
	insert(t, s, append(append(one, two...), lost)...)
	insert(t, s, one[:100]...) // sent twice
	r := run(t, s, project)
	if r.Decisions != 3500 || r.Differs() || r.NotReplayable != 0 || r.Snapshots != 2 || r.OtherWeights != 0 {
		t.Errorf("%+v", r)
	}
	routes, acted, calibrated := map[string]bool{}, 0, 0
	for i := range one {
		if one[i].PAdequate != nil {
			calibrated++
		}
		routes[one[i].WouldRoute] = true
		if one[i].ServedModel != one[i].RequestModel {
			acted++
		}
	}
	if len(routes) < 5 || acted < 50 || calibrated < 50 {
		t.Errorf("the lot is too plain: routes %v, %d acted on, %d calibrated", routes, acted, calibrated)
	}
	part, err := replay.Run(t.Context(), s, project, start.Add(time.Hour), start.Add(3*time.Hour))
	if err != nil || part.Decisions == 0 || part.Decisions >= 500 {
		t.Errorf("two hours: %+v, %v", part, err)
	}
}

// TestEveryFieldThatWasChangedAfterwardsIsNoticed stores a row for each field of
// a decision in which that field is not what was decided.
func TestEveryFieldThatWasChangedAfterwardsIsNoticed(t *testing.T) {
	s, project := open(t)
	snapshot := classifier.NewSnapshot(partsOf(t, project))
	keep(t, s, snapshot)
	changes := map[string]func(*schemas.RequestEvent){
		"would_route": func(e *schemas.RequestEvent) { e.WouldRoute += "x" },
		"candidates":  func(e *schemas.RequestEvent) { e.Candidates = append([]string{"x/y"}, e.Candidates...) },
		"rejects": func(e *schemas.RequestEvent) {
			e.Rejects = append([]schemas.Reject{schemas.RejectAudio}, e.Rejects[1:]...)
		},
		"baseline_reject":    func(e *schemas.RequestEvent) { e.BaselineReject++ },
		"expected_cost":      func(e *schemas.RequestEvent) { e.ExpectedCost.Nano++ },
		"evidence_state":     func(e *schemas.RequestEvent) { e.EvidenceState = schemas.EvidenceReady },
		"p_adequate":         func(e *schemas.RequestEvent) { p := float32(.5); e.PAdequate = &p },
		"held":               func(e *schemas.RequestEvent) { e.Held += "x" },
		"mode":               func(e *schemas.RequestEvent) { e.Mode = schemas.ModePaused },
		"policy_version":     func(e *schemas.RequestEvent) { e.PolicyVersion++ },
		"workload":           func(e *schemas.RequestEvent) { e.Workload += "x" },
		"request_model":      func(e *schemas.RequestEvent) { e.RequestModel, e.ServedModel = "x", "x" },
		"dialect":            func(e *schemas.RequestEvent) { e.Dialect += "x" },
		"operation":          func(e *schemas.RequestEvent) { e.Operation += "x" },
		"arm":                func(e *schemas.RequestEvent) { e.Arm = "treatedx" },
		"bypassed":           func(e *schemas.RequestEvent) { e.Bypassed = !e.Bypassed },
		"gates":              func(e *schemas.RequestEvent) { e.Gates ^= 1 << 13 },
		"task_class":         func(e *schemas.RequestEvent) { e.TaskClass += "x" },
		"score":              func(e *schemas.RequestEvent) { e.Score += 1.0 / 65535 },
		"novelty":            func(e *schemas.RequestEvent) { e.Novelty -= 1.0 / 65535 },
		"classifier_version": func(e *schemas.RequestEvent) { e.ClassifierVer++ },
		"prompt_hash":        func(e *schemas.RequestEvent) { e.PromptHash++ },
		"served":             func(e *schemas.RequestEvent) { e.ServedModel = "somebody-else" },
	}
	for _, name := range replay.Fields {
		if changes[name] == nil {
			t.Errorf("nothing changes %s", name)
		}
	}
	all, _ := eventsOf(t, project, snapshot, 400)
	var rows []schemas.RequestEvent
	want := map[string]string{}
	fit := slices.DeleteFunc(slices.Clone(all), func(e schemas.RequestEvent) bool {
		return len(e.Rejects) == 0 || !e.ExpectedCost.Known || e.Workload == "live" || e.BaselineReject != 0
	})
	for name, change := range changes {
		e := fit[len(rows)]
		e.RequestID = uuid.NewString()
		change(&e)
		want[e.RequestID] = name
		rows = append(rows, e)
	}
	insert(t, s, rows...)
	insert(t, s, all...)
	r := run(t, s, project)
	if r.Decisions != uint64(400+len(rows)) || r.Differing != uint64(len(rows)) || r.NotReplayable != 0 {
		t.Errorf("%d decisions, %d differing, %d not replayable; %d were changed", r.Decisions, r.Differing, r.NotReplayable, len(rows))
	}
	for _, d := range r.Differences {
		if len(d.Fields) != 1 || d.Fields[0].Field != want[d.RequestID] {
			t.Errorf("%q was changed, and %+v differs", want[d.RequestID], d.Fields)
		}
	}
	if len(r.Differences) != 20 {
		t.Errorf("%d are listed, want 20", len(r.Differences))
	}
}

// TestADecisionThatCannotBeTakenAgainIsNeverEqual has rows whose snapshot is
// gone, of other rules, of another price book, or of another content.
func TestADecisionThatCannotBeTakenAgainIsNeverEqual(t *testing.T) {
	s, project := open(t)
	tell := func(name, why string, store func(parts classifier.Parts) *classifier.Snapshot) {
		t.Run(name, func(t *testing.T) {
			of := project + strings.ReplaceAll(name, " ", "")
			parts := partsOf(t, of)
			snapshot := store(parts)
			evs, _ := eventsOf(t, of, snapshot, 10)
			insert(t, s, evs...)
			r := run(t, s, of)
			if r.Decisions != 0 || r.NotReplayable != 10 || len(r.Reasons) != 1 || !strings.Contains(r.Reasons[0].Why, why) || r.Reasons[0].Decisions != 10 {
				t.Errorf("%+v", r)
			}
		})
	}
	put := func(sealed classifier.Sealed, hash uint64) {
		raw, err := json.Marshal(sealed)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.InsertSnapshots(t.Context(), "", []schemas.SnapshotRecord{{Kind: schemas.KindSnapshot, Hash: hash, At: time.Now(), Record: raw}}); err != nil {
			t.Fatal(err)
		}
	}
	keep(t, s, classifier.NewSnapshot(partsOf(t, project))) // the price book
	tell("snapshot gone", "was not kept", func(p classifier.Parts) *classifier.Snapshot { return classifier.NewSnapshot(p) })
	tell("other rules", "rules", func(p classifier.Parts) *classifier.Snapshot {
		snapshot := classifier.NewSnapshot(p)
		sealed := snapshot.Sealed()
		sealed.Origin.Rules++
		put(sealed, snapshot.Hash())
		return snapshot
	})
	tell("other content", "makes", func(p classifier.Parts) *classifier.Snapshot {
		snapshot := classifier.NewSnapshot(p)
		sealed := snapshot.Sealed()
		sealed.Parts.DraftThreshold = 1
		put(sealed, snapshot.Hash())
		return snapshot
	})
	tell("another snapshot", "is another", func(p classifier.Parts) *classifier.Snapshot {
		snapshot := classifier.NewSnapshot(p)
		p.DraftThreshold = 1
		put(classifier.NewSnapshot(p).Sealed(), snapshot.Hash())
		return snapshot
	})
	tell("price book gone", "price book", func(p classifier.Parts) *classifier.Snapshot {
		own, err := book(t).With(savings.Entry{Provider: "openai", Model: "gpt-4o", Rates: savings.Rates{Input: schemas.KnownUSD(1), Output: schemas.KnownUSD(2)}})
		if err != nil {
			t.Fatal(err)
		}
		p.Prices = own
		snapshot := classifier.NewSnapshot(p)
		put(snapshot.Sealed(), snapshot.Hash())
		return snapshot
	})
}

func TestAPriceBookOfOldDaysDecidesAsItDid(t *testing.T) {
	s, project := open(t)
	parts := partsOf(t, project)
	own, err := book(t).With(savings.Entry{Provider: "openai", Model: "gpt-4o", Rates: savings.Rates{Input: schemas.KnownUSD(1), Output: schemas.KnownUSD(2)}})
	if err != nil {
		t.Fatal(err)
	}
	parts.Prices = own
	snapshot := classifier.NewSnapshot(parts)
	keep(t, s, snapshot)
	evs, _ := eventsOf(t, project, snapshot, 200)
	insert(t, s, evs...)
	if r := run(t, s, project); r.Decisions != 200 || r.Differs() {
		t.Errorf("%+v", r)
	}
}

func TestARefusedDecisionIsTakenAgainAsOne(t *testing.T) {
	s, project := open(t)
	snapshot := classifier.NewSnapshot(partsOf(t, project))
	keep(t, s, snapshot)
	evs, _ := eventsOf(t, project, snapshot, 8)
	for i := range evs {
		var in classifier.Inputs
		if err := in.UnmarshalBinary(evs[i].Inputs); err != nil {
			t.Fatal(err)
		}
		d := classifier.Refused(&in, snapshot, schemas.RejectClassifier)
		e := &evs[i]
		e.PAdequate, e.Held = nil, ""
		e.WouldRoute, e.Candidates, e.Rejects, e.BaselineReject, e.ExpectedCost, e.EvidenceState, e.Mode = d.Route, d.Candidates, d.Rejects, d.BaselineReject, d.Expected, d.Evidence, d.Mode
		e.ServedModel = e.RequestModel
	}
	insert(t, s, evs...)
	if r := run(t, s, project); r.Decisions != 8 || r.Differs() {
		t.Errorf("%+v", r)
	}
}

// payloads are bodies as a broker keeps them.
func payloads(list []schemas.Payload) replay.Payloads {
	return func(_ context.Context, fn func(*schemas.Payload) error) error {
		for i := range list {
			if err := fn(&list[i]); err != nil {
				return err
			}
		}
		return nil
	}
}

// TestOtherWeightsAreFoundAgain: a team's own weights assess; replay takes them
// from the store, and says so where they are not there.
func TestOtherWeightsAreFoundAgain(t *testing.T) {
	s, project := open(t)
	w := *classifier.Builtin().Weights()
	w.Bias += int64(time.Now().UnixNano()%9_000) + 20_000 // the store is shared by tests: weights of this run alone
	file := w.Encode()
	model, err := classifier.ReadWeights(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := partsOf(t, project)
	parts.Model = model
	own := classifier.NewSnapshot(parts)
	if own.Hash() == classifier.NewSnapshot(partsOf(t, project)).Hash() {
		t.Fatal("other weights, the same hash")
	}
	keep(t, s, own)
	evs, bodies := eventsOf(t, project, own, 100)
	insert(t, s, evs...)
	for _, row := range []struct {
		name                     string
		keep                     bool
		remade, other, notRemade uint64
	}{{"weights that were not kept", false, 0, 100, 100}, {"weights that were kept", true, 100, 0, 0}} {
		t.Run(row.name, func(t *testing.T) {
			if row.keep {
				raw, err := json.Marshal(file)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.InsertSnapshots(t.Context(), "", []schemas.SnapshotRecord{{Kind: schemas.KindWeights, Hash: model.Hash(), At: time.Now(), Record: raw}}); err != nil {
					t.Fatal(err)
				}
			}
			r := run(t, s, project)
			if err := replay.Reassess(t.Context(), r, payloads(bodies), proxy.Reassess, s); err != nil {
				t.Fatal(err)
			}
			if r.Decisions != 100 || r.Differs() || r.OtherWeights != row.other || r.Assessments.Bodies != row.remade || r.Assessments.NotRemade != row.notRemade {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestKeptBodiesAreAssessedAgain(t *testing.T) {
	s, project := open(t)
	snapshot := classifier.NewSnapshot(partsOf(t, project))
	keep(t, s, snapshot)
	_, bodies := eventsOf(t, project, snapshot, 100)
	r := run(t, s, project)
	if err := replay.Reassess(t.Context(), r, payloads(append(bodies, bodies[0])), proxy.Reassess, s); err != nil || r.Assessments.Bodies != 100 || r.Differs() {
		t.Errorf("%+v, %v", r, err)
	}
	for i := range bodies { // looked at for a candidate in another dialect
		var in classifier.Inputs
		if err := in.UnmarshalBinary(bodies[i].Event.Inputs); err != nil {
			t.Fatal(err)
		}
		in.Features.Gates |= schemas.GateInAnthropic
		bodies[i].Event.Inputs = in.AppendBinary(nil)
	}
	bodies[3].RequestBody = append([]byte(nil), bodies[4].RequestBody...)
	bodies[5].Event.SnapshotHash++ // of a build of which nothing is known
	for i, why := range map[int]schemas.Reject{7: schemas.RejectClassifier, 8: schemas.RejectNone} {
		// Nothing was recorded: of the first the classifier was late, of the second it should have been.
		bodies[i].Event.Inputs, bodies[i].Event.BaselineReject = (&classifier.Inputs{Workload: "w"}).AppendBinary(nil), why
	}
	r = run(t, s, project)
	if err := replay.Reassess(t.Context(), r, payloads(bodies), proxy.Reassess, s); err != nil || r.Assessments.Differing != 2 || r.Assessments.NotRemade != 2 || !r.Differs() {
		t.Errorf("%+v, %v", r, err)
	}
}
