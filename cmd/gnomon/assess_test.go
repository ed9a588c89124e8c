package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/classifier"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func assessed(t *testing.T, args ...string) (lines []answered, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), append([]string{"assess"}, args...), &out, &errs)
	dec := json.NewDecoder(&out)
	for dec.More() {
		var l answered
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines, errs.String(), code
}

func TestAssessSaysWhatTheProxyWouldRecord(t *testing.T) {
	body := `{"model":"gpt-4o","messages":[{"role":"user","content":"Classify the sentiment: positive or negative? Label it."}]}`
	in := write(t, "in.jsonl", fmt.Sprintf("%s\n\n%s\n%s\n",
		`{"id":"a","workload":"w","prompt":"Prove that the sum of two even numbers is even."}`,
		`{"id":7,"workload":"w","request":`+body+`}`, `{"request":`+fmt.Sprintf("%q", body)+`,"dialect":"openai.chat"}`))
	got, stderr, code := assessed(t, "--input", in)
	if code != 0 || len(got) != 3 {
		t.Fatalf("status %d, %d lines, %s", code, len(got), stderr)
	}
	if named, _, _ := assessed(t, in); len(named) != 3 || named[1].Score != got[1].Score {
		t.Errorf("the file as an argument: %+v", named)
	}
	if _, stderr, code := assessed(t, in, "--input", in); code != exitUsage || !strings.Contains(stderr, "not both") {
		t.Errorf("status %d, %s", code, stderr)
	}
	_, want := classifier.Assess("openai.chat", []byte(body))
	for _, l := range got[1:] {
		if l.Score != round(float64(want.Score)/65535) || l.TaskClass != want.Task.String() || l.Novelty != round(float64(want.Novelty)/65535) {
			t.Errorf("got %+v, the proxy records %+v", l, want)
		}
	}
	if string(got[0].ID) != `"a"` || string(got[1].ID) != "7" || string(got[2].ID) != "null" {
		t.Errorf("ids %s %s %s", got[0].ID, got[1].ID, got[2].ID)
	}
	if got[0].PAdequate <= 0 || got[0].PAdequate >= 1 {
		t.Errorf("p_adequate %v", got[0].PAdequate)
	}
}

func TestAssessLearnsFromEvidence(t *testing.T) {
	var pairs strings.Builder
	for i := range 60 {
		for w, wrong := range []bool{true, false, false, i%3 == 0} { // the weak model fails at the first, a third of the fourth
			weak := 1
			if wrong {
				weak = 0
			}
			fmt.Fprintf(&pairs, `{"workload":"w%d","prompt":"Question %d: what is %d times %d?","strong_score":1,"weak_score":%d}`+"\n", w, i, i, i+3, weak)
		}
	}
	in := write(t, "in.jsonl", `{"workload":"w0","prompt":"What is 7 times 9?"}`+"\n"+`{"workload":"w1","prompt":"What is 7 times 9?"}`+"\n"+`{"workload":"w3","prompt":"What is 7 times 9?"}`+"\n")
	got, stderr, code := assessed(t, "--input", in, "--evidence", write(t, "pairs.jsonl", pairs.String()))
	if code != 0 || len(got) != 3 {
		t.Fatalf("status %d, %s", code, stderr)
	}
	if !(got[0].Score > got[2].Score && got[2].Score > got[1].Score) || got[0].PAdequate > .2 || got[1].PAdequate < .8 {
		t.Errorf("the same prompt in three workloads: %+v", got)
	}
}

