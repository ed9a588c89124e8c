package store

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestABatchOverMoreMonthsThanABlockMayHaveIsStored(t *testing.T) {
	s, project := open(t)
	var evs []schemas.Evaluation
	p := 1.0
	for i := range 300 { // 25 years of months, none of them expired; a block takes 100
		at := time.Date(2026, time.January, 15, 0, 0, 0, 0, time.UTC).AddDate(0, i, 0)
		evs = append(evs, schemas.Evaluation{Project: project, Workload: "w", RequestModel: "big", Candidate: "openai/small", Grader: "exact_match",
			RequestTs: at, GradedAt: at, RequestID: uuid.NewString(), EvaluationID: uuid.NewString(), SamplingProbability: &p})
	}
	for range 2 {
		if err := s.InsertEvaluations(t.Context(), project, evs); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, "SELECT count() FROM gnomon.evaluations FINAL WHERE project = '"+project+"'"); n != 300 {
		t.Errorf("%d of 300 rows", n)
	}
}

func TestARowThatTheServerRefusesForItsValueIsNamed(t *testing.T) {
	_, project := open(t)
	batch := traffic(project, 64, 1, 6)
	bad := 41
	sizes := map[string]int{} // rows by token, as the halving goes
	sizes[project] = len(batch)
	offset := map[string]int{project: 0}
	s := inFront(t, func(w http.ResponseWriter, r *http.Request) bool {
		token := r.URL.Query().Get("insert_deduplication_token")
		if !isInsert(r) || token == "" {
			return false
		}
		if cut := strings.LastIndex(token, "/"); cut > 0 {
			whole, n := token[:cut], token[cut+1:]
			half := sizes[whole] / 2
			offset[token], sizes[token] = offset[whole], half
			if n == "2" {
				offset[token], sizes[token] = offset[whole]+half, sizes[whole]-half
			}
		}
		if bad < offset[token] || bad >= offset[token]+sizes[token] {
			return false
		}
		_, _ = r.Body.Read(make([]byte, 1))
		refuse(w, http.StatusInternalServerError, 469, "Constraint is violated. (VIOLATED_CONSTRAINT)")
		return true
	})
	var row *ErrRow
	if err := s.InsertRequests(t.Context(), project, batch); !errors.As(err, &row) || row.RowIndex() != bad {
		t.Errorf("%v", err)
	}
}

func TestAServerThatAsksForTimeIsNotAskedInHalves(t *testing.T) {
	_, project := open(t)
	for _, code := range []int{252, 60, 159, 202} {
		asked := 0
		s := inFront(t, func(w http.ResponseWriter, r *http.Request) bool {
			if !isInsert(r) {
				return false
			}
			asked++
			_, _ = r.Body.Read(make([]byte, 1))
			refuse(w, http.StatusInternalServerError, code, "Too many parts (300). Merges are processing significantly slower than inserts.")
			return true
		})
		var row *ErrRow
		if err := s.InsertRequests(t.Context(), fmt.Sprint(project, code), traffic(project, 20, 1, 6)); err == nil || errors.As(err, &row) || asked != 1 {
			t.Errorf("code %d: asked %d times, %v", code, asked, err)
		}
	}
}
