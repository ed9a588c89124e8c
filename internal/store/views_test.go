package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

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
	newer := someEvent(project, r)
	newer.Candidates, newer.Rejects, newer.Workload = []string{"openai/small"}, []schemas.Reject{60_000}, "unknown"
	short := someEvent(project, r)
	short.Candidates, short.Rejects, short.Workload = []string{"openai/small"}, nil, "unknown"
	batch = append(batch, none, newer, short)
	if err := s.InsertRequests(t.Context(), "", batch); err != nil {
		t.Fatal(err)
	}
	n := count(t, s, "SELECT count() FROM gnomon.rejects WHERE project = '"+project+"' AND reason = workload")
	if n != uint64(len(batch)) {
		t.Errorf("%d of %d reasons read as their code", n, len(batch))
	}
}

// life is a proxy life: its rows, heartbeats and declarations.
type life struct {
	ended, lost []uint64 // sequences
	said        []uint64 // by heartbeats an hour apart, the last now
	gone        [][2]uint64
}

func (l life) insert(t *testing.T, s *Store, project string, boot uint64, r *rand.Rand) {
	t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	var rows, again []schemas.RequestEvent
	row := func(seq uint64, status schemas.Status, revision uint8) {
		e := someEvent(project, r)
		e.BootID, e.Seq, e.Status, e.Revision, e.Ts = boot, seq, status, revision, now
		rows = append(rows, e)
	}
	for _, seq := range l.ended {
		row(seq, schemas.StatusOK, 1)
	}
	again = slices.Clone(rows)
	for _, seq := range l.lost {
		row(seq, schemas.StatusLost, 0)
	}
	var beats []schemas.Heartbeat
	for i, seq := range l.said {
		at := now.Add(-time.Duration(len(l.said)-1-i) * time.Hour)
		beats = append(beats, schemas.Heartbeat{BootID: boot, Proxy: "p", At: at, Accepted: seq, Ended: seq - min(seq, 1), LastSeq: seq})
	}
	var declared []schemas.Declared
	for _, g := range l.gone {
		declared = append(declared, schemas.Declared{BootID: boot, FirstSeq: g[0], LastSeq: g[1], Reason: "spool_full", At: now})
	}
	if err := errors.Join(s.InsertRequests(t.Context(), "", rows), s.InsertRequests(t.Context(), "", again), s.InsertHeartbeats(t.Context(), "", beats),
		s.InsertDeclared(t.Context(), "", declared), s.InsertDeclared(t.Context(), "", declared)); err != nil {
		t.Fatal(err)
	}
}

