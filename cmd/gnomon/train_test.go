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
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
	"github.com/gnomon-llm/gnomon/internal/store"
	"github.com/gnomon-llm/gnomon/proxy"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// gradedStore has n graded pairs of a new project: the cheap answer is worse
// where the prompt has many lines. Every fifth was assessed by other weights.
func gradedStore(t *testing.T, n int) (configFile string) {
	t.Helper()
	dsn := embeddedtest.Engine(t)
	project := "p" + strings.ReplaceAll(uuid.NewString(), "-", "")[:12]
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	book, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	other := *classifier.Builtin().Weights()
	other.Bias++
	model, err := classifier.ReadWeights(other.Encode())
	if err != nil {
		t.Fatal(err)
	}
	var kept []schemas.SnapshotRecord
	var observers []*proxy.Observer
	for _, m := range []*classifier.Model{nil, model} {
		snapshot := classifier.NewSnapshot(classifier.Parts{Project: project, Model: m})
		kept = append(kept, schemas.SnapshotRecord{Kind: schemas.KindSnapshot, Hash: snapshot.Hash(), ModelHash: snapshot.Model().Hash(), At: time.Now(), Record: []byte("{}")})
		observers = append(observers, proxy.NewObserver(project, func() *classifier.Snapshot { return snapshot }, book))
	}
	var evs []schemas.RequestEvent
	var pairs []schemas.Evaluation
	at, drawn := time.Now().UTC().Add(-time.Hour).Truncate(time.Millisecond), .5
	for i := range n {
		lines := i * 7919 % 11
		body := fmt.Appendf(nil, `{"model":"gpt-4o","messages":[{"role":"user","content":"Look at order %d%s"}]}`, i%13, strings.Repeat(`\nand at this, too`, lines))
		r := proxy.Request{Ts: at.Add(time.Duration(i) * time.Millisecond), Provider: "openai", Path: "/v1/chat/completions", Dialect: "openai.chat", Feature: []string{"a", "b"}[i%2], Session: fmt.Sprint("s", i), Body: body}
		o := observers[0]
		if i%5 == 4 {
			o = observers[1]
		}
		d := o.Decide(&r)
		ev := o.Event(&r, &d, &proxy.Answer{HTTPStatus: 200, Sent: true})
		ev.RequestID, ev.BootID, ev.Seq = uuid.Must(uuid.NewV7()).String(), uint64(at.UnixNano()), uint64(i+1)
		evs = append(evs, ev)
		e := schemas.Evaluation{Project: project, Workload: r.Feature, RequestModel: "gpt-4o", Candidate: "openai/gpt-4o-mini", RequestTs: r.Ts, GradedAt: at, RequestID: ev.RequestID, EvaluationID: uuid.NewString(),
			Cluster: r.Session, SamplingProbability: &drawn, Grader: "exact_match", QualityBaseline: 1, QualityCandidate: 1, Outcome: schemas.OutcomeGraded}
		if lines > 6 != (i%10 == 3) {
			e.QualityCandidate = 0
		}
		same := e // a baseline held against itself tells nothing of the candidate
		same.Candidate, same.EvaluationID, same.QualityCandidate = "openai/gpt-4o", uuid.NewString(), 0
		failed := e // and what no grader judged nobody knows
		failed.Grader, failed.Outcome, failed.EvaluationID, failed.QualityBaseline, failed.QualityCandidate = "", schemas.OutcomeFailed, uuid.NewString(), 0, 0
		pairs = append(pairs, e, same, failed)
	}
	for _, err := range []error{s.InsertRequests(t.Context(), "", evs), s.InsertEvaluations(t.Context(), "", pairs), s.InsertSnapshots(t.Context(), "", kept)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "gnomon.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "project: %s\nclickhouse: {dsn: %q}\n", project, dsn), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTrainFromTheStoresPairs(t *testing.T) {
	file := gradedStore(t, 500)
	out := filepath.Join(t.TempDir(), "own.bin")
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), []string{"--config", file, "--json", "train", "--from-store", "--out", out}, &stdout, &stderr); code != 0 {
		t.Fatalf("status %d: %s", code, stderr.String())
	}
	var got struct {
		Pairs    int  `json:"pairs"`
		Cells    int  `json:"cells"`
		Sessions int  `json:"sessions"`
		LeftOut  int  `json:"left_out"`
		Better   bool `json:"better_beyond_doubt"`
		InForce  struct {
			Ranks float64 `json:"ranks_within"`
		} `json:"in_force"`
		Fitted struct {
			Ranks float64 `json:"ranks_within"`
		} `json:"fitted"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	if got.Pairs != 400 || got.LeftOut != 100 || got.Cells != 2 || got.Sessions != 400 || !got.Better || got.Fitted.Ranks < .75 || got.Fitted.Ranks < got.InForce.Ranks+.1 {
		t.Errorf("%s", stdout.String())
	}
	if m, err := readWeights(out); err != nil || m.Hash() == classifier.Builtin().Hash() {
		t.Errorf("what was written: %v", err)
	}

	stdout.Reset()
	if code := run(context.Background(), []string{"--config", file, "train", "--from-store"}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "weights in force") || !strings.Contains(stdout.String(), "100 more were assessed by other weights") {
		t.Errorf("status %d: %s%s", code, stdout.String(), stderr.String())
	}
	t.Log(stdout.String())
	for _, args := range [][]string{{"train"}, {"train", "--from-store", "rows.jsonl"}} {
		if code := run(context.Background(), args, &stdout, &stderr); code != exitUsage {
			t.Errorf("%v: status %d", args, code)
		}
	}
}
