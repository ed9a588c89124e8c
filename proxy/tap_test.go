package proxy

import (
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestAnAnswerThatCannotBeReadCostsItsReadingOnly(t *testing.T) {
	for _, tt := range []struct{ name, encoding, body string }{
		{"by the reader, as it passes", "", openAIStream(`"one"`) + wholeStream},
		{"by the reader, behind a decoder", "gzip", packed("gzip", openAIStream(`"one"`)+wholeStream)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, counting(func(string, []byte) (int, string, bool, error) { return 1, "v", true, nil }))
			r.p.recounts.texts.pool.New = func() any { panic("no memory of this kind") } // asked for by the reader when text comes
			answer := chunked("text/event-stream", []string{tt.body[:40], tt.body[40:]})
			if tt.encoding != "" {
				answer = chunked("text/event-stream", []string{tt.body[:40], tt.body[40:]}, "Content-Encoding: "+tt.encoding)
			}
			r.up.answers(answer)
			if a := ask(t, r.addr, post("/v1/chat/completions", saidStream)); a.err != nil || a.StatusCode != 200 || string(a.body) != tt.body {
				t.Errorf("answered %s", seen(a))
			}
			if ev := r.event(1); ev.Status != schemas.StatusOK || ev.UsageSource != schemas.UsageNone || ev.Cost.Known {
				t.Errorf("recorded %s, usage %s, cost %v", ev.Status, ev.UsageSource, ev.Cost)
			}
			if got := r.counted("gnomon_unread_total"); got != 1 || !strings.Contains(r.logs.String(), "no memory of this kind") {
				t.Errorf("counted %v, logged %s", got, r.logs)
			}
		})
	}
}

// counted is what a counter without labels has come to.
func (r *rig) counted(name string) float64 {
	families, err := r.reg.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return -1
}
