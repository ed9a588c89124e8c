package replay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/internal/replay"
)

// BenchmarkRun replays 400,000 decisions from the engine; the figure is what the
// command reaches, the store's part included.
func BenchmarkRun(b *testing.B) {
	s, project := open(b)
	snapshot := classifier.NewSnapshot(partsOf(b, project))
	keep(b, s, snapshot)
	evs, _ := eventsOf(b, project, snapshot, 4000)
	const times = 100
	for k := range times {
		for i := range evs {
			evs[i].RequestID = uuid.Must(uuid.NewV7()).String()
		}
		if err := s.InsertRequests(b.Context(), fmt.Sprint(project, k), evs); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for b.Loop() {
		r, err := replay.Run(b.Context(), s, project, time.Unix(0, 0), time.Now().AddDate(1, 0, 0))
		if err != nil || r.Decisions != times*4000 || r.Differs() {
			b.Fatalf("%+v, %v", r, err)
		}
		n += int(r.Decisions)
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "decisions/s")
}