func TestCompletenessIsADifferenceAnyoneCanSee(t *testing.T) {
	s, project := open(t)
	for i, tt := range []struct {
		name string
		life life
		want string // accepted stored declared newer in_flight difference
	}{
		{"all is stored", life{ended: []uint64{1, 2, 3}, said: []uint64{3}}, "3 3 0 0 0 0"},
		{"one is in flight", life{ended: []uint64{1, 2}, said: []uint64{3}}, "3 2 0 0 1 1"},
		{"two are missing, of which one may be in flight", life{ended: []uint64{1}, said: []uint64{3}}, "3 1 0 0 1 2"},
		{"lost rows are declared", life{ended: []uint64{1, 3}, lost: []uint64{2}, said: []uint64{3}}, "3 2 1 0 0 0"},
		{"ranges are declared", life{ended: []uint64{1}, said: []uint64{5}, gone: [][2]uint64{{2, 5}}}, "5 1 4 0 0 0"},
		{"ranges that overlap count once", life{ended: []uint64{1}, said: []uint64{7}, gone: [][2]uint64{{2, 5}, {3, 3}, {4, 6}, {7, 7}}}, "7 1 6 0 0 0"},
		{"a true row beats its declaration", life{ended: []uint64{1, 3}, said: []uint64{4}, gone: [][2]uint64{{2, 4}}}, "4 2 2 0 0 0"},
		{"a row declared twice is lost once", life{ended: []uint64{1}, lost: []uint64{2}, said: []uint64{2}, gone: [][2]uint64{{2, 2}}}, "2 1 1 0 0 0"},
		{"a lost row that ended after all is stored", life{ended: []uint64{1, 2}, lost: []uint64{2}, said: []uint64{2}}, "2 2 0 0 0 0"},
		{"rows overtake heartbeats", life{ended: []uint64{1, 2, 3, 4}, said: []uint64{2}}, "2 4 0 2 0 0"},
		{"rows overtake heartbeats, and hide nothing", life{ended: []uint64{1, 3, 4}, said: []uint64{2}}, "2 3 0 2 1 1"},
		{"declarations overtake heartbeats", life{ended: []uint64{1}, said: []uint64{2}, gone: [][2]uint64{{2, 9}}}, "2 1 8 7 0 0"},
		{"no heartbeat has come", life{ended: []uint64{1, 2}}, "0 2 0 2 0 0"},
		{"nothing but heartbeats has come", life{said: []uint64{4}}, "4 0 0 0 1 4"},
		{"many hours", life{ended: []uint64{1, 2, 5, 9}, lost: []uint64{4}, said: []uint64{2, 5, 5, 9}, gone: [][2]uint64{{3, 3}, {6, 7}}}, "9 4 4 0 1 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(17, uint64(i)))
			boot := r.Uint64() | 1
			tt.life.insert(t, s, project, boot, r)
			one := fmt.Sprintf("boot_id = %d", boot)
			got, err := s.Query(t.Context(), "SELECT accepted, stored, declared, newer, in_flight, difference FROM gnomon.completeness WHERE "+one)
			if err != nil || len(got.Rows) != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
			if line := strings.Trim(fmt.Sprint(got.Rows[0]), "[]"); line != tt.want {
				t.Errorf("accepted, stored, declared, newer, in flight, difference: %s, not %s", line, tt.want)
			}
			sums, err := s.Query(t.Context(), "SELECT sum(accepted), sum(difference), countIf(accepted != stored + declared + difference), count() FROM gnomon.completeness_hourly WHERE "+one)
			if err != nil || sums.Rows[0][0] != got.Rows[0][0] || sums.Rows[0][1] != got.Rows[0][5] || sums.Rows[0][2] != uint64(0) || sums.Rows[0][3] != uint64(len(tt.life.said)) {
				t.Errorf("by hour %+v, in all %v (%v)", sums, got.Rows[0], err)
			}
			c, err := s.Completeness(t.Context(), project)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range c.Lives {
				if l.BootID == boot && (l.Accepted < l.Stored+l.Declared || int64(l.Waiting()+l.InFlight) != got.Rows[0][5].(int64)) {
					t.Errorf("%+v", l)
				}
			}
		})
	}
}

// rowsOf is a result as text.
func rowsOf(t *testing.T, s *Store, sql string) string {
	t.Helper()
	r, err := s.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return strings.Trim(fmt.Sprint(r.Rows), "[]")
}

func TestSumsOfViewsAreThoseOfTheEvents(t *testing.T) {
	s, project := open(t)
	evs := traffic(project, 3000, 3, 7)
	lost := schemas.RequestEvent{Project: project, Ts: evs[0].Ts, RequestID: uuid.NewString(), Status: schemas.StatusLost}
	if err := errors.Join(s.InsertRequests(t.Context(), "", append(slices.Clone(evs), lost)), s.InsertRequests(t.Context(), "", evs[:1000])); err != nil {
		t.Fatal(err)
	}
	var cost, baseline, would schemas.NanoUSD
	var unpriced, failed, routed, input uint64
	workloads := map[string]bool{"": true}
	for _, e := range evs {
		cost, baseline, would, input = cost+e.Cost.Nano, baseline+e.BaselineCost.Nano, would+e.WouldCost.Nano, input+uint64(e.InputTokens)
		workloads[e.Workload] = true
		if !e.Cost.Known {
			unpriced++
		}
		if e.Status != schemas.StatusOK {
			failed++
		}
		if e.WouldRoute != e.Provider+"/"+e.RequestModel {
			routed++
		}
	}
	where := " WHERE project = '" + project + "'"
	for name, c := range map[string][2]string{
		"spend_daily": {"SELECT sum(requests), sum(failed_requests), sum(lost_requests), sum(unpriced_requests), sum(input_tokens), toString(sum(cost)), uniqExact(day) FROM gnomon.spend_daily" + where,
			line(3001, failed, 1, unpriced, input, trimmed(cost), count(t, s, "SELECT uniqExact(toDate(ts)) FROM gnomon.requests"+where))},
		"workloads": {"SELECT count(), sum(requests), sum(lost_requests), sum(unpriced_requests), sum(uncompared_requests), toString(sum(cost)), toString(sum(baseline_cost)), toString(sum(would_cost)) FROM gnomon.workloads" + where,
			line(len(workloads), 3001, 1, unpriced, unpriced, trimmed(cost), trimmed(baseline), trimmed(would))},
		"would_routes": {"SELECT sum(requests), sumIf(requests, would_route != concat(from_provider, '/', request_model)), sum(unpriced_requests), toString(sum(baseline_cost)), toString(sum(would_cost)) FROM gnomon.would_routes" + where,
			line(3000, routed, unpriced, trimmed(baseline), trimmed(would))},
		"rejects": {"SELECT count(), countIf(reason = 'chosen'), countIf(reason = 'score') FROM gnomon.rejects" + where, line(3000, routed, 3000-routed)},
		"latency": {"SELECT sum(requests), sum(failed_requests), min(latency_ms_p50) >= 300, max(latency_ms_p99) <= 9300, countIf(ttft_ms_p50 IS NULL) FROM gnomon.latency_hourly" + where + " AND requests > failed_requests",
			line(count(t, s, "SELECT sum(requests) FROM gnomon.latency_hourly"+where+" AND requests > failed_requests"), count(t, s, "SELECT sum(failed_requests) FROM gnomon.latency_hourly"+where+" AND requests > failed_requests"), 1, 1, 0)},
		"arms_daily": {"SELECT count() FROM gnomon.arms_daily" + where, "0"},
	} {
		if got := rowsOf(t, s, c[0]); got != c[1] {
			t.Errorf("%s: %s, not %s", name, got, c[1])
		}
	}
}

