package store

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestPagesReachBackToTheOldest(t *testing.T) {
	s, project := open(t)
	evs := traffic(project, 300, 380, 11) // thin: every span has to be tried
	for i := range evs {
		evs[i].Workload = []string{"often", "often", "often", "seldom"}[i%4]
	}
	if err := s.InsertRequests(t.Context(), "", evs); err != nil {
		t.Fatal(err)
	}
	from, to := evs[100].Ts, evs[200].Ts
	for _, tt := range []struct {
		name   string
		filter dashboards.RequestFilter
		want   int
	}{
		{"everything", dashboards.RequestFilter{}, 300},
		{"a workload", dashboards.RequestFilter{Workload: "seldom"}, 75},
		{"from a time", dashboards.RequestFilter{From: from}, 200},
		{"to a time", dashboards.RequestFilter{To: to}, 200},
		{"between two", dashboards.RequestFilter{From: from, To: to}, 100},
		{"before there was anything", dashboards.RequestFilter{To: evs[0].Ts}, 0},
		{"after the newest", dashboards.RequestFilter{From: evs[299].Ts.Add(time.Hour)}, 0},
		{"a session", dashboards.RequestFilter{Session: evs[5].Session, From: evs[5].Ts, To: evs[5].Ts.Add(time.Millisecond)}, 1},
		{"a reason that does not exist", dashboards.RequestFilter{Reject: "no_such_word"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := tt.filter
			f.Project, f.Limit = project, 37
			var last time.Time
			n := 0
			for {
				page, err := s.Requests(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Requests {
					if n > 0 && e.Ts.After(last) {
						t.Errorf("%s comes after %s", e.Ts, last)
					}
					last = e.Ts
					n++
				}
				if f.Cursor = page.Next; f.Cursor == "" {
					break
				}
			}
			if n != tt.want {
				t.Errorf("%d requests, not %d", n, tt.want)
			}
		})
	}
	if _, err := s.Requests(t.Context(), dashboards.RequestFilter{Project: project, Cursor: "x'; DROP"}); err == nil {
		t.Error("a cursor of someone's own making was taken")
	}
}

func TestARequestIsFoundByItsIDWhateverItsClockSaid(t *testing.T) {
	s, project := open(t)
	evs := traffic(project, 3, 1, 12)
	evs[1].Ts = evs[1].Ts.AddDate(0, -3, 0) // the clock was set back after the id was made
	evs[2].RequestID = uuid.NewString()     // no time in the id
	if err := s.InsertRequests(t.Context(), "", evs); err != nil {
		t.Fatal(err)
	}
	for _, e := range evs {
		if got, err := s.Request(t.Context(), project, strings.ToUpper(e.RequestID)); err != nil || got.ResponseID != e.ResponseID {
			t.Errorf("%s: %+v, %v", e.RequestID, got, err)
		}
	}
	for _, id := range []string{uuid.NewString(), uuid.Must(uuid.NewV7()).String(), "", "' OR 1=1"} {
		if _, err := s.Request(t.Context(), project, id); err == nil {
			t.Errorf("%q is found", id)
		}
	}
	if _, err := s.Request(t.Context(), "another", evs[0].RequestID); err == nil {
		t.Error("found in another project")
	}
}

// TestAReplayOverTheEdgeOfAMonthIsOneRow delivers one request of each side of the edge
// again and again, cut into batches elsewhere each time: what is late comes with, and
// behind, what is of the next month. All records of one request have its one time, that
// of its beginning, so that they meet in its own month whenever they come.
func TestAReplayOverTheEdgeOfAMonthIsOneRow(t *testing.T) {
	s, project := open(t)
	last, first := traffic(project, 1, 1, 13)[0], traffic(project, 1, 1, 13)[0]
	last.RequestID, last.Ts = uuid.NewString(), time.Date(2026, 10, 31, 23, 59, 59, 999e6, time.UTC)
	first.RequestID, first.Ts = uuid.NewString(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	lost := func(e schemas.RequestEvent) schemas.RequestEvent {
		return schemas.RequestEvent{Project: project, Ts: e.Ts, RequestID: e.RequestID, Status: schemas.StatusLost}
	}
	amended := last
	amended.Revision = 2
	for i, batch := range [][]schemas.RequestEvent{
		{first},             // the next month has begun
		{last, first},       // what was under way comes, and what was delivered comes again with it
		{lost(last)},        // declared meanwhile
		{amended, first},    // counted anew, over the edge
		{lost(first), last}, // a share that is read again, in another order
		{first, last},
	} {
		if err := s.InsertRequests(t.Context(), project+string(rune('a'+i)), batch); err != nil {
			t.Fatal(err)
		}
	}
	if got := rowsOf(t, s, "SELECT toYYYYMM(ts) AS m, count(), groupArray(status), groupArray(revision) FROM gnomon.requests FINAL WHERE project = '"+project+"' GROUP BY m ORDER BY m"); got != "202610 1 [ok] [2]] [202611 1 [ok] [1" {
		t.Error(got)
	}
}

func TestALookThatIsStillArrivingDoesNotCountYet(t *testing.T) {
	s, project := open(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	look := func(at time.Time, workloads ...string) {
		t.Helper()
		var vs []schemas.Verdict
		for _, w := range workloads {
			vs = append(vs, schemas.Verdict{Project: project, Workload: w, RequestModel: "big", Candidate: "c", ComputedAt: at})
		}
		if err := s.InsertVerdicts(t.Context(), "", vs); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what string, workloads ...string) {
		t.Helper()
		vs, err := s.Verdicts(t.Context(), project)
		var got []string
		for _, v := range vs {
			got = append(got, v.Workload)
		}
		if err != nil || !reflect.DeepEqual(got, workloads) {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	expect("before any look")
	look(now.Add(-2*time.Hour), "a", "b", "c")
	look(now.Add(-time.Hour), "a", "b")
	expect("c was not found by an old look", "a", "b")
	look(now, "a")
	expect("half of a look", "a", "b")
	look(now, "c")
	expect("the whole of it", "a", "c")
}

// TestEveryFieldOfARecordHasItsColumn holds the tables against the records'
// names in JSON; record columns hold the rest of those that have one.
func TestEveryFieldOfARecordHasItsColumn(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(31, 32))
	heartbeat, declared, evidence, policy, verdict := filled[schemas.Heartbeat](r), filled[schemas.Declared](r), filled[schemas.EvidenceRecord](r), filled[schemas.Policy](r), filled[schemas.Verdict](r)
	evidence.Project, policy.Project, verdict.Project = project, project, project
	for _, c := range []struct {
		table, where string
		record       any
		insert       error
	}{
		{"heartbeats", "boot_id = " + line(heartbeat.BootID), heartbeat, s.InsertHeartbeats(t.Context(), "", []schemas.Heartbeat{heartbeat})},
		{"declared", "boot_id = " + line(declared.BootID), declared, s.InsertDeclared(t.Context(), "", []schemas.Declared{declared})},
		{"evidence", "project = '" + project + "'", evidence, s.InsertEvidence(t.Context(), "", []schemas.EvidenceRecord{evidence})},
	} {
		if c.insert != nil {
			t.Fatal(c.insert)
		}
		got, err := s.Query(t.Context(), "SELECT * FROM gnomon."+c.table+" FINAL WHERE "+c.where)
		if err != nil || len(got.Rows) != 1 {
			t.Fatalf("%s: %+v, %v", c.table, got, err)
		}
		stored := map[string]string{}
		for i, name := range got.Columns {
			stored[name] = line(got.Rows[0][i])
		}
		var whole map[string]any
		if stored["record"] != "" {
			_ = json.Unmarshal([]byte(stored["record"]), &whole)
		}
		v := reflect.ValueOf(c.record)
		for _, field := range reflect.VisibleFields(v.Type()) {
			if field.Anonymous { // its fields are visible, too
				continue
			}
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if _, column := stored[name]; !column && whole[name] != nil {
				continue // in the record, which is the whole
			}
			if want := line(plain(v.FieldByIndex(field.Index), "DateTime64")); stored[name] != want {
				t.Errorf("%s.%s: sent %s, stored %q", c.table, name, want, stored[name])
			}
		}
	}
	if err := s.InsertPolicies(t.Context(), "", []schemas.Policy{policy}); err != nil {
		t.Fatal(err)
	}
	policy.Salt, policy.Offset = nil, 0 // stay on the log
	if got, err := s.Policies(t.Context(), project, ""); err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], policy) {
		t.Errorf("sent %+v\ncame back %+v, %v", policy, got, err)
	}
	snapshot := filled[schemas.SnapshotRecord](r)
	snapshot.Kind, snapshot.Record = schemas.KindSnapshot, []byte(`{"a":1}`)
	for range 2 { // a proxy says it again at every start
		if err := s.InsertSnapshots(t.Context(), "", []schemas.SnapshotRecord{snapshot}); err != nil {
			t.Fatal(err)
		}
	}
	if got, found, err := s.Kept(t.Context(), snapshot.Kind, snapshot.Hash); err != nil || !found || !reflect.DeepEqual(got, snapshot) {
		t.Errorf("sent %+v\ncame back %+v, %v", snapshot, got, err)
	}
	if _, found, err := s.Kept(t.Context(), schemas.KindPriceBook, snapshot.Hash); found || err != nil {
		t.Errorf("found a price book under the hash of a snapshot: %v", err)
	}
	if err := s.InsertVerdicts(t.Context(), "", []schemas.Verdict{verdict}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Verdicts(t.Context(), project); err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], verdict) {
		t.Errorf("sent %+v\ncame back %+v, %v", verdict, got, err)
	}
}

func filled[T any](r *rand.Rand) (v T) {
	fill(reflect.ValueOf(&v).Elem(), r)
	return v
}

func TestHealthIsTold(t *testing.T) {
	s, project := open(t)
	evs := traffic(project, 10, 1, 14)
	if err := s.InsertRequests(t.Context(), "", evs); err != nil {
		t.Fatal(err)
	}
	h, err := reader(t).Health(t.Context())
	if err != nil || h.Version == "" || h.SchemaVersion != SchemaVersion || h.Rows < 10 || h.Parts == 0 || h.DiskBytes == 0 || h.MemoryBytes == 0 || h.Newest.Before(evs[9].Ts) {
		t.Errorf("%+v, %v", h, err)
	}
	if lag := h.Lag(h.Newest.Add(time.Minute)); lag != time.Minute {
		t.Errorf("lag %v", lag)
	}
}

func TestAnAmountThatCannotBeHeldExactlyIsAnError(t *testing.T) {
	s, _ := open(t)
	for sql, good := range map[string]bool{
		"toDecimal128('9223372036.854775807', 9)":  true,
		"toDecimal128('-9223372036.854775808', 9)": true,
		"toDecimal128('9223372036.854775808', 9)":  false,
		"toDecimal128('0.0000000001', 10)":         false,
	} {
		var n schemas.NanoUSD
		if err := s.conn.QueryRow(t.Context(), "SELECT "+sql).Scan((*sum)(&n)); (err == nil) != good {
			t.Errorf("%s: %v, %v", sql, n, err)
		} else if good && !strings.Contains(sql, n.String()) {
			t.Errorf("%s read as %v", sql, n)
		}
		if strings.HasSuffix(sql, "10)") {
			continue // sums have nine places
		}
		if err := s.conn.QueryRow(t.Context(), "SELECT "+nano(sql)).Scan((*int64)(&n)); (err == nil) != good {
			t.Errorf("%s as nano-dollars: %v, %v", sql, n, err)
		} else if good && !strings.Contains(sql, n.String()) {
			t.Errorf("%s read as %v nano-dollars", sql, n)
		}
	}
}
