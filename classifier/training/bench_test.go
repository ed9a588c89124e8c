package training

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
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

// published are the best routers' APGR on the same benchmarks, RouteLLM, arXiv
// 2406.18665.
var published = map[string]string{"routellm-mmlu": ".603", "routellm-gsm8k": ".622"}

// TestBenchRouting prints how the router ranks, beside what it has to beat. It
// runs by `make bench-routing`.
func TestBenchRouting(t *testing.T) {
	if os.Getenv("GNOMON_BENCH_ROUTING") == "" {
		t.Skip("make bench-routing")
	}
	bySource := map[string][]Row{}
	for _, r := range reference(t) {
		bySource[r.Source] = append(bySource[r.Source], r)
	}
	fmt.Printf("%-16s %6s %-22s %6s %6s %6s %8s %8s\n", "data", "rows", "router", "APGR", "CPT50", "CPT80", "−1 pp", "−2 pp")
	for _, source := range slices.Sorted(maps.Keys(bySource)) {
		rows := bySource[source]
		score := func(name string, f func(*Row) float64) {
			scored := make([]Scored, len(rows))
			for i := range rows {
				scored[i] = Scored{f(&rows[i]), rows[i].StrongScore, rows[i].WeakScore}
			}
			c := NewCurve(scored)
			fmt.Printf("%-16s %6d %-22s %6.3f %5.1f%% %5.1f%% %7.1f%% %7.1f%%\n", source, len(rows), name, c.APGR(), 100*c.CPT(.5), 100*c.CPT(.8), 100*c.WeakShare(.01), 100*c.WeakShare(.02))
		}
		score("shipped, in sample", func(r *Row) float64 {
			_, a := classifier.Assess("openai.chat", ChatBody(r.Prompt))
			return float64(a.Score)
		})
		score("length only", func(r *Row) float64 { return float64(len(r.Prompt)) })
		means := workloadMeans(rows)
		score("workload mean, in sample", func(r *Row) float64 { return means[r.Workload] })
		score("random", func(*Row) float64 { return 0 })
		if p := published[source]; p != "" {
			fmt.Printf("%-16s %6s %-22s %6s\n", source, "", "RouteLLM, published", p)
		}
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
