package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/schemas"
)

// switchedOn is a proxy with a workload that acts live, in front of a provider that
// answers with the model it was asked for.
type switchedOn struct {
	*node
	t        *testing.T
	gathered int64
}

func newSwitchedOn(t *testing.T) *switchedOn {
	t.Helper()
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Model string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","model":"`+body.Model+`","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":1,"total_tokens":21}}`)
	}))
	t.Cleanup(provider.Close)
	c := config.Default()
	c.Project, c.DataDir, c.Proxy.Addr, c.Admin.Addr, c.Kafka.Brokers = "acme", t.TempDir(), "127.0.0.1:0", "127.0.0.1:0", []string{"127.0.0.1:1"}
	openai := c.Providers["openai"]
	openai.BaseURL = provider.URL
	c.Providers["openai"] = openai
	s := &switchedOn{node: proxyNode(t, &c, io.Discard, nodeOptions{}), t: t}
	s.snapshots.setPolicies([]schemas.Policy{{Project: "acme", Workload: "letters", Version: 1, Mode: schemas.ModeLive, Candidate: "openai/gpt-4o-mini", Threshold: 1, Share: 10_000, Salt: []byte("salt")}})
	return s
}

// served is the model that answers a request.
func (s *switchedOn) served() string {
	s.t.Helper()
	req, _ := http.NewRequest(http.MethodPost, "http://"+s.proxyLn.Addr().String()+"/v1/chat/completions", strings.NewReader(`{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}]}`))
	req.Header.Set("Authorization", "Bearer sk-none")
	req.Header.Set("X-Gnomon-Feature", "letters")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Model string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		s.t.Fatal(err)
	}
	return answer.Model
}

// tell has evidence arrive that the workload is ready, newer than any before it.
func (s *switchedOn) tell(by schemas.Scorer, members ...string) {
	s.t.Helper()
	s.gathered++
	anything := schemas.Profile{Features: classifier.Version, Pairs: 100, Middle: make([]int32, classifier.ShapeSize), Scale: make([]uint32, classifier.ShapeSize), Bound: 1}
	raw, err := json.Marshal(schemas.EvidenceRecord{Project: "acme", Workload: "letters", Provider: "openai", RequestModel: "gpt-4o", Candidate: "openai/gpt-4o-mini",
		State: schemas.EvidenceReady, At: time.Unix(s.gathered, 0), Profile: &anything, Scorer: by, Members: members})
	if err != nil {
		s.t.Fatal(err)
	}
	s.snapshots.addEvidence(raw)
	s.snapshots.evidenceCurrent()
}

const acted, kept = "gpt-4o-mini", "gpt-4o"

// expect holds the model that answers, and the console's words on the evidence,
// against what they have to be.
func (s *switchedOn) expect(when, model, says string) {
	s.t.Helper()
	if got := s.served(); got != model {
		s.t.Errorf("%s: %s answered, want %s", when, got, model)
	}
	parts := s.Parts(s.t.Context())
	i := slices.IndexFunc(parts, func(p dashboards.Part) bool { return p.Name == "evidence" })
	if i < 0 {
		s.t.Fatal("no part says anything of evidence")
	}
	if (parts[i].State == dashboards.PartDegraded) != (model == kept) || !strings.Contains(parts[i].Detail, says) {
		s.t.Errorf("%s: evidence is %v: %s", when, parts[i].State, parts[i].Detail)
	}
}

// weigh puts the weights of a file in force while it runs.
func (s *switchedOn) weigh(file string) {
	s.t.Helper()
	next := *s.live.Load()
	next.Classifier.Weights = file
	if err := s.apply(&next); err != nil {
		s.t.Fatal(err)
	}
}

func TestOtherWeightsStopAReadyWorkloadUntilItIsReadyUnderThem(t *testing.T) {
	s := newSwitchedOn(t)
	s.tell(classifier.Builtin().Scorer())
	s.expect("ready, by the weights in force", acted, "speaks of what is decided")

	own, file := otherWeights(), filepath.Join(t.TempDir(), "weights.bin")
	writeFile(t, file, own.Encode())
	s.weigh(file)
	s.expect("under other weights", kept, "letters (openai/gpt-4o to openai/gpt-4o-mini): The evidence stands on the scores of other weights")
	select {
	case <-s.look:
	default:
		t.Error("the analyzer is not called")
	}
	s.tell(s.snapshots.get().Scorer())
	s.expect("gathered anew under the new weights", acted, "speaks of what is decided")

	s.weigh("")
	s.expect("under the first weights again: what was gathered since is not of them", kept, "other weights")
}

func TestAMergeStopsAReadyWorkloadUntilItIsJudgedWithWhatWasMerged(t *testing.T) {
	s := newSwitchedOn(t)
	s.tell(classifier.Builtin().Scorer())
	s.expect("ready", acted, "speaks of what is decided")
	s.snapshots.setNames([]schemas.Naming{{Project: "acme", Workload: "~found", Version: 1, Name: "letters"}})
	s.expect("after a merge", kept, "Workloads were merged into this one")
	s.tell(s.snapshots.get().Scorer(), "~found")
	s.expect("judged with what was merged into it", acted, "speaks of what is decided")
}
