package store

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

// naming is a record as it came from its log.
func naming(project, found string, version uint32, name string, offset int64) schemas.Naming {
	return schemas.Naming{Project: project, Workload: found, Version: version, Replaces: version - 1, Name: name, Offset: offset,
		At: time.UnixMilli(1_790_000_000_000 + offset), Actor: "ann", Reason: "to tell it from others"}
}

func TestNamesAreTheFirstRecordOfTheLatestVersion(t *testing.T) {
	s, project := open(t)
	if err := s.InsertNames(t.Context(), "", []schemas.Naming{
		naming(project, "~twice", 1, "first", 10), naming(project, "~twice", 2, "second", 12), naming(project, "~twice", 2, "lost the race", 13),
		naming(project, "~undone", 1, "gone", 14), naming(project, "~undone", 2, "", 15),
		naming(project, "~quoted", 1, `it's a \ name`, 16), naming("another"+project, "~twice", 1, "theirs", 17),
	}); err != nil {
		t.Fatal(err)
	}
	got := rowsOf(t, s, "SELECT workload, name, actor FROM gnomon.workload_names WHERE project = '"+project+"' ORDER BY workload")
	if want := `~quoted it's a \ name ann] [~twice second ann`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	g, err := s.named(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	if got := rowsOf(t, s, "SELECT "+g.of("w")+" FROM (SELECT arrayJoin(['~quoted', '~undone', '~twice', 'x'])::LowCardinality(String) AS w)"); got != `it's a \ name] [~undone] [second] [x` {
		t.Error(got)
	}
}

// TestHistoryIsShownUnderTheNameThatAPersonGave merges two discovered workloads
// into a third, and takes it back: what was recorded stays as it was.
func TestHistoryIsShownUnderTheNameThatAPersonGave(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(21, 22))
	now := time.Now().UTC().Truncate(time.Millisecond)
	var evs []schemas.RequestEvent
	var evaluations []schemas.Evaluation
	for i, workload := range []string{"~a", "~a", "~a", "~b", "~b", "mail"} {
		e := someEvent(project, r)
		e.Workload, e.Ts, e.Candidates, e.Rejects = workload, now.Add(-time.Duration(i)*time.Second), []string{"openai/x"}, []schemas.Reject{schemas.RejectTools}
		e.Provider, e.RequestModel, e.ServedModel, e.WouldRoute, e.BaselineProvider = "openai", "big", "big", "openai/x", ""
		evs = append(evs, e)
		p := .5
		evaluations = append(evaluations, schemas.Evaluation{Project: project, Workload: workload, RequestModel: "big", Candidate: "openai/x", Grader: "exact_match", Outcome: schemas.OutcomeGraded,
			RequestTs: e.Ts, GradedAt: e.Ts, RequestID: e.RequestID, EvaluationID: uuid.NewString(), SamplingProbability: &p})
	}
	verdict := schemas.Verdict{Project: project, Workload: "~a", Candidate: "openai/x", ComputedAt: now, Readiness: schemas.Collecting}
	if err := errors.Join(s.InsertRequests(t.Context(), "", evs), s.InsertEvaluations(t.Context(), "", evaluations), s.InsertVerdicts(t.Context(), "", []schemas.Verdict{verdict})); err != nil {
		t.Fatal(err)
	}
	where := " WHERE project = '" + project + "' "
	look := func(want, verdicts string) {
		t.Helper()
		by := strings.NewReplacer("{where}", where)
		for _, sql := range []string{
			"SELECT workload, requests FROM gnomon.workloads{where}ORDER BY workload",
			"SELECT workload, sum(requests) FROM gnomon.spend_daily{where}GROUP BY workload ORDER BY workload",
			"SELECT workload, sum(requests) FROM gnomon.would_routes{where}GROUP BY workload ORDER BY workload",
			"SELECT workload, count() FROM gnomon.rejects{where}GROUP BY workload ORDER BY workload",
			"SELECT workload, sum(pairs) FROM gnomon.rehearsals_daily{where}GROUP BY workload ORDER BY workload",
		} {
			if got := rowsOf(t, s, by.Replace(sql)); got != want {
				t.Errorf("%s: %s, want %s", sql, got, want)
			}
		}
		if got := rowsOf(t, s, by.Replace("SELECT workload FROM gnomon.latest_verdicts{where}")); got != verdicts {
			t.Errorf("verdicts of %s", got)
		}
		read := map[string]map[string]uint64{"cells": {}, "traffic": {}, "rejects": {}, "evaluations": {}, "what if": {}, "graded": {}}
		from, to := now.Add(-48*time.Hour), now.Add(time.Hour)
		cells, err1 := s.Cells(t.Context(), project, from, to)
		traffic, err2 := s.Traffic(t.Context(), project, from, to)
		rejects, err3 := s.Rejects(t.Context(), project, from, to)
		evaluations, err4 := s.Evaluations(t.Context(), project, from, to)
		whatif, err5 := s.WhatIf(t.Context(), project, from, to, []uint16{100}, []uint32{100})
		graded, err6 := s.Graded(t.Context(), project, from, to)
		if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
			t.Fatal(err)
		}
		for _, c := range cells {
			read["cells"][c.Workload] += c.Requests
		}
		for _, c := range traffic {
			read["traffic"][c.Workload] += c.Requests
		}
		for _, c := range rejects {
			read["rejects"][c.Workload] += c.Requests
		}
		for _, c := range evaluations {
			read["evaluations"][c.Workload]++
		}
		for _, c := range whatif {
			read["what if"][c.Workload] += c.Requests
		}
		for _, c := range graded {
			read["graded"][c.Workload]++
		}
		for what, got := range read {
			line := ""
			for _, w := range []string{"mail", "~a", "~b"} {
				if n := got[w]; n > 0 {
					line += strings.TrimSpace(strings.Join([]string{"", w, string('0' + rune(n))}, " ")) + "] ["
				}
			}
			if line = strings.TrimSuffix(line, "] ["); line != want {
				t.Errorf("%s: %s, want %s", what, line, want)
			}
		}
	}
	look("mail 1] [~a 3] [~b 2", "~a")
	if err := s.InsertNames(t.Context(), "", []schemas.Naming{naming(project, "~a", 1, "mail", 1), naming(project, "~b", 1, "mail", 2)}); err != nil {
		t.Fatal(err)
	}
	look("mail 6", "")
	for workload, want := range map[string]int{"mail": 6, "~a": 3} {
		page, err := s.Requests(t.Context(), dashboards.RequestFilter{Project: project, Workload: workload})
		if err != nil || len(page.Requests) != want {
			t.Errorf("%d requests of %s, want %d (%v)", len(page.Requests), workload, want, err)
		}
	}
	if got := rowsOf(t, s, "SELECT workload, count() FROM gnomon.requests FINAL"+where+"GROUP BY workload ORDER BY workload"); got != "mail 1] [~a 3] [~b 2" {
		t.Errorf("what was recorded reads %s", got)
	}
	if err := s.InsertNames(t.Context(), "", []schemas.Naming{naming(project, "~b", 2, "", 3)}); err != nil {
		t.Fatal(err)
	}
	look("mail 4] [~b 2", "")
}