func line(v ...any) string { return strings.TrimSpace(fmt.Sprintln(v...)) }

// trimmed is an amount as ClickHouse writes it, without the zeros at its end.
func trimmed(n schemas.NanoUSD) string {
	return strings.TrimRight(strings.TrimRight(n.String(), "0"), ".")
}

func TestArmsAreComparedOverTheSameRequests(t *testing.T) {
	s, project := open(t)
	evs := traffic(project, 4, 1, 8)
	for i := range evs {
		e := &evs[i]
		e.Workload, e.PolicyVersion, e.Mode, e.Arm, e.Status = "w", 2, schemas.ModeCanary, schemas.ArmTreated, schemas.StatusOK
		e.Provider, e.RequestModel, e.ServedModel, e.BaselineProvider = "openai", "big", "small", ""
		e.Cost, e.BaselineCost, e.Ts = schemas.KnownUSD(10), schemas.KnownUSD(100), evs[0].Ts
	}
	evs[1].Arm, evs[1].ServedModel, evs[1].Cost = schemas.ArmControl, "big", schemas.KnownUSD(100)
	evs[2].Cost = schemas.OptUSD{}
	evs[3].ServedModel, evs[3].Fallback, evs[3].Status = "big", true, schemas.StatusTruncated
	if err := s.InsertRequests(t.Context(), "", evs); err != nil {
		t.Fatal(err)
	}
	got := rowsOf(t, s, `SELECT arm, requests, routed_requests, fallback_requests, failed_requests, unpriced_requests, toString(cost), toString(baseline_cost)
FROM gnomon.arms_daily WHERE project = '`+project+"' ORDER BY arm")
	if want := "control 1 0 0 0 0 0.0000001 0.0000001] [treated 3 2 1 1 1 0.00000002 0.0000002"; got != want {
		t.Errorf("%s\nnot %s", got, want)
	}
}

