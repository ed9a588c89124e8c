package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/dashboards"
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

func TestMigratingAgainChangesNothingAndANewerStoreIsRefused(t *testing.T) {
	s, _ := open(t)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.conn.Exec(t.Context(), "INSERT INTO gnomon.migrations (name, digest) VALUES ('9999_future.sql', 1)"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = s.conn.Exec(context.WithoutCancel(t.Context()), "ALTER TABLE gnomon.migrations DELETE WHERE name = '9999_future.sql' SETTINGS mutations_sync = 1")
	}()
	if err := s.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("Migrate = %v", err)
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

func TestTheWordsOfTheRejectViewAreTheCodes(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(15, 16))
	var batch []schemas.RequestEvent
	for code := range schemas.RejectCodes() {
		e := someEvent(project, r)
		e.Candidates, e.Rejects, e.Workload = []string{"openai/small"}, []schemas.Reject{code}, code.Code()
		batch = append(batch, e)
	}
	none := someEvent(project, r)
	none.Candidates, none.Rejects, none.BaselineReject, none.Workload = nil, nil, schemas.RejectBypassed, schemas.RejectBypassed.Code()
	if err := s.InsertRequests(t.Context(), "", append(batch, none)); err != nil {
		t.Fatal(err)
	}
	n := count(t, s, "SELECT count() FROM gnomon.rejects WHERE project = '"+project+"' AND reason = workload")
	if n != uint64(len(batch)+1) {
		t.Errorf("%d of %d reasons read as their code", n, len(batch)+1)
	}
}

