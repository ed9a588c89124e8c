package store

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

const analystsPage = "../../docs/analysts.md"

func readPage(t *testing.T) string { return readFile(t, analystsPage) }

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestTheQueriesOfTheDocumentationRunAndFindRows(t *testing.T) {
	s, project := open(t)
	now := time.Now().UTC()
	evs := traffic(project, 200, 3, 41)
	evs[0].Candidates, evs[0].Rejects = []string{"openai/tiny"}, []schemas.Reject{schemas.RejectTools}
	evs[198].Status, evs[198].Revision, evs[198].ErrorType = schemas.StatusLost, 0, "proxy_killed"
	evs[199].ClientRetry, evs[199].Tags = 1, map[string]string{"environment": "production"}
	for i := range evs {
		evs[i].Simulated = false
		if i > 150 {
			evs[i].PolicyVersion, evs[i].Arm = 1, schemas.ArmTreated
		}
	}
	boot := evs[0].BootID
	p := .1
	if err := errors.Join(
		s.InsertRequests(t.Context(), "", evs),
		s.InsertHeartbeats(t.Context(), "", []schemas.Heartbeat{{BootID: boot, Proxy: "p", At: now, Accepted: 205, Ended: 205, LastSeq: 205}}),
		s.InsertDeclared(t.Context(), "", []schemas.Declared{{BootID: boot, FirstSeq: 201, LastSeq: 202, Reason: "spool_full", At: now}}),
		s.InsertEvaluations(t.Context(), "", []schemas.Evaluation{{Project: project, Workload: "w", Candidate: "c", RequestTs: now, GradedAt: now, RequestID: uuid.NewString(), EvaluationID: uuid.NewString(), SamplingProbability: &p}}),
		s.InsertVerdicts(t.Context(), "", []schemas.Verdict{{Project: project, Workload: "w", Candidate: "c", ComputedAt: now, Readiness: schemas.Collecting}}),
		s.InsertNames(t.Context(), "", []schemas.Naming{{Project: project, Workload: "~w", Version: 1, Name: "w", At: now}}),
		s.InsertPolicies(t.Context(), "", []schemas.Policy{{Project: project, Workload: "w", Version: 1, At: now}}),
	); err != nil {
		t.Fatal(err)
	}
	reader := reader(t)
	examples := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(readPage(t)+readFile(t, "../../docs/completeness.md"), -1)
	if len(examples) < len(views) {
		t.Errorf("%d examples for %d views", len(examples), len(views))
	}
	all := ""
	for _, e := range examples {
		r, err := reader.Query(t.Context(), strings.TrimSpace(e[1]))
		if err != nil || len(r.Rows) == 0 {
			t.Errorf("%v, no rows:\n%s", err, e[1])
		}
		all += e[1]
	}
	for _, view := range append([]string{"requests"}, views...) {
		if !regexp.MustCompile(`gnomon\.` + view + `\b`).MatchString(all) {
			t.Errorf("%s has no example", view)
		}
	}
}

func TestEveryColumnOfAPromiseIsDocumentedAndNoOther(t *testing.T) {
	s, _ := open(t)
	page := readPage(t)
	for _, name := range append([]string{"requests"}, views...) {
		heading := regexp.MustCompile(`(?m)^##+ gnomon\.` + name + `$`).FindStringIndex(page)
		if heading == nil {
			t.Errorf("%s has no section", name)
			continue
		}
		section := page[heading[1]:]
		if end := regexp.MustCompile(`(?m)^##`).FindStringIndex(section); end != nil {
			section = section[:end[0]]
		}
		r, err := s.Query(t.Context(), "SELECT name FROM system.columns WHERE database = 'gnomon' AND table = '"+name+"'")
		if err != nil {
			t.Fatal(err)
		}
		var columns []string
		for _, row := range r.Rows {
			columns = append(columns, row[0].(string))
			if !strings.Contains(section, "`"+row[0].(string)+"`") {
				t.Errorf("%s.%s is not described", name, row[0])
			}
		}
		// The first cells of the table, or what follows "Columns:", name columns only.
		for _, line := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(section, -1) {
			for _, c := range regexp.MustCompile("`([a-z_0-9]+)`").FindAllStringSubmatch(line[1], -1) {
				if !slices.Contains(columns, c[1]) {
					t.Errorf("%s has no column %s", name, c[1])
				}
			}
		}
	}
}

func TestTheColumnTableOfRequestsIsTheStores(t *testing.T) {
	s, _ := open(t)
	var documented, stored []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` +\\| `([^`]+)` +\\| ([^|]*?) *\\| (.+) \\|$").FindAllStringSubmatch(readPage(t), -1) {
		documented = append(documented, row[1]+" "+row[2])
		if money := strings.Contains(row[2], "Decimal"); money != (row[3] == "US$") {
			t.Errorf("%s is in %q", row[1], row[3])
		}
	}
	r, err := s.Query(t.Context(), "SELECT name, type FROM system.columns WHERE database = 'gnomon' AND table = 'requests' ORDER BY position")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows {
		stored = append(stored, row[0].(string)+" "+row[1].(string))
	}
	if !slices.Equal(documented, stored) {
		t.Errorf("the page has %d columns, the table %d:\n%q\n%q", len(documented), len(stored), documented, stored)
	}
}

func TestThePromisedNamesOfRequestsAreThere(t *testing.T) {
	s, _ := open(t)
	if _, err := s.Query(t.Context(), `SELECT project, workload, feature, team, session, provider, request_model, served_model, mode, arm, stream, http_status,
input_tokens, output_tokens, request_id, ts FROM gnomon.requests FINAL LIMIT 1`); err != nil {
		t.Error(err)
	}
}