func TestRehearsalsAreSummedByDay(t *testing.T) {
	s, project := open(t)
	day := time.Date(2026, 11, 4, 12, 0, 0, 0, time.UTC)
	half := .5
	var evs []schemas.Evaluation
	for i, o := range []schemas.Outcome{schemas.OutcomeGraded, schemas.OutcomeGraded, schemas.OutcomeUngraded, schemas.OutcomeFailed} {
		evs = append(evs, schemas.Evaluation{Project: project, Workload: "w", RequestModel: "big", Candidate: "openai/small", Grader: "exact_match", RequestTs: day, GradedAt: day,
			RequestID: uuid.NewString(), EvaluationID: uuid.NewString(), Outcome: o, QualityBaseline: 1, QualityCandidate: float32(i), SamplingProbability: &half, CandidateCost: schemas.KnownUSD(5)})
	}
	evs[1].SamplingProbability, evs[1].CandidateCost, evs[3].QualityCandidate = nil, schemas.OptUSD{}, 0
	unjudged := evs[3] // failed where no grader applies: it says nothing of quality
	unjudged.Grader, unjudged.EvaluationID, unjudged.QualityBaseline = "", uuid.NewString(), 0
	evs = append(evs, unjudged)
	for _, token := range []string{"a", "b"} {
		if err := s.InsertEvaluations(t.Context(), project+token, evs); err != nil {
			t.Fatal(err)
		}
	}
	got := rowsOf(t, s, "SELECT pairs, graded, ungraded, failed, own_grades, round(mean_difference, 6), unpriced_pairs, toString(cost) FROM gnomon.rehearsals_daily WHERE project = '"+project+"' ORDER BY pairs")
	if want := "1 0 0 1 0 nan 0 0.000000005] [4 2 1 1 1 -0.666667 1 0.000000015"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

func TestTheLatestVerdictIsTakenApart(t *testing.T) {
	s, project := open(t)
	at := time.UnixMilli(1_790_000_000_000).UTC()
	lo := schemas.NanoUSD(3_480_000_000_001)
	v := schemas.Verdict{Project: project, Workload: "w", RequestModel: "big", Provider: "openai", Candidate: "openai/small", ComputedAt: at, Readiness: schemas.Ready, Brief: "in brief",
		Reasons: []string{"because", "also"}, Warnings: []schemas.Warning{{Code: "thin_days", Text: "Few days."}},
		Savings: schemas.SavingsFinding{SavingMonth: 4_120_000_000_009, SavingMonthLo: &lo, Days: 13, UnpricedShare: .25}, Quality: schemas.QualityFinding{Pairs: 1912, Lower: -.017}}
	older := v
	older.ComputedAt, older.Brief = at.Add(-time.Hour), "before"
	if err := s.InsertVerdicts(t.Context(), "", []schemas.Verdict{v, older}); err != nil {
		t.Fatal(err)
	}
	got := rowsOf(t, s, `SELECT readiness, brief, toString(saving_month), toString(saving_month_lo), saving_month_hi IS NULL, days, unpriced_share, pairs, quality_lower, reasons, warnings
FROM gnomon.latest_verdicts WHERE project = '`+project+"'")
	if want := "ready in brief 4120.000000009 3480.000000001 1 13 0.25 1912 -0.017 [because also] [Few days."; got != want {
		t.Errorf("%s\nnot %s", got, want)
	}
}

func TestOfRacingPolicyRecordsTheFirstOfTheLogHolds(t *testing.T) {
	s, project := open(t)
	at := time.UnixMilli(1_790_000_000_000).UTC()
	won := schemas.Policy{Project: project, Workload: "w", Version: 1, Mode: schemas.ModeCanary, Share: 2500, Control: 500, At: at, Actor: "a", Reason: "first in the log", Offset: 7}
	lost := won
	// A writer whose clock is behind does not win by it.
	lost.At, lost.Actor, lost.Reason, lost.Offset = at.Add(-time.Minute), "b", "second in the log", 8
	if err := s.InsertPolicies(t.Context(), "", []schemas.Policy{lost, won}); err != nil {
		t.Fatal(err)
	}
	got := rowsOf(t, s, "SELECT version, actor, reason, toString(share), toString(control) FROM gnomon.accepted_policies WHERE project = '"+project+"'")
	if want := "1 a first in the log 0.25 0.05"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	if p, err := s.Policies(t.Context(), project, "w"); err != nil || len(p) != 1 || p[0].Actor != "a" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestPromisedViewsCanBeReadByAnyoneAndUnderTheSettingsOfToolsToo(t *testing.T) {
	_, _ = open(t)
	s := reader(t)
	for _, view := range views {
		for _, settings := range []clickhouse.Settings{nil, {"join_use_nulls": 1}, {"prefer_column_name_to_alias": 1}} {
			ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(settings))
			for _, sql := range []string{"SELECT * FROM gnomon.%s LIMIT 3", "SELECT count() FROM gnomon.%s"} {
				if _, err := s.Query(ctx, fmt.Sprintf(sql, view)); err != nil {
					t.Errorf("%s under %v: %v", view, settings, err)
				}
			}
		}
	}
	there := rowsOf(t, s, "SELECT groupArray(name) FROM (SELECT name FROM system.tables WHERE database = 'gnomon' AND engine = 'View' AND name NOT IN ('sequences', 'cells', 'request_measures', 'days', 'hours_behind', 'rollup_differences') ORDER BY name)")
	if want := strings.Join(slices.Sorted(slices.Values(views)), " "); there != want {
		t.Errorf("views are %s\nnot %s", there, want)
	}
}

// views are the promised ones.
var views = []string{
	"completeness", "completeness_hourly", "spend_daily", "workloads", "would_routes", "rejects", "arms_daily", "latency_hourly", "rehearsals_daily", "latest_verdicts", "accepted_policies",
	"workload_names",
}
