package projection_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gnomon-llm/gnomon/analyzer/projection"
)

const tolerance = 1e-9

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Max(1, math.Abs(want))) {
		t.Errorf("%s: got %.14g, want %.14g", what, got, want)
	}
}

func TestReferenceValues(t *testing.T) {
	path := os.Getenv("GNOMON_REFERENCE")
	if path == "" {
		path = filepath.Join("..", "..", "..", "shared", "reference_values.json")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("the table of reference values is not here (set GNOMON_REFERENCE to it); TestWorkedValues checks a part of it: %v", err)
	}
	var file struct {
		Cases []struct {
			Section, Name string
			Inputs        struct {
				Baseline []float64 `json:"baseline_cost"`
				Routed   []float64 `json:"routed_cost"`
				Q        int
				Level    float64
			}
			Expected struct {
				Savings, SE, Low, High float64
				Means                  []float64 `json:"block_means"`
				T                      float64   `json:"t_quantile"`
				NextLow                float64   `json:"prediction_low_next_30_days"`
				NextHigh               float64   `json:"prediction_high_next_30_days"`
			}
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, c := range file.Cases {
		if c.Section != "iii Ibragimov-Mueller" {
			continue
		}
		seen++
		t.Run(c.Name, func(t *testing.T) {
			r, u := projection.Ratio(c.Inputs.Baseline, c.Inputs.Routed)
			s := projection.BlockSpread(u, c.Inputs.Q, c.Inputs.Level)
			saving := 1 - r
			near(t, "saving", saving, c.Expected.Savings)
			for j, m := range projection.Blocks(u, c.Inputs.Q) {
				near(t, "block mean", m, c.Expected.Means[j])
			}
			near(t, "se", s.SE, c.Expected.SE)
			near(t, "t", s.T, c.Expected.T)
			near(t, "low", saving-s.Half(), c.Expected.Low)
			near(t, "high", saving+s.Half(), c.Expected.High)
			n := len(c.Inputs.Baseline)
			near(t, "next low", saving-s.Next(n), c.Expected.NextLow)
			near(t, "next high", saving+s.Next(n), c.Expected.NextHigh)
		})
	}
	if seen < 4 {
		t.Errorf("%d cases, want 4: has the table changed?", seen)
	}
}
