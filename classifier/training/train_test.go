package training

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/classifier"
)

// invented are rows whose prompts are made by arithmetic: the weak model fails at
// those that say "fetch", but for some noise.
func invented(n int) []Row {
	words := strings.Fields("red green blue number table river seven train ticket letter station market")
	rows := make([]Row, n)
	for i := range rows {
		verb := []string{"name", "list", "fetch", "count"}[i%4]
		r := Row{ID: fmt.Sprint(i), Source: []string{"a", "b"}[i%3/2], Workload: fmt.Sprint("w", i%7), StrongScore: 1, WeakScore: 1}
		r.Prompt = fmt.Sprintf("%s the %s %s of %d %ss", verb, words[i*7%len(words)], words[i*i%len(words)], i, words[i*5%len(words)])
		r.Group = r.Prompt
		if verb == "fetch" != (i%11 == 0) {
			r.WeakScore = 0
		}
		rows[i] = r
	}
	return rows
}

func trained(t *testing.T, rows []Row, o Options) *classifier.Weights {
	t.Helper()
	w, err := Train(rows, o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestTheSameRowsGiveTheSameBytes(t *testing.T) {
	o := Defaults()
	first, again := trained(t, invented(600), o), trained(t, invented(600), o)
	if !bytes.Equal(first.Encode(), again.Encode()) {
		t.Error("two fits on the same rows differ")
	}
	changed := invented(600)
	changed[300].WeakScore = 1 - changed[300].WeakScore
	if other := trained(t, changed, o); bytes.Equal(first.Encode(), other.Encode()) || other.Data == first.Data {
		t.Error("another grade gave the same weights")
	}
}

func TestTrainingFindsWhatMatters(t *testing.T) {
	rows := invented(1200)
	m, err := classifier.ReadWeights(trained(t, rows[:1000], Defaults()).Encode())
	if err != nil {
		t.Fatal(err)
	}
	if a := MeanAPGR(rows[1000:], m); a < .65 { // "fetch" is a quarter of the prompts and nearly all of the gain
		t.Errorf("APGR %.3f of rows that were not seen", a)
	}
	if a := MeanAPGR(rows[1000:], classifier.Builtin()); a > .62 {
		t.Errorf("the shipped weights have APGR %.3f: the check above finds nothing", a)
	}
}

// TestNoFeatureDependsOnIdOrderOrFile: what a model says of a prompt must follow
// from prompts and grades alone.
func TestNoFeatureDependsOnIdOrderOrFile(t *testing.T) {
	rows := invented(600)
	want, err := classifier.ReadWeights(trained(t, rows, Defaults()).Encode())
	if err != nil {
		t.Fatal(err)
	}
	other := slices.Clone(rows)
	slices.Reverse(other)
	for i := range other {
		other[i].ID, other[i].Workload = fmt.Sprint("x", i), "all in one"
		other[i].Source = map[string]string{"a": "file-of-z", "b": "file-of-y"}[other[i].Source]
	}
	got, err := classifier.ReadWeights(trained(t, other, Defaults()).Encode())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows[:100] {
		_, a := want.Assess("openai.chat", ChatBody(r.Prompt))
		_, b := got.Assess("openai.chat", ChatBody(r.Prompt))
		if math.Abs(float64(a.Score)-float64(b.Score)) > 65535/50 { // sums in another order round otherwise
			t.Fatalf("%q: score %d, and %d with other ids in another order", r.Prompt, a.Score, b.Score)
		}
	}
}

func TestTooLittleToTrainOn(t *testing.T) {
	if _, err := Train(invented(50), Defaults()); !errors.Is(err, ErrRows) {
		t.Errorf("50 rows: %v", err)
	}
	same := invented(300)
	for i := range same {
		same[i].WeakScore = 1
	}
	if _, err := Train(same, Defaults()); !errors.Is(err, ErrRows) {
		t.Errorf("rows without any gain: %v", err)
	}
}

func TestReadRows(t *testing.T) {
	for text, want := range map[string]string{
		`{"prompt":"x","strong_score":1}`:                           "line 1 lacks",
		`{"prompt":"x","strong_score":1,"weak_score":2}`:            "not between 0 and 1",
		"{\"prompt\":\"x\",\"strong_score\":1,\"weak_score\":0}\n{": "line 2",
	} {
		if _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	rows, err := Read(strings.NewReader(`{"prompt":"x","strong_score":1,"weak_score":0.5,"scores":{"a":1}}` + "\n\n"))
	if err != nil || len(rows) != 1 || rows[0].Gain() != .5 || rows[0].Adequate() || rows[0].Group != "x" {
		t.Errorf("%+v, %v", rows, err)
	}
}

func TestExpIsExact(t *testing.T) {
	for x := -40.0; x <= 40; x += .37 {
		if got, want := exp(x), math.Exp(x); math.Abs(got-want) > 1e-13*want {
			t.Errorf("exp(%v) = %v, want %v", x, got, want)
		}
	}
}
