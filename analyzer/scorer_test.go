package analyzer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// TestOtherWeightsBeginTheEvidenceAnew has a workload that is ready under the
// weights that scored its pairs, and under no others, until as many pairs are
// graded of requests that those have scored.
func TestOtherWeightsBeginTheEvidenceAnew(t *testing.T) {
	shipped := classifier.Builtin().Scorer()
	other := schemas.Scorer{Version: shipped.Version, Weights: shipped.Weights + 1}
	another := schemas.Scorer{Version: shipped.Version + 1, Weights: shipped.Weights}
	since := now.AddDate(0, 0, -15)
	for _, row := range []struct {
		name     string
		inForce  schemas.Scorer
		scored   func(i int, e *schemas.Evaluation) schemas.Scorer // who scored the request
		word     schemas.Readiness
		says     string
		warned   bool
		restarts int
	}{
		{"all by the weights in force", shipped, func(int, *schemas.Evaluation) schemas.Scorer { return shipped }, schemas.Ready, "Quality holds", false, 0},
		{"all by weights of before", other, func(int, *schemas.Evaluation) schemas.Scorer { return shipped }, schemas.Collecting, "The weights that score requests have changed", true, 1},
		{"a build with other features under the same weights", another, func(int, *schemas.Evaluation) schemas.Scorer { return shipped }, schemas.Collecting, "The weights that score requests have changed", true, 1},
		{"recorded without a snapshot: nobody knows by whom", shipped, func(int, *schemas.Evaluation) schemas.Scorer { return schemas.Scorer{} }, schemas.Collecting, "The weights that score requests have changed", true, 1},
		{"changed fifteen days ago: the days since are enough", other, func(_ int, e *schemas.Evaluation) schemas.Scorer {
			if e.RequestTs.Before(since) {
				return shipped
			}
			return other
		}, schemas.Ready, "Quality holds", true, 1},
		{"changed twice on the way: each change is one more test", other, func(i int, e *schemas.Evaluation) schemas.Scorer {
			if e.RequestTs.Before(since) {
				return []schemas.Scorer{shipped, another}[i%2]
			}
			return other
		}, schemas.Ready, "Quality holds", true, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := build(11, change(fine("w"), func(w *workload) { w.days = 30 }))
			for i := range l.evals {
				l.evals[i].Scorer = row.scored(i, &l.evals[i])
			}
			s := settings()
			s.Scorer = row.inForce
			v := analyze(t, l, s)[0]
			warned := slices.ContainsFunc(v.Warnings, func(w schemas.Warning) bool { return w.Code == "other_weights" })
			if v.Readiness != row.word || !strings.Contains(strings.Join(v.Reasons, " "), row.says) || warned != row.warned || v.Quality.Restarts != row.restarts {
				t.Errorf("%s, warned %v, %d restarts: %v", v.Readiness, warned, v.Quality.Restarts, v.Reasons)
			}
			if v.Scorer != row.inForce {
				t.Errorf("the verdict says that it is of %v", v.Scorer)
			}
			if (v.Quality.Adequacy != nil) != (row.word == schemas.Ready) {
				t.Errorf("expects %+v", v.Quality.Adequacy)
			}
		})
	}
}

