package store

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

// open returns a migrated store on the test engine, and a project of its own.
func open(t testing.TB) (*Store, string) {
	t.Helper()
	s, err := Open(t.Context(), Options{DSN: embeddedtest.Engine(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, "p" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
}

// fill sets every field of a struct to a value of its own, so that a forgotten
// column shows.
func fill(v reflect.Value, r *rand.Rand) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMilli(1_790_000_000_000 + r.Int64N(1e9)).UTC()))
		return
	case schemas.OptUSD:
		v.Set(reflect.ValueOf(schemas.KnownUSD(schemas.NanoUSD(r.Int64N(1e15)))))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), r)
		}
	case reflect.String:
		v.SetString("w" + uuid.NewString()[:8])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(uint64(1 + r.IntN(200)))
	case reflect.Uint16:
		v.SetUint(uint64(1 + r.IntN(60000)))
	case reflect.Uint32:
		v.SetUint(uint64(1 + r.IntN(1<<30)))
	case reflect.Uint64:
		v.SetUint(r.Uint64() >> 1)
	case reflect.Int, reflect.Int64:
		v.SetInt(1 + r.Int64N(1<<40))
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(r.IntN(1000)+1) / 1024)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), r)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), r)
		fill(v.Index(1), r)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"k": uuid.NewString()}))
	}
}

func someEvent(project string, r *rand.Rand) schemas.RequestEvent {
	var e schemas.RequestEvent
	fill(reflect.ValueOf(&e).Elem(), r)
	e.Project, e.RequestID, e.Status = project, uuid.Must(uuid.NewV7()).String(), schemas.StatusOK
	return e
}

func TestEveryFieldOfAnEventComesBack(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(1, 2))
	want := someEvent(project, r)
	empty := schemas.RequestEvent{Project: project, Ts: want.Ts, RequestID: uuid.Must(uuid.NewV7()).String()}
	if err := s.InsertRequests(t.Context(), "", []schemas.RequestEvent{want, empty}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []schemas.RequestEvent{want, empty} {
		got, err := s.Request(t.Context(), project, w.RequestID)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, w) {
			for i := range reflect.TypeOf(w).NumField() {
				if a, b := reflect.ValueOf(w).Field(i).Interface(), reflect.ValueOf(got).Field(i).Interface(); !reflect.DeepEqual(a, b) {
					t.Errorf("%s: sent %v, came back %v", reflect.TypeOf(w).Field(i).Name, a, b)
				}
			}
		}
	}
}

func TestEveryFieldOfAnEvaluationComesBack(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(3, 4))
	var want schemas.Evaluation
	fill(reflect.ValueOf(&want).Elem(), r)
	want.Project, want.RequestID, want.EvaluationID = project, uuid.NewString(), uuid.NewString()
	// No request, no name and no snapshot is stored that these could be looked up of.
	want.Recorded, want.Scorer, want.PAdequate = want.Workload, schemas.Scorer{}, nil
	own := want
	own.EvaluationID, own.SamplingProbability, own.CandidateCost = uuid.NewString(), nil, schemas.OptUSD{}
	if err := s.InsertEvaluations(t.Context(), "", []schemas.Evaluation{want, own}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Evaluations(t.Context(), project, want.RequestTs, want.RequestTs.Add(time.Millisecond))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d evaluations, %v", len(got), err)
	}
	for _, g := range got {
		w := want
		if g.EvaluationID == own.EvaluationID {
			w = own
		}
		if !reflect.DeepEqual(g, w) {
			t.Errorf("sent %+v\ncame back %+v", w, g)
		}
	}
}

