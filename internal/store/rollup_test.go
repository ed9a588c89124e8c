package store

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// settle sums until nothing is behind.
func settle(t testing.TB, s *Store) {
	t.Helper()
	for range 10 {
		if _, err := s.Rollup(t.Context()); err != nil {
			t.Fatal(err)
		}
		if behind, err := s.HoursBehind(t.Context()); err != nil {
			t.Fatal(err)
		} else if len(behind) == 0 {
			return
		}
	}
	t.Fatal("hours stay behind")
}

// shapes is traffic of some four hours with what makes one cell differ from another.
func shapes(project string, n int, seed uint64) []schemas.RequestEvent {
	evs := traffic(project, n, 1, seed)
	for i := range evs {
		e := &evs[i]
		e.Ts = evs[0].Ts.Add(e.Ts.Sub(evs[0].Ts) / 6).Truncate(time.Millisecond)
		switch i % 17 {
		case 0:
			*e = schemas.RequestEvent{Version: schemas.SchemaVersion, Project: project, Ts: e.Ts, RequestID: e.RequestID, BootID: e.BootID, Seq: e.Seq, Status: schemas.StatusLost, ErrorType: "proxy_killed"}
		case 1:
			e.UsageSource = schemas.UsageEstimated
		case 2:
			e.ServedModel, e.PolicyVersion, e.Mode, e.Arm = "small", 2, schemas.ModeCanary, schemas.ArmTreated
		case 3:
			e.BaselineProvider, e.Fallback = "another", true
		case 4:
			e.WouldCost, e.WouldOutputCost = schemas.OptUSD{}, schemas.OptUSD{}
		case 5:
			e.Candidates, e.Rejects, e.BaselineReject = nil, nil, schemas.RejectBypassed
		case 6:
			e.Candidates, e.Rejects = append(e.Candidates, "openai/third"), append(e.Rejects, schemas.RejectTools)
		case 7:
			e.Rejects = nil // not as many as candidates: no row of the reader
		}
	}
	return evs
}

func TestTheRollupIsWhatTheRowsGiveWhateverWasDeliveredAndWhen(t *testing.T) {
	s, project := open(t)
	evs := shapes(project, 600, 21)
	from, to := evs[0].Ts.Add(-time.Hour), evs[len(evs)-1].Ts.Add(time.Hour)
	lost := evs[17]
	true_ := evs[1]
	true_.RequestID, true_.Ts, true_.Seq, true_.BootID, true_.Revision = lost.RequestID, lost.Ts, lost.Seq, lost.BootID, 1
	counted := evs[18] // its usage is estimated
	counted.Revision, counted.UsageSource, counted.OutputTokens, counted.Cost = 2, schemas.UsageTokenizer, 4321, schemas.KnownUSD(54_321)
	spans := [][2]time.Time{{from, to}}
	for i, step := range []struct {
		name string
		rows []schemas.RequestEvent
	}{
		{"the first half", evs[:300]},
		{"the rest, and some of it again", evs[250:]},
		{"all of it again", evs},
		{"the true row of one that was declared lost", []schemas.RequestEvent{true_}},
		{"and its declaration once more", []schemas.RequestEvent{lost}},
		{"a request with its tokens counted since", []schemas.RequestEvent{counted}},
		{"and its first record once more, and the second", []schemas.RequestEvent{evs[18], counted}},
	} {
		if err := s.InsertRequests(t.Context(), project+step.name, step.rows); err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			spans = append(spans, [2]time.Time{evs[133].Ts.Add(time.Millisecond), evs[200].Ts})
		} else {
			spans = spans[:1]
		}
		whens := []string{"behind", "summed"}
		if i > 1 {
			whens = whens[1:]
			settle(t, s)
		}
		for _, when := range whens {
			for _, span := range spans {
				if d := differ(t, s, project, span[0], span[1]); d != "" {
					t.Fatalf("%s, %s, %v: %s", step.name, when, span, d)
				}
			}
			if p, err := s.Period(t.Context(), project); i == 0 && (err != nil || !p.First.Equal(evs[0].Ts) || !p.Last.Equal(evs[299].Ts)) {
				t.Errorf("%s, %s: %+v, %v", step.name, when, p, err)
			}
			if d := rowsOf(t, s, "SELECT * FROM gnomon.rollup_differences WHERE project = '"+project+"'"); d != "" {
				t.Errorf("%s, %s: %s", step.name, when, d)
			}
			if when == "behind" {
				settle(t, s)
			}
		}
	}
	if n := rowsOf(t, s, "SELECT sum(requests), sum(lost) FROM gnomon.cells WHERE project = '"+project+"'"); n != "600 35" {
		t.Errorf("requests and lost ones: %s", n)
	}
	if n := rowsOf(t, s, "SELECT revision, usage_source, output_tokens FROM gnomon.requests FINAL WHERE request_id = '"+counted.RequestID+"'"); n != "2 tokenizer 4321" {
		t.Errorf("the row that was counted since: %s", n)
	}
}

