package training

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/gnomon-llm/gnomon/classifier"
)

// reference returns the graded rows of the reference data, or skips.
func reference(t testing.TB) []Row {
	t.Helper()
	for _, root := range []string{os.Getenv("GNOMON_REFERENCE"), "../../../shared"} {
		files, _ := filepath.Glob(filepath.Join(root, "data/graded/*.jsonl.gz"))
		if root == "" || len(files) == 0 {
			continue
		}
		rows, err := ReadFiles(files...)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	t.Skip("no reference data: set GNOMON_REFERENCE to its folder")
	return nil
}

// benched skips all but `make bench-routing`.
func benched(t *testing.T) []Row {
	t.Helper()
	if os.Getenv("GNOMON_BENCH_ROUTING") == "" {
		t.Skip("make bench-routing")
	}
	return reference(t)
}

// said is what a model that had not seen a row said of it.
type said struct {
	row      *Row
	score    float64
	adequate float64
	novelty  float64
}

// held are the rows to ask, dealt to folds by a key; keep says which rows a
// model may be fitted on at all.
type held struct {
	test  func(*Row) bool
	keep  func(*Row) bool
	key   func(*Row) string
	folds int
}

// ask fits a model without each fold and asks it of the fold.
func (h held) ask(t *testing.T, rows []Row, o Options) []said {
	t.Helper()
	parts := make([][]said, h.folds)
	var wait sync.WaitGroup
	for fold := range h.folds {
		wait.Go(func() {
			var seen []Row
			var unseen []*Row
			for i := range rows {
				r := &rows[i]
				if h.test(r) && foldOf(h.key(r), h.folds, 77) == fold {
					unseen = append(unseen, r)
				} else if h.keep(r) {
					seen = append(seen, *r)
				}
			}
			m := train(t, seen, o)
			for _, r := range unseen {
				parts[fold] = append(parts[fold], ask(m, r))
			}
		})
	}
	wait.Wait()
	return slices.Concat(parts...)
}

func train(t *testing.T, rows []Row, o Options) *classifier.Model {
	w, err := Train(rows, o)
	if err != nil {
		t.Error(err)
		return classifier.Builtin()
	}
	m, err := classifier.ReadWeights(w.Encode())
	if err != nil {
		t.Error(err)
		return classifier.Builtin()
	}
	return m
}

func ask(m *classifier.Model, r *Row) said {
	f, a := m.Assess("openai.chat", ChatBody(r.Prompt))
	return said{row: r, score: float64(a.Score), adequate: m.Adequate(&f, &a), novelty: float64(a.Novelty) / 65535}
}

func curve(rows []said, score func(*said) float64) Curve {
	scored := make([]Scored, len(rows))
	for i := range rows {
		scored[i] = Scored{score(&rows[i]), rows[i].row.StrongScore, rows[i].row.WeakScore}
	}
	return NewCurve(scored)
}

func forecasts(rows []said) []Forecast {
	out := make([]Forecast, len(rows))
	for i := range rows {
		out[i] = Forecast{rows[i].adequate, rows[i].row.Adequate()}
	}
	return out
}

func of(rows []said, source string) []said {
	return slices.DeleteFunc(slices.Clone(rows), func(s said) bool { return s.row.Source != source })
}

func from(source string) func(*Row) bool { return func(r *Row) bool { return r.Source == source } }

func group(r *Row) string    { return r.Group }
func workload(r *Row) string { return r.Workload }
func everything(*Row) bool   { return true }

// otherThan leaves a source out, and whatever of another is the same benchmark.
func otherThan(source string) func(*Row) bool {
	return func(r *Row) bool {
		same := source == "routellm-gsm8k" && r.Workload == "llmrouter/gsm8k" || source == "routellm-mmlu" && r.Workload == "llmrouter/mmlu"
		return r.Source != source && !same
	}
}

// bar is what a measurement is held against. Zero: nothing.
type bar struct {
	target      string
	floor, goal float64
	published   string // RouteLLM's best, arXiv 2406.18665
}

func head() {
	fmt.Printf("\n%-52s %5s %6s %6s %6s %6s %6s %5s  %s\n", "", "rows", "APGR", "CPT50", "CPT80", "−1 pp", "−2 pp", "ECE", "beside: length, workload mean, random; published; floor → goal")
}

// line prints a measurement beside what it has to beat, and holds its floor.
func line(t *testing.T, name string, rows []said, means map[string]float64, b bar) float64 {
	t.Helper()
	c := curve(rows, func(s *said) float64 { return s.score })
	apgr := c.APGR()
	published := b.published
	if published == "" {
		published = "–"
	}
	against := ""
	if b.floor > 0 {
		against = fmt.Sprintf("; %s %.3f → %.3f", b.target, b.floor, b.goal)
	}
	fmt.Printf("%-52s %5d %6.3f %5.1f%% %5.1f%% %5.1f%% %5.1f%% %5.3f  %.3f, %.3f, .500; %s%s\n", name, len(rows), apgr, 100*c.CPT(.5), 100*c.CPT(.8),
		100*c.WeakShare(.01), 100*c.WeakShare(.02), ECE(forecasts(rows)),
		curve(rows, func(s *said) float64 { return float64(len(s.row.Prompt)) }).APGR(),
		curve(rows, func(s *said) float64 { return means[s.row.Workload] }).APGR(), published, against)
	if apgr < b.floor {
		t.Errorf("%s: APGR %.3f is below the floor %.3f", name, apgr, b.floor)
	}
	return apgr
}

// TestBenchRouting prints how the router ranks prompts that it has not seen,
// beside what it has to beat, and holds the floors. `make bench-routing`.
func TestBenchRouting(t *testing.T) {
	rows, o := benched(t), Defaults()
	means := workloadMeans(rows) // in sample: what the workload's mean could give at best
	head()
	in := held{everything, everything, group, 5}.ask(t, rows, o)
	line(t, "R1 MMLU, 5 folds by group", of(in, "routellm-mmlu"), means, bar{"R1", .620, .665, ".603"})
	line(t, "R4 GSM8K, 5 folds by group", of(in, "routellm-gsm8k"), means, bar{"R4", .622, .690, ".622"})
	line(t, "   MMLU-Pro, 5 folds by group", of(in, "mmlu-pro"), means, bar{})
	line(t, "   LLMRouter, 5 folds by group", of(in, "llmrouter"), means, bar{})
	subjects := held{from("routellm-mmlu"), everything, workload, 5}.ask(t, rows, o)
	line(t, "R2 MMLU, 5 folds by subject", subjects, means, bar{"R2", .570, .620, ""})
	tasks := held{from("llmrouter"), everything, workload, 5}.ask(t, rows, o)
	line(t, "   LLMRouter, 5 folds by task", tasks, means, bar{})
	var others []said
	for _, source := range []string{"routellm-gsm8k", "routellm-mmlu", "llmrouter", "mmlu-pro"} {
		b, name := bar{}, "   "+source+", fitted on the others alone"
		if source == "routellm-gsm8k" {
			b, name = bar{"R5", .590, .640, ""}, "R5 GSM8K, zero-shot: no GSM8K in training"
		}
		asked := held{from(source), otherThan(source), group, 1}.ask(t, rows, o)
		line(t, name, asked, means, b)
		others = append(others, asked...)
	}
	fmt.Printf("\nR9 in domain: ECE of all sources together %.3f, Brier %.3f (floor .04, goal .02)\n", ECE(forecasts(in)), Brier(forecasts(in)))
	if e := ECE(forecasts(in)); e > .04 {
		t.Errorf("ECE %.3f is above .04", e)
	}
	evidence, test := deal(others, 1000)
	writeReliability(t, []panel{
		{"In domain: by group", forecasts(in)},
		{"Out of domain: fitted on the other sources", forecasts(test)},
		{"The same, with 50 graded pairs a workload", calibrated(evidence, test).forecasts},
	})
	fmt.Println("R6 (MT-Bench) and R8 (RouterArena) need data that is held back; the lines above that are fitted on the others alone stand for them.")
}

// TestBenchRoutingShippedWeights trains on all rows and holds the embedded file
// against the result, byte by byte.
func TestBenchRoutingShippedWeights(t *testing.T) {
	w, err := Train(benched(t), Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if got := w.Encode(); !bytes.Equal(got, classifier.Builtin().Weights().Encode()) {
		t.Error("the embedded weights are not those of the graded rows: make weights")
	}
}

func workloadMeans(rows []Row) map[string]float64 {
	sum, n := map[string]float64{}, map[string]float64{}
	for i := range rows {
		sum[rows[i].Workload] += rows[i].Gain()
		n[rows[i].Workload]++
	}
	for w := range sum {
		sum[w] /= n[w]
	}
	return sum
}