// TestWhatAnEvaluationDoesNotSayIsLookedUp has rows as builds before wrote them,
// without the baseline's provider, of one model at two.
func TestWhatAnEvaluationDoesNotSayIsLookedUp(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(5, 6))
	now := time.Now().UTC().Truncate(time.Millisecond)
	expected := float32(.75)
	var evs []schemas.RequestEvent
	var evals []schemas.Evaluation
	for i, provider := range []string{"openai", "azure", "azure"} {
		e := someEvent(project, r)
		e.Ts, e.Workload, e.Provider, e.BaselineProvider, e.RequestModel, e.SnapshotHash, e.PAdequate = now.Add(time.Duration(i)*time.Second), "~found", provider, "", "gpt-4o", 77, &expected
		if i == 2 { // routed to openai; decided by a snapshot that nobody kept
			e.Provider, e.BaselineProvider, e.SnapshotHash, e.PAdequate = "openai", provider, 78, nil
		}
		evs = append(evs, e)
		evals = append(evals, schemas.Evaluation{Project: project, Workload: e.Workload, RequestModel: e.RequestModel, Candidate: "openai/gpt-4o-mini", RequestTs: e.Ts, GradedAt: e.Ts,
			RequestID: e.RequestID, EvaluationID: uuid.NewString(), Outcome: schemas.OutcomeGraded})
	}
	said := evals[0]
	said.EvaluationID, said.Provider = uuid.NewString(), "groq" // whoever says it is believed
	snapshot := schemas.SnapshotRecord{Kind: schemas.KindSnapshot, Hash: 77, Project: project, At: now, ClassifierVer: 3, ModelHash: 1<<63 + 5, Record: []byte("{}")}
	named := schemas.Naming{Project: project, Workload: "~found", Version: 1, Name: "letters", At: now}
	if err := errors.Join(s.InsertRequests(t.Context(), "", evs), s.InsertEvaluations(t.Context(), "", append(evals, said)), s.InsertSnapshots(t.Context(), "", []schemas.SnapshotRecord{snapshot}),
		s.InsertNames(t.Context(), "", []schemas.Naming{named})); err != nil {
		t.Fatal(err)
	}
	got, err := s.Evaluations(t.Context(), project, now.Add(-time.Hour), now.Add(time.Hour))
	if err != nil || len(got) != 4 {
		t.Fatalf("%d evaluations: %v", len(got), err)
	}
	kept := schemas.Scorer{Version: 3, Weights: 1<<63 + 5}
	for _, e := range got {
		provider, scorer, expects := "openai", kept, true
		switch e.RequestID {
		case evs[1].RequestID:
			provider = "azure"
		case evs[2].RequestID:
			provider, scorer, expects = "azure", schemas.Scorer{}, false
		}
		if e.EvaluationID == said.EvaluationID {
			provider = "groq"
		}
		if e.Provider != provider || e.Scorer != scorer || (e.PAdequate != nil) != expects || expects && *e.PAdequate != expected || e.Workload != "letters" || e.Recorded != "~found" {
			t.Errorf("%+v, want %s by %v", e, provider, scorer)
		}
	}
	if members, err := s.Members(t.Context(), project); err != nil || !reflect.DeepEqual(members, map[string][]analyzer.Member{"letters": {{Found: "~found", Since: now}}}) {
		t.Errorf("%v, %v", members, err)
	}
	// What has left a name was recorded under it until then.
	other := schemas.Naming{Project: project, Workload: "~other-one", Version: 1, Name: "letters", At: now}
	gone := other
	gone.Version, gone.Name, gone.At, gone.Offset = 2, "", now.Add(time.Hour), 1
	if err := s.InsertNames(t.Context(), "left", []schemas.Naming{other, gone}); err != nil {
		t.Fatal(err)
	}
	if members, err := s.Members(t.Context(), project); err != nil || !reflect.DeepEqual(members, map[string][]analyzer.Member{"letters": {{Found: "~found", Since: gone.At}}}) {
		t.Errorf("%v, %v", members, err)
	}
}

// TestWhatIsToldOfEachProviderAtOneMomentIsKept has rows of before providers were
// told apart, too.
func TestWhatIsToldOfEachProviderAtOneMomentIsKept(t *testing.T) {
	s, project := open(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	var all []schemas.EvidenceRecord
	for _, provider := range []string{"", "azure", "openai"} {
		all = append(all, schemas.EvidenceRecord{Version: "1.0", Project: project, Workload: "w", Provider: provider, RequestModel: "gpt-4o", Candidate: "openai/gpt-4o-mini", State: schemas.EvidenceReady, At: now})
	}
	if err := s.InsertEvidence(t.Context(), "", all); err != nil {
		t.Fatal(err)
	}
	if got := rowsOf(t, s, "SELECT arrayStringConcat(arraySort(groupArray(provider)), '|') FROM gnomon.evidence FINAL WHERE project = '"+project+"'"); got != "|azure|openai" {
		t.Errorf("kept %q", got)
	}
}

func TestTheInputsOfGradedRequestsAreFound(t *testing.T) {
	s, project := open(t)
	evs := traffic(project, 40, 1, 83)
	var evals []schemas.Evaluation
	want := map[string]string{}
	for i := range evs {
		evs[i].Inputs = []byte{1, byte(i), 0xff}
		e := schemas.Evaluation{Project: project, Workload: "w", Candidate: "c", RequestTs: evs[i].Ts, GradedAt: evs[i].Ts, RequestID: evs[i].RequestID, EvaluationID: uuid.NewString(), Outcome: schemas.OutcomeGraded}
		switch {
		case i%4 == 0:
			want[evs[i].RequestID] = string(evs[i].Inputs)
		case i%4 == 1:
			e.Outcome = schemas.OutcomeUngraded
		default:
			continue
		}
		evals = append(evals, e)
	}
	lost := schemas.Evaluation{Project: project, Workload: "w", Candidate: "c", RequestTs: evs[0].Ts, GradedAt: evs[0].Ts, RequestID: uuid.NewString(), EvaluationID: uuid.NewString(), Outcome: schemas.OutcomeGraded}
	if err := errors.Join(s.InsertRequests(t.Context(), "", evs), s.InsertEvaluations(t.Context(), "", append(evals, lost))); err != nil {
		t.Fatal(err)
	}
	got, err := reader(t).InputsOfGraded(t.Context(), project, evs[0].Ts.Add(-time.Hour), evs[39].Ts.Add(time.Hour))
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d of %d, %v", len(got), len(want), err)
	}
	for id, inputs := range want {
		if string(got[id]) != inputs {
			t.Errorf("%s: %q, want %q", id, got[id], inputs)
		}
	}
	if none, err := s.InputsOfGraded(t.Context(), project, evs[39].Ts.Add(time.Hour), evs[39].Ts.Add(2*time.Hour)); err != nil || len(none) != 0 {
		t.Errorf("%d of another time, %v", len(none), err)
	}
}

