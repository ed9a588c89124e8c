package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
	"github.com/gnomon-llm/gnomon/internal/simulator"
	"github.com/gnomon-llm/gnomon/internal/store"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(policyChildEnv); dir != "" {
		fmt.Fprintln(os.Stderr, policyChild(dir))
		os.Exit(1)
	}
	embeddedtest.Main(m)
}

// both sends a history through the topics and into memory.
type both struct {
	topicSink
	memory *simulator.Memory
}

func (b both) Requests(ctx context.Context, evs []schemas.RequestEvent) error {
	if err := b.memory.Requests(ctx, evs); err != nil {
		return err
	}
	return b.topicSink.Requests(ctx, evs)
}

func (b both) Heartbeats(ctx context.Context, beats []schemas.Heartbeat) error {
	if err := b.memory.Heartbeats(ctx, beats); err != nil {
		return err
	}
	return b.topicSink.Heartbeats(ctx, beats)
}

func (b both) Evaluations(ctx context.Context, evs []schemas.Evaluation) error {
	if err := b.memory.Evaluations(ctx, evs); err != nil {
		return err
	}
	return b.topicSink.Evaluations(ctx, evs)
}

// A node of a test's own: free ports, an empty folder, nobody's providers.
func testNode(t *testing.T, with ...func(*config.Config)) *node {
	t.Helper()
	embeddedtest.RequireLibrary(t)
	c := config.Default()
	c.Project, c.DataDir = "acme", t.TempDir()
	c.Proxy.Addr, c.Admin.Addr, c.Proxy.DraftThreshold = "127.0.0.1:0", "127.0.0.1:0", simulator.DraftThreshold
	c.Kafka.Listen, c.ClickHouse.Listen = freePort(t), freePort(t)
	c.Observe.Every = time.Hour
	for _, f := range with {
		f(&c)
	}
	n := startNode(t, &c, roles{true, true, true, true, true}, slog.New(slog.DiscardHandler), nodeOptions{simulated: true})
	until(t, "the node is ready", func() bool { return n.Ready(t.Context(), "") == nil })
	return n
}

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited a minute until %s", what)
		}
	}
}

func TestAHistoryThroughThePipelineGivesTheFiguresItGivesWithoutIt(t *testing.T) {
	n := testNode(t)
	w := simulator.NewWorld(7, .05)
	memory := simulator.NewMemory()
	now := time.Now().UTC()
	summary, err := w.History(t.Context(), simulator.HistoryConfig{Project: "acme", From: now.AddDate(0, 0, -14), To: now, Margin: n.c.Quality.Margin,
		Prices: n.book, Snapshot: n.snapshots.get(), Rehearse: true}, both{topicSink{n.pub}, memory})
	if err != nil {
		t.Fatal(err)
	}
	reader := n.reader.Load()
	stored := func(table string) uint64 { return count(t, reader, "SELECT count() FROM gnomon."+table+" FINAL") }
	// A pair is published again when its grade comes later: once is what counts.
	pairs, err := memory.Log().Evaluations(t.Context(), "acme", time.Time{}, now.AddDate(0, 0, 1))
	if err != nil || len(pairs) == 0 {
		t.Fatalf("%d pairs, %v", len(pairs), err)
	}
	graded := 0
	for _, e := range pairs {
		if e.Outcome == schemas.OutcomeGraded {
			graded++
		}
	}
	until(t, "the history is stored", func() bool {
		return stored("requests") == uint64(summary.Requests) && stored("evaluations") == uint64(len(pairs)) &&
			count(t, reader, "SELECT count() FROM gnomon.evaluations FINAL WHERE outcome = 'graded'") == uint64(graded)
	})
	through, err := analyzer.Analyze(t.Context(), reader, "acme", n.settings(), now)
	if err != nil {
		t.Fatal(err)
	}
	without, err := analyzer.Analyze(t.Context(), memory.Log(), "acme", n.settings(), now)
	if err != nil {
		t.Fatal(err)
	}
	if len(through) != len(without) || len(through) < 8 {
		t.Fatalf("%d verdicts through the pipeline, %d without", len(through), len(without))
	}
	for i := range through {
		var a, b any
		for v, into := range map[*schemas.Verdict]*any{&through[i]: &a, &without[i]: &b} {
			raw, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, into); err != nil {
				t.Fatal(err)
			}
		}
		same(t, through[i].Workload+" → "+through[i].Candidate, a, b)
	}
}

func count(t *testing.T, s *store.Store, sql string) uint64 {
	t.Helper()
	r, err := s.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	return r.Rows[0][0].(uint64)
}

