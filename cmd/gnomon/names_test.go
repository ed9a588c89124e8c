package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/internal/config"
)

// TestADiscoveredWorkloadIsNamedMergedAndUndone goes the whole way: requests
// without a feature, the command, the log, the proxy, the store, and replay.
func TestADiscoveredWorkloadIsNamedMergedAndUndone(t *testing.T) {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":1,"total_tokens":21}}`)
	}))
	defer provider.Close()
	n := testNode(t, func(c *config.Config) {
		p := c.Providers["openai"]
		p.BaseURL = provider.URL
		c.Providers["openai"] = p
	})
	asked := 0
	ask := func(system string) {
		t.Helper()
		body := `{"model":"gpt-4o","messages":[{"role":"system","content":"` + system + `"},{"role":"user","content":"Hi"}]}`
		req, _ := http.NewRequest(http.MethodPost, "http://"+n.proxyLn.Addr().String()+"/v1/chat/completions", strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer sk-none")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		asked++
		until(t, "the request is stored", func() bool {
			return count(t, n.reader.Load(), "SELECT count() FROM gnomon.requests FINAL") == uint64(asked)
		})
	}
	cli := func(status int, says string, args ...string) {
		t.Helper()
		code, out, errs := call(t, append(args, "--set", "admin.addr="+n.adminLn.Addr().String(), "--project", "acme")...)
		if code != status || !strings.Contains(out+errs, says) {
			t.Errorf("%v: status %d: %s%s", args, code, out, errs)
		}
	}
	rows := func(sql string) string {
		t.Helper()
		r, err := n.reader.Load().Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := json.Marshal(r.Rows)
		return string(raw)
	}
	const names = "SELECT DISTINCT workload FROM gnomon.requests FINAL ORDER BY workload"
	const letters, notes = "You write polite letters to customers who wait for their order. Never promise a date.", "You take notes in meetings. Write down decisions first, then what remains open."
	ask(letters)
	ask(notes)
	var found []string
	for _, name := range strings.Split(strings.Trim(rows(names), `[]"`), `"],["`) {
		if strings.HasPrefix(name, "~") {
			found = append(found, name)
		}
	}
	if len(found) != 2 {
		t.Fatalf("found %v", rows(names))
	}
	letter := found[0]
	note := found[1]
	if strings.Contains(note, "letters") {
		letter, note = note, letter
	}

	cli(exitError, "There is "+letter, "workloads", "rename", letter+"0", "letters", "--reason", "mistyped")
	cli(exitDone, "is called never", "workloads", "rename", "~never-seen-2000000", "never", "--reason", "to come", "--unseen")
	cli(exitDone, "is called letters", "workloads", "rename", letter, "letters", "--reason", "what it is")
	ask(letters)
	cli(exitError, "--into letters", "workloads", "rename", note, "letters", "--reason", "the same team")
	cli(exitDone, "is called letters", "workloads", "merge", note, "--into", "letters", "--reason", "the same team")
	ask(notes)
	until(t, "history is shown under the name", func() bool { return rows("SELECT workload, requests FROM gnomon.workloads") == `[["letters",4]]` })
	if got := rows("SELECT workload, count() FROM gnomon.requests FINAL GROUP BY workload ORDER BY workload"); !strings.HasPrefix(got, `[["letters",2],["~`) {
		t.Errorf("recorded %s", got)
	}
	cli(exitDone, "letters", "workloads")
	cli(exitDone, "the same team", "workloads", "names")
	cli(exitError, "is called letters", "activate", letter, "--candidate", "openai/gpt-4o-mini", "--reason", "old name", "--override")

	cli(exitError, "There is letters", "activate", "leters", "--candidate", "openai/gpt-4o-mini", "--reason", "mistyped", "--override")
	cli(exitError, "There is letters", "whatif", "--workload", "leters")
	cli(exitDone, "letters: 4 requests are too few", "whatif", "--workload", letter)
	cli(exitDone, "letters is canary", "activate", "letters", "--candidate", "openai/gpt-4o-mini", "--reason", "try", "--override")
	cli(exitError, "roll it back first", "workloads", "undo", note, "--reason", "another team")
	cli(exitDone, "observes again", "rollback", "letters", "--reason", "to part them")
	cli(exitDone, "recorded under that name", "workloads", "undo", note, "--reason", "another team")
	ask(notes)
	until(t, "history is parted again", func() bool {
		return rows("SELECT workload, requests FROM gnomon.workloads ORDER BY workload") == `[["letters",3],["`+note+`",2]]`
	})
	until(t, "snapshots are stored", func() bool {
		return count(t, n.reader.Load(), "SELECT uniqExact(hash) FROM gnomon.snapshots WHERE kind = 'snapshot' AND hash IN (SELECT snapshot_hash FROM gnomon.requests)") == count(t, n.reader.Load(), "SELECT uniqExact(snapshot_hash) FROM gnomon.requests")
	})
	code, out, errs := call(t, "replay", "--json", "--project", "acme", "--set", "clickhouse.listen="+n.c.ClickHouse.Listen, "--set", "kafka.listen="+n.c.Kafka.Listen)
	var r struct {
		Decisions, Differing uint64
		NotReplayable        uint64 `json:"not_replayable"`
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone || r.Decisions != uint64(asked) || r.Differing != 0 || r.NotReplayable != 0 {
		t.Errorf("replay: status %d: %s%s", code, out, errs)
	}
}