// TestEachProviderOfAModelIsJudgedByItsOwnPairs has one model at two providers in
// one workload: as good at the one, worse at the other.
func TestEachProviderOfAModelIsJudgedByItsOwnPairs(t *testing.T) {
	good, bad := build(5, fine("w")), build(6, change(fine("w"), func(w *workload) { w.worse = .3 }))
	for i := range bad.cells {
		c := &bad.cells[i]
		if c.WouldRoute == c.Base() {
			c.WouldRoute = "azure/" + c.RequestModel
		}
		c.Provider = "azure"
	}
	for i := range bad.evals {
		e := &bad.evals[i]
		e.Provider, e.Cluster, e.EvaluationID = "azure", "azure "+e.Cluster, "azure "+e.EvaluationID
	}
	good.cells, good.evals = append(good.cells, bad.cells...), append(good.evals, bad.evals...)
	want := map[string]schemas.Readiness{"azure": schemas.Worse, "openai": schemas.Ready}
	vs := analyze(t, good, settings())
	if len(vs) != 2 {
		t.Fatalf("%d verdicts", len(vs))
	}
	for _, v := range vs {
		if v.Readiness != want[v.Provider] {
			t.Errorf("at %s %s: %v", v.Provider, v.Readiness, v.Reasons)
		}
	}
	t.Run("whose is not known is nobody's where two could be meant", func(t *testing.T) {
		for i := range good.evals {
			good.evals[i].Provider = ""
		}
		for _, v := range analyze(t, good, settings()) {
			if v.Quality.Pairs != 0 {
				t.Errorf("at %s %d pairs", v.Provider, v.Quality.Pairs)
			}
		}
	})
	t.Run("and the only one's where there is one", func(t *testing.T) {
		l := build(5, fine("w"))
		for i := range l.evals {
			l.evals[i].Provider = ""
		}
		if v := analyze(t, l, settings())[0]; v.Readiness != schemas.Ready {
			t.Errorf("%s: %v", v.Readiness, v.Reasons)
		}
	})
}

// TestAVerdictSaysWhichWorkloadsItIsOf goes by the names that the pairs were read
// under.
func TestAVerdictSaysWhichWorkloadsItIsOf(t *testing.T) {
	l := build(5, fine("letters"), fine("sent"))
	l.members = map[string][]analyzer.Member{"letters": {{Found: "~a"}, {Found: "~b"}}}
	want := map[string][]string{"letters": {"~a", "~b"}}
	for _, v := range analyze(t, l, settings()) {
		if !slices.Equal(v.Members, want[v.Workload]) {
			t.Errorf("%s is of %v", v.Workload, v.Members)
		}
	}
}

// TestWhatIsMergedIsJudgedWithTheRest merges ~b into a workload that was ready by
// the pairs of ~a.
func TestWhatIsMergedIsJudgedWithTheRest(t *testing.T) {
	merged := now.AddDate(0, 0, -2)
	for _, row := range []struct {
		name     string
		recorded func(i int, e *schemas.Evaluation) string
		members  []analyzer.Member
		word     schemas.Readiness
		says     string
	}{
		{"only what was there before has pairs", func(int, *schemas.Evaluation) string { return "~a" }, []analyzer.Member{{Found: "~a"}, {Found: "~b", Since: now}}, schemas.Collecting, "~b was merged into this workload"},
		{"pairs under the name, but of before the merge", func(int, *schemas.Evaluation) string { return "letters" }, []analyzer.Member{{Found: "~a"}, {Found: "~b", Since: now}}, schemas.Collecting, "0 pairs are graded since"},
		{"both have pairs of their own", func(i int, _ *schemas.Evaluation) string { return []string{"~a", "~b"}[i%2] }, []analyzer.Member{{Found: "~a"}, {Found: "~b", Since: now}}, schemas.Ready, "Quality holds"},
		{"two days of pairs of both together", func(_ int, e *schemas.Evaluation) string {
			if e.RequestTs.Before(merged) {
				return "~a"
			}
			return "letters"
		}, []analyzer.Member{{Found: "~a"}, {Found: "~b", Since: merged}}, schemas.Ready, "Quality holds"},
		{"what was merged into it has left", func(int, *schemas.Evaluation) string { return "letters" }, []analyzer.Member{{Found: "~a", Since: now}}, schemas.Collecting, "another was parted from it"},
		{"one that was only named", func(int, *schemas.Evaluation) string { return "~a" }, []analyzer.Member{{Found: "~a", Since: now}}, schemas.Ready, "Quality holds"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := build(11, fine("letters"))
			l.members = map[string][]analyzer.Member{"letters": row.members}
			for i := range l.evals {
				l.evals[i].Recorded = row.recorded(i, &l.evals[i])
			}
			v := analyze(t, l, settings())[0]
			if v.Readiness != row.word || !strings.Contains(strings.Join(v.Reasons, " "), row.says) {
				t.Errorf("%s (%s): %v", v.Readiness, v.Brief, v.Reasons)
			}
		})
	}
}
