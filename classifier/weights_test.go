package classifier

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/format"
	"hash/fnv"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the weights and golden files anew")

// graded is a prompt answered by a strong and a weak model, both graded.
type graded struct {
	Source, Group, Prompt string
	Workload              string
	StrongScore           float64 `json:"strong_score"`
	WeakScore             float64 `json:"weak_score"`

	x    [16]float64
	fold int
}

// reference returns a folder of the reference data, or skips.
func reference(t testing.TB, sub string) string {
	t.Helper()
	for _, root := range []string{os.Getenv("GNOMON_REFERENCE"), "../../shared"} {
		if root == "" {
			continue
		}
		dir := filepath.Join(root, sub)
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	t.Skip("no reference data: set GNOMON_REFERENCE to its folder")
	return ""
}

func chatBody(t testing.TB, prompt string) []byte {
	t.Helper()
	text, err := json.Marshal(prompt)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"model":"gpt-4o","messages":[{"role":"user","content":%s}]}`, text)
}

func readGraded(t testing.TB) []graded {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(reference(t, "data/graded"), "*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no graded files: %v", err)
	}
	var all []graded
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		zip, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(zip)
		lines.Buffer(nil, 1<<24)
		for lines.Scan() {
			var g graded
			if err := json.Unmarshal(lines.Bytes(), &g); err != nil {
				t.Fatal(err)
			}
			feats, _ := Assess("openai.chat", chatBody(t, g.Prompt))
			for j, v := range feats.Lexical {
				g.x[j] = float64(v) / 256
			}
			h := fnv.New32a()
			h.Write([]byte(g.Group))
			g.fold = int(h.Sum32() % 5)
			all = append(all, g)
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// fit regresses the gain on the features within each source (ridge), so that
// what tells sources apart is not learnt, and spreads the result: a quarter of
// the prompts below sigmoid(−1.1), a quarter above sigmoid(1.1).
func fit(rows []graded) (w [16]float64, b float64) {
	const ridge = 0.02
	type centre struct {
		n, y float64
		x    [16]float64
	}
	centres := map[string]*centre{}
	for i := range rows {
		c := centres[rows[i].Source]
		if c == nil {
			c = &centre{}
			centres[rows[i].Source] = c
		}
		c.n++
		c.y += rows[i].StrongScore - rows[i].WeakScore
		for j, v := range rows[i].x {
			c.x[j] += v
		}
	}
	var a [16][17]float64
	var total float64
	for i := range rows {
		c := centres[rows[i].Source]
		weight := 1 / math.Sqrt(c.n)
		total += weight
		y := rows[i].StrongScore - rows[i].WeakScore - c.y/c.n
		var x [16]float64
		for j, v := range rows[i].x {
			x[j] = v - c.x[j]/c.n
		}
		for j := range x {
			for k := range x {
				a[j][k] += weight * x[j] * x[k]
			}
			a[j][16] += weight * x[j] * y
		}
	}
	for j := range a { // the penalty is on standardised features
		a[j][j] = a[j][j]*(1+ridge) + 1e-6*total
	}
	w = solve(a)
	u := make([]float64, len(rows))
	for i := range rows {
		u[i] = dot(w, rows[i].x)
	}
	slices.Sort(u)
	median, scale := u[len(u)/2], 2.2/(u[len(u)*3/4]-u[len(u)/4])
	for j := range w {
		w[j] *= scale
	}
	return w, -median * scale
}

// bounds are the 2nd and 98th percentile of each feature and its median, in 1/256: beyond them
// the line is not followed, for nothing was seen there.
func bounds(rows []graded) (low, mid, high [16]int16) {
	for j := range low {
		v := make([]int16, len(rows))
		for i := range rows {
			v[i] = int16(rows[i].x[j] * 256)
		}
		slices.Sort(v)
		low[j], mid[j], high[j] = v[len(v)/50], v[len(v)/2], v[len(v)-1-len(v)/50]
	}
	return low, mid, high
}

func dot(w, x [16]float64) (s float64) {
	for j := range w {
		s += w[j] * x[j]
	}
	return s
}

// solve is Gaussian elimination with pivoting.
func solve(a [16][17]float64) (w [16]float64) {
	for c := range 16 {
		p := c
		for r := c; r < 16; r++ {
			if math.Abs(a[r][c]) > math.Abs(a[p][c]) {
				p = r
			}
		}
		a[c], a[p] = a[p], a[c]
		for r := range 16 {
			if r != c {
				f := a[r][c] / a[c][c]
				for k := c; k < 17; k++ {
					a[r][k] -= f * a[c][k]
				}
			}
		}
	}
	for c := range 16 {
		w[c] = a[c][16] / a[c][c]
	}
	return w
}

// apgr is the area under the share of the quality gap regained, over the share
// of strong calls at 11 quantiles (RouteLLM, arXiv 2406.18665); random is 1/2.
func apgr(rows []graded, score func(*graded) float64) float64 {
	order := slices.Clone(rows)
	slices.SortStableFunc(order, func(a, b graded) int {
		if d := score(&b) - score(&a); d != 0 {
			return int(math.Copysign(1, d))
		}
		return strings.Compare(a.Group, b.Group) // ties: not in the file's order
	})
	var gap float64
	for i := range order {
		gap += order[i].StrongScore - order[i].WeakScore
	}
	area, last := 0.0, 0.0
	for k := 1; k <= 10; k++ {
		got := 0.0
		for i := range len(order) * k / 10 {
			got += order[i].StrongScore - order[i].WeakScore
		}
		area += (last + got/gap) / 2 / 10
		last = got / gap
	}
	return area
}

// TestWeights cross-validates the method by group and holds the shipped weights
// against what it gives on all rows; -update writes them.
func TestWeights(t *testing.T) {
	rows := readGraded(t)
	if *update {
		writeFamiliar(t, rows)
	}
	low, mid, high := bounds(rows)
	for i := range rows {
		for j, v := range rows[i].x {
			rows[i].x[j] = max(float64(low[j])/256, min(v, float64(high[j])/256))
		}
	}
	w, b := fit(rows)
	if *update {
		writeWeights(t, w, b, low, mid, high)
		t.Skip("weights written: run again to check them")
	}
	if low != lowest || mid != middle || high != highest {
		t.Error("the bounds of the features are not those of the rows")
	}
	for j, v := range w {
		if int32(math.Round(v*65536)) != weights[j] {
			t.Errorf("weight %d: shipped %d, fitted %f", j, weights[j], v*65536)
		}
	}
	models := map[int]func(*graded) float64{}
	for fold := range 5 {
		w, b := fit(slices.DeleteFunc(slices.Clone(rows), func(g graded) bool { return g.fold == fold }))
		models[fold] = func(g *graded) float64 { return dot(w, g.x) + b }
	}
	bySource := map[string][]graded{}
	for _, g := range rows {
		bySource[g.Source] = append(bySource[g.Source], g)
	}
	floor := map[string]float64{"routellm-mmlu": .54, "routellm-gsm8k": .52, "mmlu-pro": .50, "llmrouter": .52}
	for _, source := range slices.Sorted(maps.Keys(bySource)) {
		of := bySource[source]
		w, b := fit(slices.DeleteFunc(slices.Clone(rows), func(g graded) bool { return g.Source == source }))
		in := apgr(of, func(g *graded) float64 { return models[g.fold](g) })
		t.Logf("%-16s %5d rows: APGR %.3f cross-validated by group, %.3f trained on the others, %.3f by length alone", source, len(of), in,
			apgr(of, func(g *graded) float64 { return dot(w, g.x) + b }), apgr(of, func(g *graded) float64 { return g.x[lexBytes] }))
		if in < floor[source] {
			t.Errorf("%s: APGR %.3f is below %.3f", source, in, floor[source])
		}
	}
}

func writeWeights(t *testing.T, w [16]float64, b float64, low, mid, high [16]int16) {
	t.Helper()
	var out bytes.Buffer
	fmt.Fprintf(&out, `// Code generated by "go test ./classifier -run TestWeights -update". DO NOT EDIT.

package classifier

// The weights of version 1 are a ridge regression of the graded gain (strong
// right − weak right) on the lexical features, within each source of prompts.
// They were fitted on graded answers published by lm-sys/RouteLLM (Apache-2.0),
// TIGER-AI-Lab/MMLU-Pro (Apache-2.0) and ulab-uiuc/LLMRouter (MIT); TestWeights
// fits them again and prints how they rank, cross-validated by group.

const bias int64 = %d

var weights = [16]int32{
`, int64(math.Round(b*65536)))
	for _, v := range w {
		fmt.Fprintf(&out, "\t%d,\n", int32(math.Round(v*65536)))
	}
	fmt.Fprintf(&out, "}\n\n// lowest and highest are the 2nd and 98th percentile of each feature, middle its median.\nvar lowest = %#v\n\nvar middle = %#v\n\nvar highest = %#v\n", low, mid, high)
	out.WriteString("\n// sigmoids are 65535/(1+e^−z) for z from −8 to 8 in steps of 1/8.\nvar sigmoids = [129]uint16{\n")
	for i := range 129 {
		fmt.Fprintf(&out, "%d,", int(math.Round(65535/(1+math.Exp(-float64(i-64)/8)))))
		if i%16 == 15 {
			out.WriteByte('\n')
		}
	}
	out.WriteString("\n}\n")
	text, err := format.Source(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("weights_v1.go", text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeFamiliar collects the words of at least eight prompts into the filter.
func writeFamiliar(t *testing.T, rows []graded) {
	t.Helper()
	seen := map[string]int{}
	for _, g := range rows {
		once := map[string]bool{}
		for _, word := range strings.FieldsFunc(strings.ToLower(g.Prompt), func(r rune) bool { return r < 'a' || r > 'z' }) {
			if len(word) >= 3 && !once[word] {
				once[word] = true
				seen[word]++
			}
		}
	}
	var filter [familiarBits / 8]byte
	n := 0
	for word, prompts := range seen {
		if prompts < 8 {
			continue
		}
		n++
		h := wordHash(word)
		for _, bit := range []uint32{h % familiarBits, h >> 16} {
			filter[bit/8] |= 1 << (bit % 8)
		}
	}
	t.Logf("%d of %d words are familiar", n, len(seen))
	if err := os.WriteFile("familiar_v1.bin", filter[:], 0o644); err != nil {
		t.Fatal(fmt.Errorf("%w: %w", fs.ErrInvalid, err))
	}
}