func TestAssessTellsAPromptUnlikeTheGradedOnes(t *testing.T) {
	var pairs strings.Builder
	for i := range 60 {
		fmt.Fprintf(&pairs, `{"workload":"sort","prompt":"Ticket %d: the %s does not arrive, please sort it into one of our queues.","strong_score":1,"weak_score":1}`+"\n", i*37, []string{"parcel", "letter", "invoice"}[i%3])
	}
	in := write(t, "in.jsonl", `{"workload":"sort","prompt":"Ticket 17: the refund does not arrive, please sort it into one of our queues."}
{"workload":"sort","prompt":"def f(x):\n    return {k: v for k, v in x.items() if v > 3}\n\nWhy does this raise a TypeError? Prove each step, and calculate 3 * 7 + 12."}
{"workload":"nobody","prompt":"Ticket 17: the refund does not arrive, please sort it into one of our queues."}`)
	got, stderr, code := assessed(t, "--input", in, "--evidence", write(t, "pairs.jsonl", pairs.String()))
	if code != 0 || len(got) != 3 || got[0].Novelty > .5 || got[1].Novelty < .7 || got[2].Novelty != 1 {
		t.Errorf("status %d, %s: %+v", code, stderr, got)
	}
}

func TestAssessTakesNullForWhatIsNotThere(t *testing.T) {
	prompt := `"prompt":"Prove that the sum of two even numbers is even, step by step."`
	got, stderr, code := assessed(t, "--input", write(t, "in.jsonl", "{"+prompt+"}\n{"+prompt+`,"request":null}`+"\n"))
	if code != 0 || len(got) != 2 || got[1].Score != got[0].Score || got[1].PAdequate != got[0].PAdequate || got[1].Novelty != got[0].Novelty {
		t.Errorf("status %d, %s: %+v", code, stderr, got)
	}
}

func TestAssessSaysWhatIsWrong(t *testing.T) {
	good := write(t, "in.jsonl", `{"prompt":"x"}`)
	for name, row := range map[string]struct {
		args []string
		say  string
		code int
	}{
		"no such file":           {[]string{"--input", "/nowhere"}, "--input", exitUsage},
		"no JSON":                {[]string{"--input", write(t, "a", "{\n")}, "line 1", exitError},
		"nothing to assess":      {[]string{"--input", write(t, "a", "{\"prompt\":\"x\"}\n{}\n")}, "line 2: neither prompt nor request", exitError},
		"null for both":          {[]string{"--input", write(t, "a", `{"prompt":null,"request":null}`)}, "line 1: neither prompt nor request", exitError},
		"a request of no kind":   {[]string{"--input", write(t, "a", "{\"prompt\":\"x\"}\n{\"request\":5}\n")}, "line 2: the request is neither", exitError},
		"a body by itself":       {[]string{"--input", write(t, "a", `{"model":"gpt-4o","messages":[]}`)}, `"request": {"model"`, exitError},
		"weights that are none":  {[]string{"--input", good, "--weights", good}, "train anew", exitError},
		"evidence without score": {[]string{"--input", good, "--evidence", good}, "strong_score", exitError},
	} {
		if _, stderr, code := assessed(t, row.args...); code != row.code || !strings.Contains(stderr, row.say) {
			t.Errorf("%s: status %d, %s", name, code, stderr)
		}
	}
}

func TestTrainWritesWeightsThatAssessReads(t *testing.T) {
	var rows strings.Builder
	for i := range 300 {
		weak := 1 - i%2
		fmt.Fprintf(&rows, `{"workload":"w","prompt":"%s number %d, please","strong_score":1,"weak_score":%d}`+"\n", []string{"Say the easy word", "Prove the hard theorem"}[i%2], i, weak)
	}
	file := write(t, "rows.jsonl", rows.String())
	var made [2][]byte
	for i := range made {
		out := filepath.Join(t.TempDir(), "weights.bin")
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), []string{"train", file, "--out", out}, &stdout, &stderr); code != 0 {
			t.Fatal(stderr.String())
		}
		var err error
		if made[i], err = os.ReadFile(out); err != nil {
			t.Fatal(err)
		}
		got, errs, code := assessed(t, "--weights", out, "--input", write(t, "in", `{"prompt":"Prove the hard theorem number 999, please"}`+"\n"+`{"prompt":"Say the easy word number 999, please"}`))
		if code != 0 || got[0].Score < .5 || got[1].Score > .5 || got[0].PAdequate > got[1].PAdequate {
			t.Errorf("status %d, %+v, %s", code, got, errs)
		}
	}
	if !bytes.Equal(made[0], made[1]) {
		t.Error("two runs on the same rows gave other bytes")
	}
}
