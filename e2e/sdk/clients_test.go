package sdk

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// askedAndStored is a gnomon with some requests in its store.
func askedAndStored(t *testing.T) *gnomon {
	t.Helper()
	g := newGnomon(t, newProvider(t).URL)
	c := newClients(g)
	for i := range 5 {
		if err := c.one(t.Context(), "openai", "plain", fmt.Sprint("plain-", i)); err != nil {
			t.Fatal(err)
		}
	}
	g.count(5)
	return g
}

// client runs a client's script against gnomon's engine.
func (g *gnomon) client(name string, args ...string) {
	g.t.Helper()
	password, err := os.ReadFile(filepath.Join(g.dir, "data", "engine", "writer.secret"))
	if err != nil {
		g.t.Fatal(err)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = filepath.Join("..", "clients")
	cmd.Env = append(os.Environ(), "CLICKHOUSE_URL=http://"+g.store, "CLICKHOUSE_PASSWORD="+strings.TrimSpace(string(password)))
	out, err := cmd.CombinedOutput()
	if err != nil {
		g.t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
	g.t.Logf("%s", out)
}

func TestClickHousesClientForNodeWorksOnTheEngine(t *testing.T) {
	if _, err := os.Stat("../clients/node_modules/@clickhouse/client"); err != nil {
		t.Skip("@clickhouse/client is not installed: make e2e does so where npm is")
	}
	askedAndStored(t).client("node", "--test", "node.test.mjs")
}

func TestANotebookWorksOnTheEngine(t *testing.T) {
	python, err := exec.LookPath("../clients/.venv/bin/python")
	if err != nil {
		if python, err = exec.LookPath("python3"); err != nil {
			t.Skip("there is no Python")
		}
	} else if python, err = filepath.Abs(python); err != nil {
		t.Fatal(err)
	}
	askedAndStored(t).client(python, "notebook.py")
}

func TestKcatReadsEveryTopic(t *testing.T) {
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("kcat is not installed (Debian's package kcat)")
	}
	g := askedAndStored(t)
	if out, err := g.cli("activate", "e2e/openai", "--candidate", "openai/gpt-4o-mini", "--share", "10%", "--reason", "test", "--override", "--unseen"); err != nil {
		t.Fatalf("activate: %v\n%s", err, out)
	}
	if out, err := g.cli("keys", "create", "kcat"); err != nil {
		t.Fatalf("keys: %v\n%s", err, out)
	}
	var listed struct{ Topics []struct{ Topic string } }
	raw, err := exec.Command(kcat, "-b", g.kafka, "-L", "-J").Output()
	if err == nil {
		err = json.Unmarshal(raw, &listed)
	}
	if err != nil {
		t.Fatalf("kcat -L: %v\n%s", err, raw)
	}
	read := func(topic string) (n int, err error) {
		out, err := exec.Command(kcat, "-b", g.kafka, "-C", "-t", topic, "-e", "-q", "-o", "beginning", "-f", "%s\n").Output()
		for line := range strings.Lines(string(out)) {
			if !json.Valid([]byte(line)) {
				return n, fmt.Errorf("a record is no JSON: %.200q", line)
			}
			n++
		}
		return n, err
	}
	had := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, topic := range listed.Topics {
		all.Go(func() {
			n, err := read(topic.Topic)
			if err != nil {
				t.Errorf("%s: %v", topic.Topic, err)
			}
			mu.Lock()
			had[topic.Topic] = n
			mu.Unlock()
		})
	}
	all.Wait()
	for topic, least := range map[string]int{"gnomon.requests.v1": 5, "gnomon.heartbeats.v1": 1, "gnomon.acks.v1": 1, "gnomon.policies.v1": 1, "gnomon.keys.v1": 1, "gnomon.snapshots.v1": 1, "gnomon.evidence.v1": 0} {
		if n, there := had[topic]; !there || n < least {
			t.Errorf("%s: %d records read, there %v; of topics %v", topic, n, there, had)
		}
	}
	// kcat writes, too: what is no request is set aside with its reason.
	cmd := exec.Command(kcat, "-b", g.kafka, "-P", "-t", "gnomon.requests.v1", "-k", "kcat")
	cmd.Stdin = strings.NewReader("not a request\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("kcat -P: %v\n%s", err, out)
	}
	g.until("the letter is in the dlq", 20*time.Second, func() error {
		out, err := exec.Command(kcat, "-b", g.kafka, "-C", "-t", "gnomon.requests.v1.dlq", "-e", "-q", "-o", "beginning", "-f", "%k %s %h\n").CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "kcat not a request ") {
			return fmt.Errorf("%v: %s", err, out)
		}
		return nil
	})
}
