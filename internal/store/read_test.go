package store

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

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

func TestPagesByFilterHoldWhatAScanFinds(t *testing.T) {
	s, project := open(t)
	evs := traffic(project, 3000, 4, 77)
	for i := range evs { // one hour alone has them
		if i >= 1000 && i < 1010 {
			evs[i].Workload, evs[i].Status, evs[i].Arm = "rare/one", schemas.StatusTimeout, schemas.ArmTreated
		}
	}
	for i, batch := range [][]schemas.RequestEvent{evs[:2000], evs[2000:], evs[500:600]} { // the last again, under another token
		if err := s.InsertRequests(t.Context(), project+string(rune('a'+i)), batch); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			settle(t, s) // what comes later is behind
		}
	}
	for name, c := range map[string]struct {
		f    dashboards.RequestFilter
		scan string
	}{
		"a rare workload":            {dashboards.RequestFilter{Workload: "rare/one"}, "workload = 'rare/one'"},
		"a workload that is none":    {dashboards.RequestFilter{Workload: "none"}, "workload = 'none'"},
		"failed of a workload":       {dashboards.RequestFilter{Workload: "team1/workload1", Status: schemas.StatusProviderError}, "workload = 'team1/workload1' AND status = 'provider_error'"},
		"failed in a way of none":    {dashboards.RequestFilter{Status: "no_such_status"}, "status = 'no_such_status'"},
		"failed in a rare way":       {dashboards.RequestFilter{Status: schemas.StatusTimeout}, "status = 'timeout'"},
		"ended well":                 {dashboards.RequestFilter{Status: schemas.StatusOK, Team: "team2"}, "status = 'ok' AND team = 'team2'"},
		"lost":                       {dashboards.RequestFilter{Status: schemas.StatusLost}, "status = 'lost'"},
		"an arm":                     {dashboards.RequestFilter{Arm: schemas.ArmTreated}, "arm = 'treated'"},
		"those that would be routed": {dashboards.RequestFilter{Route: "would", Provider: "anthropic", RequestModel: "claude-opus"}, notBaseline + " AND provider = 'anthropic'"},
		"those that were routed":     {dashboards.RequestFilter{Route: "routed"}, routed},
		"within a span":              {dashboards.RequestFilter{Workload: "team1/workload1", From: evs[700].Ts, To: evs[2300].Ts}, "workload = 'team1/workload1' AND ts >= fromUnixTimestamp64Milli(" + ms(evs[700].Ts) + ") AND ts < fromUnixTimestamp64Milli(" + ms(evs[2300].Ts) + ")"},
	} {
		c.f.Project, c.f.Limit = project, 50
		var got []string
		for {
			page, err := s.Requests(t.Context(), c.f)
			if err != nil {
				t.Fatal(err)
			}
			short := c.f
			short.Listed = true
			list, err := s.Requests(t.Context(), short)
			if err != nil || list.Next != page.Next || len(list.Requests) != len(page.Requests) {
				t.Fatalf("%s: listed, it is another page: %v", name, err)
			}
			for i, e := range page.Requests {
				if got := list.Requests[i]; !reflect.DeepEqual(got, dashboards.Listed(e)) {
					t.Errorf("%s: listed, it is %+v", name, got)
				}
				got = append(got, e.RequestID)
			}
			if c.f.Cursor = page.Next; page.Next == "" {
				break
			}
		}
		want := rowsOf(t, s, "SELECT arrayStringConcat(groupArray(toString(id)), ' ') FROM (SELECT request_id AS id FROM gnomon.requests FINAL WHERE project = '"+project+"' AND "+c.scan+" ORDER BY ts DESC, request_id DESC)")
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %d requests, a scan finds %d", name, len(got), len(strings.Fields(want)))
		}
	}
}

func ms(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
