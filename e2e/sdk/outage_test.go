package sdk

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWithBrokerAndStoreDeadTrafficFlowsAndIsStoredOnceTheyAreBack(t *testing.T) {
	p := newProvider(t)
	back := newGnomon(t, p.URL, "--roles", "ingest,analyze,console,rehearse")
	t.Setenv("GNOMON_KAFKA__BROKERS", back.kafka)
	front := newGnomon(t, p.URL, "--roles", "proxy")
	send := func(n int) {
		t.Helper()
		for range n {
			if err := front.chat(http.DefaultClient); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(20)
	back.count(20)
	back.kill9() // broker and engine are in and under it
	send(200)
	back.start()
	back.count(220)

	// The broker's whole folder is lost while it was down: the spool ships again.
	send(30)
	back.count(250)
	back.kill9()
	send(50)
	if err := os.RemoveAll(filepath.Join(back.dir, "data", "broker")); err != nil {
		t.Fatal(err)
	}
	back.start()
	back.count(300)
	back.complete()
}

func TestWhatIsWrongIsSaidAndHowToMendIt(t *testing.T) {
	p := newProvider(t)
	g := newGnomon(t, p.URL)
	config := func(text string) string {
		path := filepath.Join(t.TempDir(), "gnomon.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	wrongLibrary := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(wrongLibrary, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := []string{"--set", "proxy.addr=127.0.0.1:0", "--set", "admin.addr=127.0.0.1:0", "--set", "kafka.listen=127.0.0.1:0", "--set", "clickhouse.listen=127.0.0.1:0"}
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"malformed configuration names the line", []string{"serve", "-c", config("proxy:\n  addr: [\n")}, []string{"gnomon.yaml", "line 2"}},
		{"an unknown key names line, key and the near one", []string{"serve", "-c", config("proxy:\n  adr: x\n")}, []string{"gnomon.yaml:2", "proxy.adr", "proxy.addr"}},
		{"a taken port names the key", []string{"serve"}, []string{"proxy.addr", "taken"}},
		{"a second gnomon on one data folder names the first", append([]string{"serve"}, elsewhere...), []string{"data_dir", "in use"}},
		{"a wrong library", append([]string{"serve", "--set", "data_dir=" + t.TempDir(), "--set", "engine.library=" + wrongLibrary}, elsewhere...), []string{wrongLibrary}},
		{"a data folder that takes no file", append([]string{"serve", "--set", "data_dir=/proc/nowhere"}, elsewhere...), []string{"data_dir", "/proc/nowhere"}},
		{"a broker that is needed and not named", []string{"serve", "--roles", "proxy"}, []string{"kafka.brokers"}},
		{"a role that does not exist", []string{"serve", "--roles", "proxi"}, []string{"proxi", "console"}},
		{"a command that does not exist", []string{"observe"}, []string{"unknown command"}},
		{"nobody to ask", []string{"status", "--set", "admin.addr=127.0.0.1:1"}, []string{"gnomon serve", "admin.addr"}},
		{"no store to ask", []string{"sql", "SELECT 1", "--set", "clickhouse.listen=127.0.0.1:1"}, []string{"127.0.0.1:1", "gnomon serve"}},
		{"a share that could mean two things", []string{"activate", "w", "--candidate", "openai/gpt-4o-mini", "--share", "25", "--reason", "x"}, []string{"25%"}},
		{"a candidate without provider", []string{"activate", "w", "--candidate", "gpt-4o-mini", "--share", "25%", "--reason", "x"}, []string{"provider/model"}},
		{"nothing to roll back", []string{"rollback", "nowhere", "--reason", "x"}, []string{"othing to roll back"}},
		{"a query that is none", []string{"sql", "SELEKT 1"}, []string{"SELECT"}},
		{"a query that would write", []string{"sql", "DROP TABLE gnomon.requests"}, []string{"readonly"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := g.cli(tt.args...)
			if err == nil {
				t.Fatalf("status 0:\n%s", out)
			}
			for _, w := range tt.want {
				if !strings.Contains(out, w) {
					t.Errorf("%q does not name %q", out, w)
				}
			}
			if lines := strings.Count(strings.TrimSpace(out), "\n"); lines > 6 || strings.Contains(out, "goroutine ") {
				t.Errorf("that is no message for a person:\n%s", out)
			}
		})
	}
	if err := g.chat(http.DefaultClient); err != nil {
		t.Errorf("the first gnomon was disturbed: %v", err)
	}
}

func TestAFullDiskLetsTrafficFlowAndIsCounted(t *testing.T) {
	p := newProvider(t)
	t.Setenv("GNOMON_SPOOL__MAX_MB", "8")
	t.Setenv("GNOMON_KAFKA__BROKERS", "127.0.0.1:1") // nobody takes the events: the bound is reached
	front := newGnomonUnready(t, p.URL, "--roles", "proxy")
	front.untilAnswers()
	for range 6000 {
		if err := front.chat(http.DefaultClient); err != nil {
			t.Fatal(err)
		}
	}
	front.until("dropped events are counted", 10e9, func() error { return front.metricAbove("gnomon_events_dropped_total", 0) })
}
