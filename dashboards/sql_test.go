package dashboards_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
	"github.com/gnomon-llm/gnomon/internal/store"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMain(m *testing.M) { embeddedtest.Main(m) }

const hostileWorkload = `support/it's \ "summary"` + "\n--"

// shown opens a store with two projects whose requests differ in all that the
// console's figures tell apart, over the three days that end with today.
func shown(t *testing.T) (s *store.Store, project string, from, to time.Time) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{DSN: embeddedtest.Engine(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	project = "sql-" + uuid.NewString()[:8]
	to = time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	from = to.AddDate(0, 0, -3)
	boot := uint64(0x00ff_1234_5678_9abc)
	var evs []schemas.RequestEvent
	for i := range 240 {
		e := schemas.RequestEvent{
			Project: project, RequestID: uuid.Must(uuid.NewV7()).String(), Ts: from.Add(time.Duration(i)*time.Hour*3/10 + 500*time.Microsecond).Truncate(time.Millisecond),
			Revision: 1, BootID: boot, Seq: uint64(i + 1), Status: schemas.StatusOK, Workload: []string{"chat", hostileWorkload}[i%2], Session: fmt.Sprint("s", i%7),
			Provider: "openai", RequestModel: "gpt-4o", ServedModel: "gpt-4o", WouldRoute: "openai/gpt-4o", UsageSource: schemas.UsageProvider,
			Cost: schemas.KnownUSD(schemas.NanoUSD(1_000_001 + i)), BaselineCost: schemas.KnownUSD(schemas.NanoUSD(1_000_001 + i)), WouldCost: schemas.KnownUSD(schemas.NanoUSD(900_000 + i)),
			Candidates: []string{"openai/gpt-4o-mini", "openai/gpt-4.1-nano"}, Rejects: []schemas.Reject{schemas.RejectTools, schemas.RejectScore},
		}
		switch i % 8 {
		case 0:
			e.WouldRoute, e.Rejects = "openai/gpt-4o-mini", []schemas.Reject{schemas.RejectNone, schemas.RejectBetterChoice}
		case 1:
			e.Status, e.HTTPStatus = schemas.StatusProviderError, 500
		case 2:
			e.Cost, e.BaselineCost, e.WouldCost = schemas.OptUSD{}, schemas.OptUSD{}, schemas.OptUSD{}
		case 3:
			e.Status, e.Revision, e.Cost, e.BaselineCost, e.WouldCost, e.WouldRoute = schemas.StatusLost, 0, schemas.OptUSD{}, schemas.OptUSD{}, schemas.OptUSD{}, ""
			e.Candidates, e.Rejects = nil, nil
		case 4:
			e.Candidates, e.Rejects, e.BaselineReject, e.UsageSource = nil, nil, schemas.RejectNoLadder, schemas.UsageEstimated
		case 5:
			e.ServedModel, e.Arm = "gpt-4o-mini", schemas.ArmTreated
		case 6:
			e.BaselineProvider, e.WouldRoute = "azure", "azure/gpt-4o"
		}
		other := e
		other.Project, other.RequestID = project+"-other", uuid.Must(uuid.NewV7()).String()
		other.BootID = 7
		evs = append(evs, e, other)
	}
	if err := errors.Join(
		s.Migrate(t.Context()),
		s.InsertRequests(t.Context(), "", evs),
		s.InsertRequests(t.Context(), "", evs[:20]), // delivered twice
		s.InsertHeartbeats(t.Context(), "", []schemas.Heartbeat{{BootID: boot, Proxy: "host:/data", At: to.Add(-48 * time.Hour), Accepted: 243, Ended: 243, LastSeq: 243}}),
	); err != nil {
		t.Fatal(err)
	}
	return s, project, from, to
}

// ask runs a text as a person would: without a password.
func ask(t *testing.T, sql string) [][]any {
	t.Helper()
	reader, err := store.Open(t.Context(), store.Options{DSN: embeddedtest.ReaderEngine(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	r, err := reader.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	return r.Rows
}

// nano reads an amount as a query prints it; what has no amount is 0.
func nano(t *testing.T, v any) schemas.NanoUSD {
	t.Helper()
	if v == nil {
		return 0
	}
	n, err := schemas.ParseUSD(v.(string))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestShownSQLGivesTheFiguresOfTheWorkloadsTable(t *testing.T) {
	s, project, from, to := shown(t)
	days, err := s.Traffic(t.Context(), project, from, to)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	total := map[string]dashboards.Traffic{}
	for _, d := range days {
		x := total[d.Workload]
		x.Requests, x.Cost, x.Baseline, x.Would = x.Requests+d.Requests, x.Cost+d.Cost, x.Baseline+d.Baseline, x.Would+d.Would
		x.Unpriced, x.Estimated, x.Failed = x.Unpriced+d.Unpriced, x.Estimated+d.Estimated, x.Failed+d.Failed
		total[d.Workload] = x
	}
	for w, x := range total {
		want[w] = fmt.Sprint(x.Requests, x.Cost, x.Baseline, x.Would, x.Unpriced, x.Estimated, x.Failed)
	}
	for _, named := range []bool{false, true} {
		rows := ask(t, dashboards.SQLWorkloads(project, named, from, to))
		for _, r := range rows {
			if got := fmt.Sprint(r[1], nano(t, r[2]), nano(t, r[3]), nano(t, r[4]), r[5], r[6], r[7]); got != want[r[0].(string)] {
				t.Errorf("%q: %s, the table has %s", r[0], got, want[r[0].(string)])
			}
		}
		if len(rows) != 2 || len(want) != 2 {
			t.Errorf("%d workloads by the text, %d by the table, of 2", len(rows), len(want))
		}
	}
}

func TestShownSQLGivesTheDaysOfTheChart(t *testing.T) {
	s, project, from, to := shown(t)
	all, err := s.Traffic(t.Context(), project, from, to)
	if err != nil {
		t.Fatal(err)
	}
	for _, workload := range []string{"", hostileWorkload} {
		type sums struct {
			requests              uint64
			cost, baseline, would schemas.NanoUSD
		}
		want, got := map[string]sums{}, map[string]sums{}
		for _, d := range all {
			if workload == "" || d.Workload == workload {
				x := want[d.Day.Format(time.DateOnly)]
				want[d.Day.Format(time.DateOnly)] = sums{x.requests + d.Requests, x.cost + d.Cost, x.baseline + d.Baseline, x.would + d.Would}
			}
		}
		var recorded []string
		if workload != "" {
			recorded = []string{workload, "~another"}
		}
		for _, r := range ask(t, dashboards.SQLDays(project, recorded, from, to)) {
			got[r[0].(string)] = sums{r[1].(uint64), nano(t, r[2]), nano(t, r[3]), nano(t, r[4])}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(want) != 3 {
			t.Errorf("%q: %v, the chart has %v", workload, got, want)
		}
	}
}

func TestShownSQLGivesTheReasonsOfTheWorkload(t *testing.T) {
	s, project, from, to := shown(t)
	counts, err := s.Rejects(t.Context(), project, from, to)
	if err != nil {
		t.Fatal(err)
	}
	for _, workload := range []string{"chat", hostileWorkload} {
		want, got := map[string]uint64{}, map[string]uint64{}
		for _, c := range counts {
			if c.Workload == workload {
				want[c.RequestModel+" "+c.Candidate+" "+c.Reject.Code()] += c.Requests
			}
		}
		for _, r := range ask(t, dashboards.SQLRejects(project, workload, from, to)) {
			got[fmt.Sprintf("%v %v %v", r[0], r[1], r[2])] = r[3].(uint64)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(want) < 2 {
			t.Errorf("%q: %v, the page has %v", workload, got, want)
		}
	}
}

func TestShownSQLListsTheRequestsOfThePage(t *testing.T) {
	s, project, from, to := shown(t)
	for name, f := range map[string]dashboards.RequestFilter{
		"all":                                 {},
		"of a workload with a difficult name": {Workload: hostileWorkload},
		"of a session":                        {Session: "s3"},
		"failed":                              {Status: schemas.StatusProviderError},
		"that would be routed":                {Route: "would"},
		"that would stay":                     {Route: "kept", Limit: 200},
		"that were routed":                    {Route: "routed", Arm: schemas.ArmTreated},
		"refused for a reason":                {Reject: "tools"},
		"refused before any candidate":        {Reject: "no_ladder"},
		"of a model":                          {RequestModel: "gpt-4o", ServedModel: "gpt-4o", Provider: "openai"},
		"to the millisecond":                  {From: from.Add(9 * time.Hour).Add(time.Millisecond), To: to.Add(-36 * time.Hour).Add(time.Millisecond), Limit: 500},
	} {
		f.Project = project
		page, err := s.Requests(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		var want, got []string
		for _, e := range page.Requests {
			want = append(want, e.RequestID)
		}
		for _, r := range ask(t, dashboards.SQLRequests(f)) {
			got = append(got, r[1].(string))
		}
		if !slices.Equal(got, want) || len(want) == 0 {
			t.Errorf("%s: %d requests, the page has %d", name, len(got), len(want))
		}
	}
}

func TestShownSQLGivesTheProxyLivesOfTheHealthPage(t *testing.T) {
	s, project, _, _ := shown(t)
	c, err := s.Completeness(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	rows := ask(t, dashboards.SQLLives)
	if len(rows) != len(c.Lives) || len(rows) == 0 {
		t.Fatalf("%d lives, the page has %d", len(rows), len(c.Lives))
	}
	for i, l := range c.Lives {
		r := rows[i]
		want := fmt.Sprintf("%d %s %d %d %d %d %d", l.BootID, l.Proxy, l.Accepted, l.Stored, l.Declared, l.Dropped, l.InFlight)
		if got := fmt.Sprintf("%v %v %v %v %v %v %v", r[0], r[1], r[4], r[5], r[6], r[7], r[8]); got != want {
			t.Errorf("%s, the page has %s", got, want)
		}
	}
}
