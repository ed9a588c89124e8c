package classifier

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

var update = flag.Bool("update", false, "write the golden file of assessments anew")

// goldenFile has a line for each of the bodies below: hash of all features, of
// the assessment and of the discovered name, then score, novelty and task. Where
// it changes, recorded decisions no longer follow from their requests: Version
// has to change with it.
const goldenFile = "testdata/assessments.golden"

// goldenBodies are made by arithmetic: nobody's text.
func goldenBodies() [][]byte {
	vocabulary := strings.Fields("the of invoice 17 3.14 why how Berlin ACME größe 日本語 ключ translate summarise x=y+2; {json:true} A. B. (c) 2026-11-21 don't probability ??? https://example.com/a?b=c extract classify " +
		"which following is most likely statement true false calculate many each remaining law court patient cell energy function return def market price demand moral wrong not she he they if then theorem prove")
	state := uint64(2026)
	next := func(n int) int { // SplitMix64
		state += 0x9e3779b97f4a7c15
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return int((z ^ z>>31) % uint64(n))
	}
	text := func() string {
		var b strings.Builder
		for range next(200) {
			b.WriteString(vocabulary[next(len(vocabulary))])
			b.WriteString([]string{" ", " ", "\n", "\t"}[next(4)])
		}
		return b.String()
	}
	bodies := make([][]byte, 3000)
	for i := range bodies {
		bodies[i] = fmt.Appendf(nil, `{"model":"m","max_tokens":%d,"messages":[{"role":"system","content":%q},{"role":"user","content":%q}]}`, i, text(), text())
	}
	return bodies
}

func TestAssessmentsAreTheSameEverywhere(t *testing.T) {
	var got []string
	for _, body := range goldenBodies() {
		f, a := Assess(chat, body)
		in := Inputs{Features: f, Assessment: a}
		h := xxhash.Sum64(append(in.AppendBinary(nil), DiscoverName(chat, body)...))
		got = append(got, fmt.Sprintf("%016x %d %d %s", h, a.Score, a.Novelty, a.Task))
	}
	if *update {
		if err := os.WriteFile(goldenFile, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Open(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	n, differ := 0, 0
	for lines := bufio.NewScanner(file); lines.Scan(); n++ {
		if n < len(got) && lines.Text() != got[n] {
			if differ++; differ <= 3 {
				t.Errorf("body %d: got %s, want %s", n+1, got[n], lines.Text())
			}
		}
	}
	if n != len(got) || differ > 0 {
		t.Errorf("%d of %d lines differ from %s of %d", differ, len(got), goldenFile, n)
	}
}

// TestTheGoldenBodiesNoticeAnyPart changes one part of the weights at a time:
// some golden body must be assessed otherwise.
func TestTheGoldenBodiesNoticeAnyPart(t *testing.T) {
	bodies := goldenBodies()[:600]
	said := func(m *Model) uint64 {
		h := xxhash.New()
		for _, body := range bodies {
			f, a := m.Assess(chat, body)
			fmt.Fprintf(h, "%d %d %.9f ", a.Score, a.Novelty, m.Adequate(&f, &a))
		}
		return h.Sum64()
	}
	want := said(builtin)
	for name, change := range map[string]func(*Weights){
		"bias":           func(w *Weights) { w.Bias += 3000 },
		"a slope":        func(w *Weights) { w.Slope[lexWords] += 3000 },
		"a median":       func(w *Weights) { w.Middle[lexWords] += 20 },
		"a lower bound":  func(w *Weights) { w.Low[lexWords] += 200 },
		"an upper bound": func(w *Weights) { w.High[lexWords] -= 200 },
		"a task": func(w *Weights) {
			w.Task[TaskChat] += 3000
			w.Task[TaskTranslation] += 3000
			w.Task[TaskExtraction] += 3000
		},
		"a word":       func(w *Weights) { w.Words[mix(wordHash("the"))] += 3000 },
		"a knot":       func(w *Weights) { w.Knots[knots/2] = w.Knots[knots/2+1] },
		"the familiar": func(w *Weights) { w.Familiar = [wordBytes]byte{} },
		"adequacy":     func(w *Weights) { w.AdequateBias++ },
		"its slope":    func(w *Weights) { w.AdequateSlope += 10 },
		"its bins":     func(w *Weights) { w.AdequateBins[lexWords][MaxCuts] += 10; w.AdequateBins[lexWords][MaxCuts-1] += 10 },
	} {
		w := *builtin.w
		change(&w)
		if said(&Model{w: &w}) == want {
			t.Errorf("%s: nothing noticed", name)
		}
	}
}