// same compares two JSON values; numbers may differ by the order in which they
// were summed.
func same(t *testing.T, at string, a, b any) {
	t.Helper()
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			t.Errorf("%s: %v and %v", at, a, b)
			return
		}
		for k := range x {
			if k != "coverage" { // the node's own heartbeats are in the store, and in no memory
				same(t, at+"."+k, x[k], y[k])
			}
		}
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			t.Errorf("%s: %v and %v", at, a, b)
			return
		}
		for i := range x {
			same(t, at, x[i], y[i])
		}
	case float64:
		y, ok := b.(float64)
		if !ok || math.Abs(x-y) > 1e-9*math.Max(1, math.Abs(x)) {
			t.Errorf("%s: %v through the pipeline, %v without", at, a, b)
		}
	default:
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: %v through the pipeline, %v without", at, a, b)
		}
	}
}

// TestEveryDecisionOfANodeIsReplayed takes a history through the topics, and
// what the node itself decides by, and replays it with the command.
func TestEveryDecisionOfANodeIsReplayed(t *testing.T) {
	n := testNode(t)
	w := simulator.NewWorld(9, .01)
	now := time.Now().UTC()
	summary, err := w.History(t.Context(), simulator.HistoryConfig{Project: "acme", From: now.AddDate(0, 0, -2), To: now, Margin: n.c.Quality.Margin,
		Prices: n.book, Snapshot: n.snapshots.get()}, topicSink{n.pub})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the history is stored", func() bool {
		return count(t, n.reader.Load(), "SELECT count() FROM gnomon.requests FINAL") == uint64(summary.Requests)
	})
	var r struct {
		Decisions, Differing uint64
		NotReplayable        uint64 `json:"not_replayable"`
		Assessments          struct{ Note string }
	}
	ask := []string{"replay", "--json", "--project", "acme", "--set", "clickhouse.listen=" + n.c.ClickHouse.Listen, "--set", "kafka.listen=" + n.c.Kafka.Listen}
	code, out, errs := call(t, ask...)
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone || r.Decisions != uint64(summary.Requests) || r.Differing != 0 || r.NotReplayable != 0 || r.Assessments.Note != "" {
		t.Errorf("status %d, %d requests: %s%s %v", code, summary.Requests, out, errs, err)
	}
	var frontier struct {
		Requests uint64
		Frontier []struct {
			Workload string
			Points   []struct {
				Routed  uint64
				Saving  int64 `json:"saving_month"`
				Quality *struct{}
			}
		}
	}
	what := []string{"whatif", "--project", "acme", "--set", "admin.addr=" + n.adminLn.Addr().String()}
	code, out, errs = call(t, append(what, "--json")...)
	if err := json.Unmarshal([]byte(out), &frontier); err != nil || code != exitDone || frontier.Requests != uint64(summary.Requests) || len(frontier.Frontier) < 5 || len(frontier.Frontier[0].Points) < 20 {
		t.Errorf("status %d, %d requests: %.400s%s %v", code, summary.Requests, out, errs, err)
	}
	for _, f := range frontier.Frontier {
		last := uint64(0)
		for _, p := range f.Points {
			if p.Routed < last || p.Quality != nil && p.Routed > 0 {
				t.Errorf("%s: %+v", f.Workload, f.Points)
				break
			}
			last = p.Routed
		}
	}
	code, out, errs = call(t, append(what, "--threshold", "0.37,1", "--workload", frontier.Frontier[0].Workload)...)
	if code != exitDone || !strings.Contains(out, "0.37") || !strings.Contains(out, "no graded pair") || !strings.Contains(out, "no promise") || strings.Contains(out, "0.45") {
		t.Errorf("status %d: %s%s", code, out, errs)
	}
	code, out, _ = call(t, append(what, "--json", "--from", "2020-01-01", "--to", "2020-02-01")...)
	if code != exitDone || !strings.Contains(out, `"frontier":[]`) && !strings.Contains(out, `"frontier": []`) {
		t.Errorf("status %d: %s", code, out)
	}
	for _, wrong := range [][]string{{"--threshold", "2"}, {"--ladder", "gpt-4o"}} {
		if code, _, errs := call(t, append(what, wrong...)...); code != exitUsage {
			t.Errorf("%v: status %d: %s", wrong, code, errs)
		}
	}
	if code, _, errs := call(t, append(ask, "--from", "yesterday")...); code != exitUsage || !strings.Contains(errs, "2026-11-03") {
		t.Errorf("status %d: %s", code, errs)
	}
}
