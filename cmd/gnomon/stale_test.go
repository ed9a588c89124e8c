package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/schemas"
)

// TestOtherWeightsStopAReadyWorkload switches a workload on that is ready, puts
// other weights in force while it runs, and looks where requests go: to the
// candidate, to the baseline, and to the candidate again once the evidence stands
// on the new scores. The console's health says why in words.
func TestOtherWeightsStopAReadyWorkload(t *testing.T) {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // answers with the model asked for
		var body struct{ Model string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","model":"`+body.Model+`","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":1,"total_tokens":21}}`)
	}))
	defer provider.Close()
	c := config.Default()
	c.Project, c.DataDir, c.Proxy.Addr, c.Admin.Addr, c.Kafka.Brokers = "acme", t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", []string{"127.0.0.1:1"}
	openai := c.Providers["openai"]
	openai.BaseURL = provider.URL
	c.Providers["openai"] = openai
	n, err := newNode(&c, roles{proxy: true}, slog.New(slog.DiscardHandler), nodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.run(ctx) }()
	defer func() { stop(); <-done }()

	served := func() string {
		t.Helper()
		req, _ := http.NewRequest(http.MethodPost, "http://"+n.proxyLn.Addr().String()+"/v1/chat/completions", strings.NewReader(`{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}`))
		req.Header.Set("Authorization", "Bearer sk-none")
		req.Header.Set("X-Gnomon-Feature", "letters")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct{ Model string }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer.Model
	}
	health := func() (state dashboards.PartState, detail string) {
		for _, p := range n.Parts(ctx) {
			if p.Name == "evidence" {
				return p.State, p.Detail
			}
		}
		t.Fatal("no part says anything of evidence")
		return
	}
	anything := schemas.Profile{Features: classifier.Version, Pairs: 100, Middle: make([]int32, classifier.ShapeSize), Scale: make([]uint32, classifier.ShapeSize), Bound: 1}
	gathered := 0
	tell := func(by schemas.Scorer, members ...string) {
		t.Helper()
		gathered++
		raw, err := json.Marshal(schemas.EvidenceRecord{Project: "acme", Workload: "letters", Provider: "openai", RequestModel: "gpt-4o", Candidate: "openai/gpt-4o-mini",
			State: schemas.EvidenceReady, At: time.Unix(int64(gathered), 0), Profile: &anything, Scorer: by, Members: members})
		if err != nil {
			t.Fatal(err)
		}
		n.snapshots.addEvidence(raw)
		n.snapshots.evidenceCurrent()
	}
	const acted, kept = "gpt-4o-mini", "gpt-4o"
	expect := func(when, model, says string) {
		t.Helper()
		if got := served(); got != model {
			t.Errorf("%s: %s answered, want %s", when, got, model)
		}
		state, detail := health()
		if (state == dashboards.PartDegraded) != (model == kept) || !strings.Contains(detail, says) {
			t.Errorf("%s: evidence is %v: %s", when, state, detail)
		}
	}
	n.snapshots.setPolicies([]schemas.Policy{{Project: "acme", Workload: "letters", Version: 1, Mode: schemas.ModeLive, Candidate: "openai/gpt-4o-mini", Threshold: 1, Share: 10_000, Salt: []byte("salt")}})
	tell(classifier.Builtin().Scorer())
	expect("ready, by the weights in force", acted, "speaks of what is decided")

	own := *classifier.Builtin().Weights()
	own.Bias += 20_000
	next := *n.live.Load()
	next.Classifier.Weights = filepath.Join(t.TempDir(), "weights.bin")
	if err := os.WriteFile(next.Classifier.Weights, own.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.apply(&next); err != nil {
		t.Fatal(err)
	}
	expect("under other weights", kept, "letters (openai/gpt-4o to openai/gpt-4o-mini): The evidence stands on the scores of other weights")
	select {
	case <-n.look:
	default:
		t.Error("the analyzer is not called")
	}
	tell(n.snapshots.get().Scorer())
	expect("gathered anew under the new weights", acted, "speaks of what is decided")

	n.snapshots.setNames([]schemas.Naming{{Project: "acme", Workload: "~found", Version: 1, Name: "letters"}})
	expect("after a merge", kept, "Workloads were merged into this one")
	tell(n.snapshots.get().Scorer(), "~found")
	expect("judged with what was merged into it", acted, "speaks of what is decided")

	back := *n.live.Load()
	back.Classifier.Weights = ""
	if err := n.apply(&back); err != nil {
		t.Fatal(err)
	}
	expect("under the first weights again: what was gathered since is not of them", kept, "other weights")
}