// A process may end after the rows are stored and before their hours are noted.
// Its batch comes again then, for its messages were not done with.
func TestACrashBetweenRowsAndTheirNoteLeavesNoHourStaleOnceTheBatchComesAgain(t *testing.T) {
	s, project := open(t)
	evs := shapes(project, 300, 22)
	if err := s.InsertRequests(t.Context(), project+"1", evs[:150]); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
	if err := insert(t.Context(), s, "requests", project+"2", requestColumns, evs[150:]); err != nil { // and no note: killed
		t.Fatal(err)
	}
	differences := "SELECT count() > 0 FROM gnomon.rollup_differences WHERE project = '" + project + "'"
	whole := "SELECT sum(requests) FROM gnomon.spend_daily WHERE project = '" + project + "'"
	if found := rowsOf(t, s, differences); found != "1" {
		t.Errorf("the check does not see rows without a note: %s", found)
	}
	settle(t, s)
	if n := rowsOf(t, s, whole); n == "300" {
		t.Error("the rows were summed without a note: this test shows nothing")
	}
	if err := s.InsertRequests(t.Context(), project+"2", evs[150:]); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
	if found, n := rowsOf(t, s, differences), rowsOf(t, s, whole); found != "0" || n != "300" {
		t.Errorf("differences %s, %s requests", found, n)
	}
}

