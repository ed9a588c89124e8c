package evidence_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gnomon-llm/gnomon/analyzer/evidence"
)

// reference reads the worked values computed apart from this code, with 40
// digits: GNOMON_REFERENCE, or a folder beside the repository.
func reference(t *testing.T) []referenceCase {
	t.Helper()
	path := os.Getenv("GNOMON_REFERENCE")
	if path == "" {
		path = filepath.Join("..", "..", "..", "shared", "reference_values.json")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("the table of reference values is not here (set GNOMON_REFERENCE to it); TestWorkedValues checks a part of it: %v", err)
	}
	var file struct{ Cases []referenceCase }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	return file.Cases
}

type referenceCase struct {
	Section, Name string
	Inputs        struct {
		D            []float64
		Delta, Alpha float64
		E            []float64
		Rows         []struct {
			Mu, E  float64
			Graded bool
			Y      *float64
		}
		Level, Power float64
	}
	Expected struct {
		T             []int
		LogK          []float64 `json:"log_k"`
		LogMax        *float64  `json:"log_max"`
		FirstCrossing *int      `json:"first_crossing"`
		Confidence    *float64
		LowerBound    *float64 `json:"lower_bound"`
		K             int
		Rejected      []int
		Threshold     *float64
		Estimate      float64
		SE            float64
		Low, High     float64
		Table         []struct{ Disc, Delta, D, N, NCeil float64 }
	}
}

const tolerance = 1e-9

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Max(1, math.Abs(want))) {
		t.Errorf("%s: got %.14g, want %.14g", what, got, want)
	}
}

func TestReferenceValues(t *testing.T) {
	bettors := map[string]evidence.Bettor{"i betting e-process": evidence.Adaptive, "ii fixed-lambda mixture": evidence.Fixed, "ii-b aimed mixture": evidence.Aimed}
	seen := map[string]int{}
	for _, c := range reference(t) {
		t.Run(c.Section+"/"+c.Name, func(t *testing.T) {
			if b, ok := bettors[c.Section]; ok {
				checkBets(t, b, c)
				seen[c.Section]++
			}
			switch c.Section {
			case "vii e-BH":
				got, threshold := evidence.BenjaminiHochberg(c.Inputs.E, c.Inputs.Alpha)
				if len(got) != c.Expected.K || !slices.Equal(got, c.Expected.Rejected) {
					t.Errorf("rejected %v, want %v", got, c.Expected.Rejected)
				}
				if c.Expected.Threshold != nil {
					near(t, "threshold", threshold, *c.Expected.Threshold)
				}
				seen[c.Section]++
			case "x sample size":
				for _, r := range c.Expected.Table {
					near(t, "n", evidence.SampleSize(c.Inputs.Alpha, c.Inputs.Power, r.Disc, r.D, r.Delta), r.N)
					seen[c.Section]++
				}
			case "iv doubly robust":
				rows := make([]evidence.Graded, len(c.Inputs.Rows))
				for i, r := range c.Inputs.Rows {
					rows[i] = evidence.Graded{Mu: r.Mu, Probability: r.E, Taken: r.Graded}
					if r.Y != nil {
						rows[i].Y = *r.Y
					}
				}
				estimate, se, half, ok := evidence.DoublyRobust(rows, c.Inputs.Level)
				if !ok {
					t.Fatal("refused")
				}
				near(t, "estimate", estimate, c.Expected.Estimate)
				near(t, "se", se, c.Expected.SE)
				near(t, "low", estimate-half, c.Expected.Low)
				near(t, "high", estimate+half, c.Expected.High)
				seen[c.Section]++
			}
		})
	}
	want := map[string]int{"i betting e-process": 12, "ii fixed-lambda mixture": 12, "ii-b aimed mixture": 6, "vii e-BH": 5, "x sample size": 36, "iv doubly robust": 1}
	for section, n := range want {
		if seen[section] < n {
			t.Errorf("%s: %d cases checked, want %d: has the table changed?", section, seen[section], n)
		}
	}
}

func checkBets(t *testing.T, b evidence.Bettor, c referenceCase) {
	t.Helper()
	p := evidence.New(b, c.Inputs.D, nil, 0)
	path := p.Path(c.Inputs.Delta)
	for i, at := range c.Expected.T {
		near(t, "log K", path[at-1], c.Expected.LogK[i])
	}
	alpha := c.Inputs.Alpha
	if alpha == 0 {
		alpha = .05
	}
	f := p.Against(c.Inputs.Delta, alpha)
	if c.Expected.LogMax != nil {
		near(t, "highest log K", f.LogMax, *c.Expected.LogMax)
	}
	if c.Expected.Confidence != nil {
		near(t, "confidence", f.Confidence, *c.Expected.Confidence)
	}
	if c.Expected.FirstCrossing != nil && f.First != *c.Expected.FirstCrossing {
		t.Errorf("first crossing at %d, want %d", f.First, *c.Expected.FirstCrossing)
	}
	if c.Expected.LowerBound != nil {
		near(t, "lower bound", p.LowerNow(alpha, 1e-12), *c.Expected.LowerBound)
	}
}
