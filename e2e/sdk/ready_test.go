package sdk

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// ready asks /readyz.
func (g *gnomon) ready(query string) (int, string) {
	resp, err := http.Get("http://" + g.admin + "/readyz" + query)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func (g *gnomon) untilReadyIs(query string, want int) {
	g.t.Helper()
	g.until(fmt.Sprintf("/readyz%s is %d", query, want), 20*time.Second, func() error {
		if status, body := g.ready(query); status != want {
			return fmt.Errorf("%d %s", status, body)
		}
		return nil
	})
}

func TestALiveWorkloadIsSwitchedBackByAGnomonThatHasNotSeenItsStore(t *testing.T) {
	p := newProvider(t)
	g := newGnomon(t, p.URL)
	c := newClients(g)
	routed := func(n int) int {
		t.Helper()
		count := 0
		for i := range n {
			if _, err := c.openai.Chat.Completions.New(t.Context(), chatParams("plain-"+strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
			if lastModel(p) == "gpt-4o-mini" {
				count++
			}
		}
		return count
	}
	if out, err := g.cli("activate", "e2e/openai", "--candidate", "openai/gpt-4o-mini", "--share", "100%", "--reason", "test", "--override", "--unseen"); err != nil {
		t.Fatalf("activate: %v\n%s", err, out)
	}
	g.stop()
	g.env = append(g.env, "GNOMON_CLICKHOUSE__DSN=http://gnomon:x@127.0.0.1:1/") // nobody is there
	g.launch()
	g.untilReadyIs("?role=proxy", http.StatusOK)
	if status, body := g.ready(""); status != http.StatusServiceUnavailable || !strings.Contains(body, "store") {
		t.Errorf("readyz of all roles: %d %q", status, body)
	}
	if n := routed(20); n < 12 {
		t.Fatalf("%d of 20 sessions are routed before", n)
	}
	g.until("the rollback is taken", 10*time.Second, func() error {
		out, err := g.cli("rollback", "e2e/openai", "--reason", "tickets reopened")
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
	if n := routed(20); n != 0 {
		t.Errorf("%d of 20 sessions are routed after the rollback", n)
	}
	if out, err := g.cli("report"); err == nil || !strings.Contains(out, "store has not answered") {
		t.Errorf("report without a store: %v %s", err, out)
	}
}

func TestReadinessFallsWithWhatARoleLeansOnAndNeverTheProxys(t *testing.T) {
	p := newProvider(t)
	back := newGnomon(t, p.URL, "--roles", "ingest")
	t.Setenv("GNOMON_KAFKA__BROKERS", back.kafka)
	front := newGnomon(t, p.URL, "--roles", "proxy")
	t.Setenv("GNOMON_CLICKHOUSE__READ_DSN", "http://"+back.store+"/")
	console := newGnomon(t, p.URL, "--roles", "analyze,console")
	if err := front.metricAbove(`gnomon_part_up{part="broker"}`, 0); err != nil {
		t.Errorf("the broker is there: %v", err)
	}
	back.kill9() // broker and engine are in and under it
	console.untilReadyIs("", http.StatusServiceUnavailable)
	front.until("the proxy tells that its broker is away", 20*time.Second, func() error { return front.metricAbove("gnomon_policy_alarm", 0) })
	front.until("the proxy calls the dead broker away", 20*time.Second, func() error {
		if front.metricAbove(`gnomon_part_up{part="broker"}`, 0) == nil {
			return fmt.Errorf("it calls it up")
		}
		return nil
	})
	if status, body := front.ready(""); status != http.StatusOK {
		t.Errorf("the proxy is taken out of service though traffic flows: %d %s", status, body)
	}
	front.untilAnswers()
	back.start()
	console.untilReadyIs("", http.StatusOK)
	front.until("the proxy's alarm is over", 20*time.Second, func() error {
		if front.metricAbove("gnomon_policy_alarm", 0) == nil {
			return fmt.Errorf("it still stands")
		}
		return front.metricAbove(`gnomon_part_up{part="broker"}`, 0)
	})
}