func TestASumThatWasEndedInTheMiddleIsMadeAgain(t *testing.T) {
	s, project := open(t)
	evs := shapes(project, 200, 23)
	if err := s.InsertRequests(t.Context(), project, evs); err != nil {
		t.Fatal(err)
	}
	behind, err := s.HoursBehind(t.Context())
	if err != nil || len(behind) == 0 {
		t.Fatal(behind, err)
	}
	for _, sql := range []string{sumSequences, sumRejects} { // and not sumCells
		for _, h := range behind {
			if err := s.conn.Exec(t.Context(), sql, h.Project, []uint32{uint32(h.Hour.Unix())}, []uint64{h.Delivered}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if again, err := s.HoursBehind(t.Context()); err != nil || len(again) != len(behind) {
		t.Fatalf("%d hours are behind, not %d: %v", len(again), len(behind), err)
	}
	settle(t, s)
	if d := differ(t, s, project, evs[0].Ts, evs[199].Ts.Add(time.Second)); d != "" {
		t.Error(d)
	}
}

func TestWhatIsWrongInARollupIsFound(t *testing.T) {
	s, project := open(t)
	if err := s.InsertRequests(t.Context(), project, shapes(project, 400, 24)); err != nil {
		t.Fatal(err)
	}
	settle(t, s)
	const last = " FROM gnomon.requests_1h FINAL WHERE project = '{p}' ORDER BY hour DESC LIMIT 1"
	for name, change := range map[string]string{
		"a cell less":                    "SELECT * REPLACE (delivered + 0 AS delivered" + firstLeft + ")" + last,
		"a nano-dollar more":             "SELECT * REPLACE (arrayMap((c, i) -> if(i = 1, c + toDecimal128('0.000000001', 9), c), cells.cost, arrayEnumerate(cells.cost)) AS `cells.cost`)" + last,
		"a request told to another team": "SELECT * REPLACE (arrayMap((c, i) -> if(i = 1, 'other', c), cells.team, arrayEnumerate(cells.team)) AS `cells.team`)" + last,
	} {
		if err := s.conn.Exec(t.Context(), "INSERT INTO gnomon.requests_1h "+strings.ReplaceAll(change, "{p}", project)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := rowsOf(t, s, "SELECT count() FROM gnomon.rollup_differences WHERE project = '"+project+"'"); n != "1" {
			t.Errorf("%s: %s hours differ", name, n)
		}
		// As anyone would mend it.
		if err := s.conn.Exec(t.Context(), "INSERT INTO gnomon.deliveries SELECT project, hour, 1 FROM gnomon.rollup_differences WHERE project = '"+project+"'"); err != nil {
			t.Fatal(err)
		}
		settle(t, s)
		if n := rowsOf(t, s, "SELECT count() FROM gnomon.rollup_differences WHERE project = '"+project+"'"); n != "0" {
			t.Errorf("%s: %s hours differ after it was mended", name, n)
		}
	}
}

// firstLeft drops the first cell of each column.
var firstLeft = ", " + each(cellColumns, "arrayPopFront(cells.%) AS `cells.%`")

func TestHoursThatCannotBeSummedAreToldAndDoNotStopOthers(t *testing.T) {
	s, project := open(t)
	evs := shapes(project, 100, 25)
	if err := s.InsertRequests(t.Context(), project, evs); err != nil {
		t.Fatal(err)
	}
	good := sumCells
	defer func() { sumCells = good }()
	bad := line(evs[50].Ts.Truncate(time.Hour).Unix())
	sumCells = strings.Replace(good, "GROUP BY hour\nSETTINGS", "GROUP BY hour HAVING throwIf(toUnixTimestamp(hour) = "+bad+") = 0\nSETTINGS", 1)
	if sumCells == good {
		t.Fatal("the statement was not broken")
	}
	_, err := s.Rollup(t.Context())
	if err == nil || !strings.Contains(err.Error(), "sum 1 hours of "+project) {
		t.Errorf("Rollup = %v", err)
	}
	behind, e := s.HoursBehind(t.Context())
	if e != nil || len(behind) != 1 || behind[0].Hour.Unix() != evs[50].Ts.Truncate(time.Hour).Unix() {
		t.Errorf("behind: %+v, %v", behind, errors.Join(err, e))
	}
	if d := differ(t, s, project, evs[0].Ts, evs[99].Ts.Add(time.Second)); d != "" {
		t.Errorf("while one hour is behind: %s", d)
	}
}

func TestNewestHoursThatCannotBeSummedDoNotStarveOlderOnes(t *testing.T) {
	s, project := open(t)
	if err := s.InsertRequests(t.Context(), project, traffic(project, 200, 2, 9)); err != nil {
		t.Fatal(err)
	}
	ours := func() []HourBehind {
		t.Helper()
		behind, err := s.HoursBehind(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(behind, func(h HourBehind) bool { return h.Project != project })
	}
	behind := ours()
	if len(behind) < 3*rollupErrors {
		t.Fatal(len(behind))
	}
	var bad []string
	for _, h := range behind[:rollupErrors+1] {
		bad = append(bad, line(h.Hour.Unix()))
	}
	good := sumCells
	defer func() { sumCells = good }()
	sumCells = strings.Replace(good, "GROUP BY hour\nSETTINGS", "GROUP BY hour HAVING throwIf(toUnixTimestamp(hour) IN ("+strings.Join(bad, ", ")+")) = 0\nSETTINGS", 1)
	for range 3 {
		if _, err := s.Rollup(t.Context()); err == nil {
			t.Fatal("nothing failed")
		}
	}
	if left := ours(); len(left) != len(bad) {
		t.Errorf("%d hours are left, of which %d cannot be summed", len(left), len(bad))
	}
}
