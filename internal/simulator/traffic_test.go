package simulator

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

var monday = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

func TestEveryBodyIsJSONThatItsOwnProviderUnderstands(t *testing.T) {
	w := NewWorld(1, .05)
	for n := range w.Workloads {
		wl := &w.Workloads[n]
		calls := w.calls(n, dayOf(monday))
		if len(calls) == 0 {
			t.Fatalf("%s: no calls", wl.Name)
		}
		bytes := 0
		for _, c := range calls {
			bytes += len(c.body)
			if !json.Valid(c.body) {
				t.Fatalf("%s: not JSON: %.300s", wl.Name, c.body)
			}
			if i, ok := w.find(c.body); !ok || i != c.item {
				t.Fatalf("%s: the provider reads item %x, not %x", wl.Name, i, c.item)
			}
			if got := gjson.GetBytes(c.body, "model").String(); got != wl.Model {
				t.Fatalf("%s: asks for %q", wl.Name, got)
			}
		}
		t.Logf("%-20s %5d calls, %6d bytes each", wl.Name, len(calls), bytes/len(calls))
	}
}

func BenchmarkCalls(b *testing.B) {
	w := NewWorld(1, 1)
	total := 0
	for b.Loop() {
		for n := range w.Workloads {
			total += len(w.calls(n, dayOf(monday)))
		}
	}
	b.ReportMetric(float64(total)/float64(b.N), "calls/op")
}
