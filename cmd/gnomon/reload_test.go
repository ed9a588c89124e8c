package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/internal/config"
)

// A proxy alone, whose broker does not answer: it serves nevertheless.
func TestAConfigurationIsLoadedAgainWhileItServes(t *testing.T) {
	says := func(what string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, what) }))
		t.Cleanup(s.Close)
		return s
	}
	first, second, third := says("first"), says("second"), says("third")
	file := filepath.Join(t.TempDir(), "gnomon.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := func(s *httptest.Server, more string) string {
		return fmt.Sprintf("project: acme\ndata_dir: %s\nproxy: {addr: 127.0.0.1:0}\nadmin: {addr: 127.0.0.1:0}\nkafka: {brokers: [127.0.0.1:1]}\nproviders: {openai: {base_url: %s}}\n%s", filepath.Join(filepath.Dir(file), "data"), s.URL, more)
	}
	write(good(first, ""))
	load := func() (*config.Config, error) { return config.Load(config.Options{File: file, Environ: []string{}}) }
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	n, err := newNode(c, roles{proxy: true}, slog.New(slog.DiscardHandler), nodeOptions{load: load, configFile: file, look: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.run(ctx) }()
	defer func() { stop(); <-done }()

	answers := func() string {
		resp, err := http.Get("http://" + n.proxyLn.Addr().String() + "/v1/models")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return string(body)
	}
	until := func(what string, ok func() bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("waited 10 s until %s; it answers %q", what, answers())
			}
		}
	}
	if got := answers(); got != "first" {
		t.Fatalf("it answers %q", got)
	}
	write(good(second, "ladders: [{baseline: openai/gpt-4o, candidates: [openai/gpt-4.1-nano]}]\n"))
	until("the second provider answers", func() bool { return answers() == "second" })
	until("the new ladder holds", func() bool {
		got := n.snapshots.get().CandidatesFor("w", "openai", "gpt-4o")
		return len(got) == 1 && got[0] == "openai/gpt-4.1-nano"
	})

	own := *classifier.Builtin().Weights()
	own.Bias += 20_000
	weights := filepath.Join(filepath.Dir(file), "weights.bin")
	if err := os.WriteFile(weights, own.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	write(good(second, "classifier: {weights: "+weights+"}\n"))
	until("a team's own weights assess", func() bool { return n.snapshots.get().Model().Weights().Bias == own.Bias })
	own.Bias += 20_000
	if err := os.WriteFile(weights, own.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	until("the file's new weights assess", func() bool { return n.snapshots.get().Model().Weights().Bias == own.Bias })
	if err := os.WriteFile(weights, own.Encode()[:1000], 0o600); err != nil {
		t.Fatal(err)
	}
	until("a damaged file is an alarm", n.reloadFailed.Load)
	if n.snapshots.get().Model().Weights().Bias != own.Bias {
		t.Error("under a damaged file the weights before it must stay")
	}

	write(strings.Replace(good(third, ""), "providers:", "provders:", 1))
	until("the fault is an alarm", n.reloadFailed.Load)
	if got := answers(); got != "second" {
		t.Errorf("under a configuration with a fault it answers %q", got)
	}
	write(good(third, "spool: {max_mb: 2048}\n"))
	until("the third provider answers", func() bool { return answers() == "third" })
	until("the alarm is over", func() bool { return !n.reloadFailed.Load() })
	if n.live.Load().Spool.MaxMB != 1024 {
		t.Errorf("spool.max_mb %d: what a running gnomon cannot change must stay", n.live.Load().Spool.MaxMB)
	}
	before := n.live.Load()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until("SIGHUP is obeyed", func() bool { return n.live.Load() != before })
}
