package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/internal/config"
)

// proxyNode is a node that is a proxy alone, until the test's end. Where its broker
// does not answer it serves nevertheless.
func proxyNode(t *testing.T, c *config.Config, log io.Writer, o nodeOptions) *node {
	t.Helper()
	return startNode(t, c, roles{proxy: true}, slog.New(slog.NewTextHandler(log, nil)), o)
}

// startNode starts a node that runs until the test's end.
func startNode(t *testing.T, c *config.Config, r roles, log *slog.Logger, o nodeOptions) *node {
	t.Helper()
	n, err := newNode(c, r, log, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the node ended with %v", err)
		}
	})
	return n
}

// said is what a running node has logged.
type said struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// aFile is a configuration file in a folder of its own.
type aFile string

func newFile(t *testing.T) aFile { return aFile(filepath.Join(t.TempDir(), "gnomon.yaml")) }

func (f aFile) beside(name string) string { return filepath.Join(filepath.Dir(string(f)), name) }

// base is what every text for a proxyNode begins with.
func (f aFile) base() string {
	return "data_dir: " + f.beside("data") + "\nadmin: {addr: 127.0.0.1:0}\nkafka: {brokers: [127.0.0.1:1]}\n"
}

func (f aFile) write(t *testing.T, text string) {
	t.Helper()
	writeFile(t, string(f), []byte(text))
}

// node is a proxyNode that looks at f often.
func (f aFile) node(t *testing.T, log io.Writer) *node {
	t.Helper()
	load := func() (*config.Config, error) {
		return config.Load(config.Options{File: string(f), Environ: []string{}})
	}
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return proxyNode(t, c, log, nodeOptions{load: load, configFile: string(f), look: 10 * time.Millisecond})
}

func writeFile(t *testing.T, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// otherWeights are the built-in ones with another bias.
func otherWeights() classifier.Weights {
	own := *classifier.Builtin().Weights()
	own.Bias += 20_000
	return own
}

// answersOf is the body that a node gives on a path.
func answersOf(t *testing.T, n *node, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + n.proxyLn.Addr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
