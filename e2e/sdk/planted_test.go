package sdk

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// What no log, metric, topic, file or table may hold by default, but for what a
// gnomon key is known by.
const (
	plantedKey    = "sk-planted-4b1f09c7e2"
	plantedStored = "sk-planted-stored-88d1"
	plantedPrompt = "Tell nobody of PLANTED-PROMPT-93ac."
	plantedAnswer = "Hi, PLANTED-ANSWER-57de"
)

// visible is recorded on purpose: where it is not found, nothing was looked at.
const visible = "planted-visible-feature"

// plant sends what the SDKs do not: secrets in odd places, on paths that fail.
func plant(t *testing.T, g *gnomon) (key string) {
	t.Helper()
	out, err := g.cli("keys", "create", "planted", "--reason", "test")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	key, _, _ = strings.Cut(out, "\n")
	body := `{"model":"gpt-4o","messages":[{"role":"system","content":"` + plantedPrompt + `"},{"role":"user","content":"` + plantedPrompt + `"}]}`
	for _, r := range []struct {
		path   string
		header [2]string
	}{
		{"/v1/chat/completions", [2]string{"Authorization", "Bearer " + key}},
		{"/v1/chat/completions", [2]string{"Authorization", "Bearer " + key + "x"}}, // unknown
		{"/v1/messages", [2]string{"x-api-key", key}},
		{"/v1/chat/completions?key=" + plantedKey, [2]string{"Cookie", plantedKey}},
		{"/gone/v1/chat/completions?api-key=" + plantedKey, [2]string{"Api-Key", plantedKey}}, // nobody listens there
		{"/nowhere/" + plantedKey, [2]string{"Authorization", plantedKey}},                    // no provider's
	} {
		req, err := http.NewRequest("POST", "http://"+g.proxy+r.path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(r.header[0], r.header[1])
		req.Header.Set("Idempotency-Key", plantedKey)
		req.Header.Set("X-Gnomon-Feature", visible)
		g.until("an answer comes", 10*time.Second, func() error { // of a key that has just been made
			again := req.Clone(t.Context())
			again.Body = io.NopCloser(strings.NewReader(body))
			resp, err := http.DefaultClient.Do(again)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			raw, _ := io.ReadAll(resp.Body)
			for _, s := range []string{plantedKey, plantedStored, plantedPrompt, key} {
				if resp.Header.Get("X-Gnomon-Error") != "" && strings.Contains(string(raw), s) {
					t.Errorf("an error of gnomon's own repeats a secret: %s", raw)
				}
			}
			return nil
		})
	}
	return key
}

// nothingPlanted looks for what was planted wherever gnomon writes.
func nothingPlanted(t *testing.T, g *gnomon, key string) {
	t.Helper()
	_, secret, _ := strings.Cut(strings.TrimPrefix(key, "gk_"), "_")
	secrets := []string{plantedKey, plantedStored, "PLANTED-PROMPT", "PLANTED-ANSWER", secret}
	where := map[string]string{"the log": read(t, g.log.Name())}
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, _ := io.ReadAll(resp.Body)
	where["the metrics"] = string(metrics)
	for _, of := range g.rows("SELECT name FROM system.tables WHERE database = 'gnomon'") {
		rows, err := g.sql("SELECT * FROM gnomon." + of[0] + " FORMAT JSONEachRow")
		if err != nil {
			t.Logf("not looked at: %s: %.120v", of[0], err) // views that want parameters
			continue
		}
		where["the table "+of[0]] = rows
	}
	for topic, text := range topics(t, g.kafka) {
		where["the topic "+topic] = text
	}
	_ = filepath.WalkDir(filepath.Join(g.dir, "data"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			raw, err := os.ReadFile(path)
			if err == nil { // the store removes its parts as it goes
				where["the file "+path] = string(raw)
			}
		}
		return nil
	})
	found := map[string]bool{}
	for place, text := range where {
		for _, s := range secrets {
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("%s is found in %s: %q", s, place, text[max(0, i-80):min(len(text), i+80)])
			}
		}
		if strings.Contains(text, visible) {
			kind, _, _ := strings.Cut(strings.TrimPrefix(place, "the "), " ")
			if found[kind] = true; strings.Contains(place, "/spool/") {
				found["spool"] = true
			}
		}
	}
	t.Logf("%d places looked at; what is recorded on purpose is in %v", len(where), found)
	for _, kind := range []string{"table", "topic", "spool"} {
		if !found[kind] {
			t.Errorf("the %s does not hold what is recorded on purpose: the search finds nothing there", kind)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// topics reads every topic from its beginning to its end: on disk it is
// compressed.
func topics(t *testing.T, addr string) map[string]string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	partitions, err := conn.ReadPartitions()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, p := range partitions {
		text, err := partition(ctx, addr, p)
		if err != nil {
			t.Fatalf("topic %s: %v", p.Topic, err)
		}
		all[p.Topic] += text
	}
	if !slices.Contains(keysOf(all), "gnomon.requests.v1") {
		t.Errorf("the topics are %v", keysOf(all))
	}
	return all
}

func keysOf(m map[string]string) (names []string) {
	for name := range m {
		names = append(names, name)
	}
	return names
}

func partition(ctx context.Context, addr string, p kafka.Partition) (string, error) {
	conn, err := kafka.DialLeader(ctx, "tcp", addr, p.Topic, p.ID)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	first, last, err := conn.ReadOffsets()
	if err != nil || first >= last {
		return "", err
	}
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: p.Topic, Partition: p.ID, MaxBytes: 16 << 20, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	if err := r.SetOffset(first); err != nil {
		return "", err
	}
	var b strings.Builder
	for at := int64(-1); at < last-1; {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return "", err
		}
		at = m.Offset
		fmt.Fprintf(&b, "%s %s", m.Key, m.Value)
		for _, h := range m.Headers {
			fmt.Fprintf(&b, " %s=%s", h.Key, h.Value)
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