func count(t *testing.T, s *Store, sql string) uint64 {
	t.Helper()
	r, err := s.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	return r.Rows[0][0].(uint64)
}

func TestARepetitionIsStoredOnce(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(5, 6))
	batch := []schemas.RequestEvent{someEvent(project, r), someEvent(project, r)}
	for range 2 {
		if err := s.InsertRequests(t.Context(), project+":0:0-1", batch); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, "SELECT count() FROM gnomon.requests WHERE project = '"+project+"'"); n != 2 {
		t.Errorf("the same batch under the same token: %d rows", n)
	}
	// Other rows are passed over just so: who gives tokens has to see to that.
	if err := s.InsertRequests(t.Context(), project+":0:0-1", []schemas.RequestEvent{someEvent(project, r)}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "SELECT count() FROM gnomon.requests WHERE project = '"+project+"'"); n != 2 {
		t.Errorf("other rows under the same token: %d rows", n)
	}
	// Cut otherwise, the token cannot know; FINAL does.
	if err := s.InsertRequests(t.Context(), project+":0:0-0", batch[:1]); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "SELECT count() FROM gnomon.requests FINAL WHERE project = '"+project+"'"); n != 2 {
		t.Errorf("the same row under another token: %d rows with FINAL", n)
	}
}

func TestATrueRowBeatsADeclaredOneWheneverItComes(t *testing.T) {
	s, project := open(t)
	ended := someEvent(project, rand.New(rand.NewPCG(7, 8)))
	ended.Revision = 1
	lost := schemas.RequestEvent{Project: project, Ts: ended.Ts, RequestID: ended.RequestID, Status: schemas.StatusLost}
	for i, batch := range [][]schemas.RequestEvent{{ended}, {lost}} {
		if err := s.InsertRequests(t.Context(), project+string(rune('a'+i)), batch); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Request(t.Context(), project, ended.RequestID)
	if err != nil || got.Status != schemas.StatusOK {
		t.Errorf("%s, %v", got.Status, err)
	}
}

func TestMoneyIsExactAndUnpricedIsNull(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(9, 10))
	var sum schemas.NanoUSD
	var batch []schemas.RequestEvent
	for i := range 50 {
		e := someEvent(project, r)
		e.Cost = schemas.KnownUSD(schemas.NanoUSD(r.Int64N(1e15)))
		if i%10 == 0 {
			e.Cost = schemas.OptUSD{}
		}
		sum += e.Cost.Nano
		batch = append(batch, e)
	}
	if err := s.InsertRequests(t.Context(), "", batch); err != nil {
		t.Fatal(err)
	}
	rows, err := s.Query(t.Context(), "SELECT toString(sum(cost)), countIf(cost IS NULL) FROM gnomon.requests FINAL WHERE project = '"+project+"'")
	if err != nil {
		t.Fatal(err)
	}
	got, err := schemas.ParseUSD(rows.Rows[0][0].(string))
	if err != nil || got != sum || rows.Rows[0][1] != uint64(5) {
		t.Errorf("sum %v (%v) of %v, unpriced %v", got, err, sum, rows.Rows[0][1])
	}
}

func TestARowThatCanNeverBeStoredIsNamed(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(11, 12))
	bad := someEvent(project, r)
	bad.RequestID = "not-a-uuid"
	err := s.InsertRequests(t.Context(), "", []schemas.RequestEvent{someEvent(project, r), bad})
	var row *ErrRow
	if !errors.As(err, &row) || row.Index != 1 {
		t.Errorf("%v", err)
	}
}

func TestTheUserWithoutPasswordCannotWrite(t *testing.T) {
	s, project := open(t)
	reader, err := Open(t.Context(), Options{DSN: embeddedtest.ReaderEngine(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	e := someEvent(project, rand.New(rand.NewPCG(13, 14)))
	if err := reader.InsertRequests(t.Context(), "", []schemas.RequestEvent{e}); err == nil {
		t.Error("inserted")
	}
	if err := s.InsertRequests(t.Context(), "", []schemas.RequestEvent{e}); err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Request(t.Context(), project, e.RequestID); err != nil {
		t.Errorf("cannot read: %v", err)
	}
}
