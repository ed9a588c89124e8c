package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestAConfigurationIsLoadedAgainWhileItServes(t *testing.T) {
	says := func(what string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, what) }))
		t.Cleanup(s.Close)
		return s
	}
	first, second, third := says("first"), says("second"), says("third")
	file := newFile(t)
	good := func(s *httptest.Server, more string) string {
		return file.base() + fmt.Sprintf("proxy: {addr: 127.0.0.1:0}\nproviders: {openai: {base_url: %s}}\n%s", s.URL, more)
	}
	file.write(t, good(first, ""))
	n := file.node(t, io.Discard)
	answers := func() string { return answersOf(t, n, "/v1/models") }
	if got := answers(); got != "first" {
		t.Fatalf("it answers %q", got)
	}
	file.write(t, good(second, "ladders: [{baseline: openai/gpt-4o, candidates: [openai/gpt-4.1-nano]}]\n"))
	until(t, "the second provider answers", func() bool { return answers() == "second" })
	until(t, "the new ladder holds", func() bool {
		got := n.snapshots.get().CandidatesFor("w", "openai", "gpt-4o")
		return len(got) == 1 && got[0] == "openai/gpt-4.1-nano"
	})

	file.write(t, strings.Replace(good(third, ""), "providers:", "provders:", 1))
	until(t, "the fault is an alarm", n.reloadFailed.Load)
	if got := answers(); got != "second" {
		t.Errorf("under a configuration with a fault it answers %q", got)
	}
	file.write(t, good(third, "spool: {max_mb: 2048}\n"))
	until(t, "the third provider answers", func() bool { return answers() == "third" })
	until(t, "the alarm is over", func() bool { return !n.reloadFailed.Load() })
	if n.live.Load().Spool.MaxMB != 1024 {
		t.Errorf("spool.max_mb %d: what a running gnomon cannot change must stay", n.live.Load().Spool.MaxMB)
	}
	before := n.live.Load()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "SIGHUP is obeyed", func() bool { return n.live.Load() != before })
}

func TestWeightsOfOnesOwnAreLoadedAgainWhileItServes(t *testing.T) {
	file := newFile(t)
	text := file.base() + "proxy: {addr: 127.0.0.1:0}\n"
	file.write(t, text)
	n := file.node(t, io.Discard)
	bias := func() int64 { return int64(n.snapshots.get().Model().Weights().Bias) }

	own, weights := otherWeights(), file.beside("weights.bin")
	writeFile(t, weights, own.Encode())
	file.write(t, text+"classifier: {weights: "+weights+"}\n")
	until(t, "a team's own weights assess", func() bool { return bias() == int64(own.Bias) })
	own.Bias += 20_000
	writeFile(t, weights, own.Encode())
	until(t, "the file's new weights assess", func() bool { return bias() == int64(own.Bias) })
	writeFile(t, weights, own.Encode()[:1000])
	until(t, "a damaged file is an alarm", n.reloadFailed.Load)
	if bias() != int64(own.Bias) {
		t.Error("under a damaged file the weights before it must stay")
	}
	file.write(t, text)
	until(t, "the alarm is over", func() bool { return !n.reloadFailed.Load() })
}