func TestCompletenessIsADifferenceAnyoneCanSee(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(17, 18))
	boot := r.Uint64() >> 12
	var batch []schemas.RequestEvent
	for seq := range uint64(5) {
		e := someEvent(project, r)
		e.BootID, e.Seq, e.Revision = boot, seq+1, 1
		if seq == 4 {
			e.Status, e.Revision = schemas.StatusLost, 0
		}
		batch = append(batch, e)
	}
	err := errors.Join(
		s.InsertRequests(t.Context(), "", batch),
		s.InsertHeartbeats(t.Context(), "", []schemas.Heartbeat{{BootID: boot, Proxy: "p", At: time.Now(), Accepted: 9, Ended: 9, LastSeq: 9}}),
		s.InsertDeclared(t.Context(), "", []schemas.Declared{{BootID: boot, FirstSeq: 6, LastSeq: 7, Reason: "spool_full", At: time.Now()}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Completeness(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range c.Lives {
		if l.BootID == boot {
			if l.Accepted != 9 || l.Stored != 4 || l.Declared != 3 || l.Waiting() != 2 {
				t.Errorf("%+v", l)
			}
			return
		}
	}
	t.Error("the proxy life is not there")
}

func TestPagesOfRequestsHoldEachRequestOnce(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(19, 20))
	var batch []schemas.RequestEvent
	at := time.UnixMilli(1_790_000_000_000).UTC()
	for i := range 57 {
		e := someEvent(project, r)
		e.Ts, e.Workload = at.Add(time.Duration(i/5)*time.Second), "w" // several at one instant
		batch = append(batch, e)
	}
	if err := s.InsertRequests(t.Context(), "", batch); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	f := dashboards.RequestFilter{Project: project, Workload: "w", Limit: 10, From: at, To: at.Add(time.Hour)}
	for pages := 0; ; pages++ {
		page, err := s.Requests(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Requests {
			if seen[e.RequestID] {
				t.Errorf("%s is on two pages", e.RequestID)
			}
			seen[e.RequestID] = true
		}
		if page.Next == "" {
			break
		}
		f.Cursor = page.Next
	}
	if len(seen) != 57 {
		t.Errorf("%d of 57 requests", len(seen))
	}
	for _, f := range []dashboards.RequestFilter{
		{Project: project, Route: "would"}, {Project: project, Route: "kept"}, {Project: project, Route: "routed"}, {Project: project, Reject: "tools", Limit: 5},
	} {
		if _, err := s.Requests(t.Context(), f); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestWhatTheAnalyzerReads(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(21, 22))
	e := someEvent(project, r)
	e.Ts = time.Date(2026, 11, 3, 23, 59, 59, 0, time.UTC)
	e.BaselineProvider, e.Provider, e.RequestModel, e.ServedModel, e.WouldRoute = "", "openai", "big", "big", "openai/small"
	e.BaselineCost, e.WouldCost, e.WouldOutputCost, e.Cost = schemas.KnownUSD(300), schemas.KnownUSD(100), schemas.KnownUSD(40), schemas.KnownUSD(300)
	e.Candidates, e.Rejects = []string{"openai/tiny", "openai/small"}, []schemas.Reject{schemas.RejectTools, schemas.RejectNone}
	unpriced := e
	unpriced.RequestID, unpriced.WouldCost = uuid.NewString(), schemas.OptUSD{}
	if err := s.InsertRequests(t.Context(), "", []schemas.RequestEvent{e, unpriced}); err != nil {
		t.Fatal(err)
	}
	from, to := e.Ts.Truncate(24*time.Hour), e.Ts.Truncate(24*time.Hour).AddDate(0, 0, 1)
	cells, err := s.Cells(t.Context(), project, from, to)
	if err != nil || len(cells) != 1 {
		t.Fatalf("%+v, %v", cells, err)
	}
	c := cells[0]
	if c.Requests != 2 || c.Unpriced != 1 || c.Baseline != 300 || c.Would != 100 || c.WouldOutput != 40 || c.Cost != 600 || !c.Day.Equal(from) || c.Base() != "openai/big" {
		t.Errorf("%+v", c)
	}
	rejects, err := s.Rejects(t.Context(), project, from, to)
	if err != nil || len(rejects) != 1 || rejects[0].Reject != schemas.RejectTools || rejects[0].Requests != 2 || !rejects[0].Routed || rejects[0].Candidate != "openai/tiny" {
		t.Errorf("%+v, %v", rejects, err)
	}
	p, err := s.Period(t.Context(), project)
	if err != nil || !p.First.Equal(e.Ts) || len(p.Days) == 0 || p.Days[0].Hours < 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if empty, err := s.Period(t.Context(), "nobody"); err != nil || !empty.First.IsZero() {
		t.Errorf("%+v, %v", empty, err)
	}
	if _, err := s.Traffic(t.Context(), project, from, to); err != nil {
		t.Error(err)
	}
}

func TestPoliciesAndVerdictsComeBack(t *testing.T) {
	s, project := open(t)
	at := time.UnixMilli(1_790_000_000_000).UTC()
	first := schemas.Policy{Project: project, Workload: "w", Version: 1, Mode: schemas.ModeCanary, At: at, Actor: "a", Reason: "first", Salt: []byte("secret")}
	late := first
	late.At, late.Actor, late.Reason = at.Add(time.Second), "b", "lost the race"
	second := first
	second.Version, second.Replaces, second.At, second.Mode, second.Reason = 2, 1, at.Add(2*time.Second), schemas.ModeObserve, "second"
	if err := s.InsertPolicies(t.Context(), "", []schemas.Policy{first, late, second}); err != nil {
		t.Fatal(err)
	}
	history, err := s.Policies(t.Context(), project, "w")
	if err != nil || len(history) != 2 || history[0].Reason != "second" || history[1].Reason != "first" {
		t.Errorf("%+v, %v", history, err)
	}
	if len(history[1].Salt) != 0 {
		t.Error("the salt is in the store")
	}
	if now, err := s.Policies(t.Context(), project, ""); err != nil || len(now) != 1 || now[0].Version != 2 {
		t.Errorf("%+v, %v", now, err)
	}
	v := schemas.Verdict{Project: project, Workload: "w", RequestModel: "big", Candidate: "openai/small", ComputedAt: at, Readiness: schemas.Ready}
	older := v
	older.ComputedAt, older.Readiness = at.Add(-time.Hour), schemas.Collecting
	if err := s.InsertVerdicts(t.Context(), "", []schemas.Verdict{v, older}); err != nil {
		t.Fatal(err)
	}
	verdicts, err := s.Verdicts(t.Context(), project)
	if err != nil || len(verdicts) != 1 || verdicts[0].Readiness != schemas.Ready {
		t.Errorf("%+v, %v", verdicts, err)
	}
}

func TestViewsCanBeRead(t *testing.T) {
	s, _ := open(t)
	for _, view := range []string{"completeness", "spend_daily", "workloads", "would_routes", "rejects", "latest_verdicts", "accepted_policies"} {
		if _, err := s.Query(t.Context(), "SELECT * FROM gnomon."+view+" LIMIT 3"); err != nil {
			t.Errorf("%s: %v", view, err)
		}
	}
}

func BenchmarkInsertRequests(b *testing.B) {
	s, project := open(b)
	r := rand.New(rand.NewPCG(1, 1))
	rows := make([]schemas.RequestEvent, 20_000)
	for i := range rows {
		rows[i] = someEvent(project, r)
	}
	for b.Loop() {
		if err := s.InsertRequests(b.Context(), uuid.NewString(), rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(rows)*b.N)/b.Elapsed().Seconds(), "rows/s")
}
