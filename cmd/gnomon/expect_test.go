package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/classifier/training"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// gradedLog is a log of graded pairs, a request each.
type gradedLog struct {
	evals []schemas.Evaluation
	at    time.Time
}

func (l *gradedLog) Cells(context.Context, string, time.Time, time.Time) (cells []analyzer.Cell, err error) {
	seen := map[string]bool{}
	for _, e := range l.evals {
		if !seen[e.Workload] {
			cells = append(cells, analyzer.Cell{Workload: e.Workload, Provider: "openai", RequestModel: e.RequestModel, WouldRoute: e.Candidate, Day: l.at.Truncate(24 * time.Hour), Requests: 1})
			seen[e.Workload] = true
		}
	}
	return cells, nil
}
func (l *gradedLog) Evaluations(context.Context, string, time.Time, time.Time) ([]schemas.Evaluation, error) {
	return l.evals, nil
}
func (l *gradedLog) Members(context.Context, string) (map[string][]analyzer.Member, error) {
	return nil, nil
}
func (l *gradedLog) InputsOfGraded(context.Context, string, time.Time, time.Time) (map[string][]byte, error) {
	return nil, nil
}
func (l *gradedLog) Rejects(context.Context, string, time.Time, time.Time) ([]analyzer.RejectCount, error) {
	return nil, nil
}
func (l *gradedLog) Period(context.Context, string) (analyzer.Period, error) {
	return analyzer.Period{First: l.at, Last: l.at}, nil
}

// TestAssessExpectsWhatTheProxiesExpect gives the same graded pairs, of sessions,
// drawn with probabilities that vary, to the analyzer and to gnomon assess: what
// Decide says by the one's evidence is what the other prints, to the last bit.
func TestAssessExpectsWhatTheProxiesExpect(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	at := time.Now().UTC().Add(-48 * time.Hour).Truncate(time.Millisecond)
	l := &gradedLog{at: at}
	var pairs, asked strings.Builder
	prompt := func(i int) string {
		return fmt.Sprintf("Question %d: %s what is %d times %d?", i, strings.Repeat("consider carefully and ", i%7), i, i+3)
	}
	var inputs []classifier.Inputs
	for i := range 400 {
		w, session, probability := fmt.Sprintf("w%d", i%4), fmt.Sprintf("s%d", i/6), []float64{.05, .1, .4}[r.IntN(3)]
		f, a := classifier.Assess("openai.chat", training.ChatBody(prompt(i)))
		weak := 1
		if r.Float64() < share(a.Score)-.1*float64(i%4) {
			weak = 0
		}
		fmt.Fprintf(&pairs, `{"workload":%q,"prompt":%q,"strong_score":1,"weak_score":%d,"probability":%v,"session":%q}`+"\n", w, prompt(i), weak, probability, session)
		fmt.Fprintf(&asked, `{"id":%d,"workload":%q,"prompt":%q}`+"\n", i, w, prompt(i))
		l.evals = append(l.evals, schemas.Evaluation{Workload: w, Provider: "openai", RequestModel: "gpt-4o", Candidate: "openai/gpt-4o-mini", WouldRoute: "openai/gpt-4o-mini", RequestTs: at, GradedAt: at,
			RequestID: fmt.Sprint("r", i), EvaluationID: fmt.Sprint("e", i), Cluster: session, Grader: "exact_match", SamplingProbability: &probability, Outcome: schemas.OutcomeGraded,
			Score: float32(a.Score) / math.MaxUint16, QualityBaseline: 1, QualityCandidate: float32(weak), Scorer: classifier.Builtin().Scorer()})
		inputs = append(inputs, classifier.Inputs{Workload: w, Provider: "openai", RequestModel: "gpt-4o", Dialect: "openai.chat", Operation: "chat", Features: f, Assessment: a, Hour: uint32(at.Unix() / 3600)})
	}
	verdicts, err := analyzer.Analyze(t.Context(), l, "acme", analyzer.DefaultSettings(), at.Add(48*time.Hour))
	if err != nil || len(verdicts) != 4 {
		t.Fatalf("%d verdicts: %v", len(verdicts), err)
	}
	book, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	proxy := newSnapshots(classifier.Parts{Project: "acme", Prices: book, DraftThreshold: 1, Capabilities: classifier.BuiltinCapabilities(),
		Ladders: []classifier.Ladder{{Baseline: "openai/gpt-4o", Candidates: []string{"openai/gpt-4o-mini"}}}}, "", nil, slog.New(slog.DiscardHandler))
	for i := range verdicts {
		verdicts[i].Project = "acme"
		raw, err := json.Marshal(evidenceOf(&verdicts[i]))
		if err != nil {
			t.Fatal(err)
		}
		proxy.addEvidence(raw)
	}
	proxy.evidenceCurrent()

	said, stderr, code := assessed(t, "--input", write(t, "in.jsonl", asked.String()), "--evidence", write(t, "pairs.jsonl", pairs.String()))
	if code != 0 || len(said) != len(inputs) {
		t.Fatalf("status %d, %d lines: %s", code, len(said), stderr)
	}
	differ := map[float64]bool{}
	for i := range inputs {
		d := classifier.Decide(&inputs[i], proxy.get())
		if want := round(float64(d.Adequate.P) / math.MaxUint16); !d.Adequate.Known || said[i].PAdequate != want {
			t.Fatalf("prompt %d of %s: assess says %v, a proxy %v (known: %v)", i, inputs[i].Workload, said[i].PAdequate, want, d.Adequate.Known)
		}
		differ[said[i].PAdequate] = true
	}
	if len(differ) < 8 {
		t.Errorf("only %d different chances: this check would catch little", len(differ))
	}
}
