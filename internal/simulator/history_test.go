package simulator

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/savings"
)

// snapshot is what the simulated proxies decide by.
func snapshot(t testing.TB, w *World, book *savings.Book) *classifier.Snapshot {
	t.Helper()
	p := classifier.Parts{Project: "acme", Prices: book, DraftThreshold: DraftThreshold,
		Ladders: classifier.BuiltinLadders(), Capabilities: classifier.BuiltinCapabilities(), Providers: []classifier.Provider{
			{Name: openAI, Dialects: []string{dialectOpenAI}, Credential: true}, {Name: anthropic, Dialects: []string{dialectAnthropic}, Credential: true},
		}}
	return classifier.NewSnapshot(p)
}

func configuration(t testing.TB, w *World, days int) HistoryConfig {
	t.Helper()
	book, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	return HistoryConfig{Project: "acme", From: monday, To: monday.AddDate(0, 0, days), Margin: .02, Prices: book, Snapshot: snapshot(t, w, book), Rehearse: true}
}

func TestHistoryTable(t *testing.T) {
	w := NewWorld(1, 1)
	cfg := configuration(t, w, 14)
	m := NewMemory()
	start := time.Now()
	sum, err := w.History(context.Background(), cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests, %d evaluations in %v", sum.Requests, sum.Evaluations, time.Since(start))
	start = time.Now()
	if os.Getenv("NOTRUTH") != "" {
		return
	}
	truths := w.NextMonth(cfg)
	t.Logf("truth in %v", time.Since(start))
	cells, _ := m.Log().Cells(context.Background(), "acme", cfg.From, cfg.To)
	type row struct {
		n, routed   uint64
		base, would float64
		scores      string
	}
	rows := map[string]*row{}
	for _, c := range cells {
		r := rows[c.Workload]
		if r == nil {
			r = &row{}
			rows[c.Workload] = r
		}
		r.n += c.Requests
		r.base += c.Baseline.USD()
		r.would += c.Would.USD()
		if c.WouldRoute != c.Base() {
			r.routed += c.Requests
		}
	}
	for _, tr := range truths {
		r := rows[tr.Workload]
		graded, ungraded, zero := 0, 0, 0
		var cost float64
		for _, e := range m.evaluations {
			if e.Workload != tr.Workload {
				continue
			}
			cost += e.CandidateCost.Nano.USD()
			if e.Candidate != tr.Candidate {
				continue
			}
			if e.Grader != "" {
				graded++
				if e.QualityCandidate < 1 {
					zero++
				}
			} else {
				ungraded++
			}
		}
		t.Logf("%-36s %6d req %3.0f%% routed, base $%8.2f/mo, naive saving $%8.2f (%4.1f%%), truth $%8.2f (%4.1f%%) of $%8.2f; quality %+.4f agree %+.4f; %d graded (%d bad) %d ungraded $%.2f ratio %.2f",
			tr.Workload, r.n, 100*float64(r.routed)/float64(r.n), r.base/14*30, (r.base-r.would)/14*30, 100*(1-r.would/r.base), tr.Saving().USD(), 100*tr.Share(), tr.Baseline.USD(), tr.Quality, tr.Agreement, graded, zero, ungraded, cost, tr.OutputRatio)
	}
	for k, c := range sum.Rehearsal {
		t.Log(k, fmt.Sprintf("%+v", c))
	}
}
