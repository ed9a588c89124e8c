package sdk

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The figures of the README, measured on the binary. They are measurements, not
// checks of the machine: run with make bench.

func needFigures(t *testing.T) {
	t.Helper()
	if os.Getenv("E2E_FIGURES") == "" {
		t.Skip("a measurement: make bench runs it (E2E_FIGURES=1)")
	}
}

const plainChat = `{"model":"gpt-4o","messages":[{"role":"system","content":"You are terse."},{"role":"user","content":"Say hello."}]}`

func (g *gnomon) chat(c *http.Client) error {
	resp, err := c.Post("http://"+g.proxy+"/v1/chat/completions", "application/json", strings.NewReader(plainChat))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("answered %s", resp.Status)
	}
	return err
}

func TestFigureFirstEventOfAColdStartIsQueryable(t *testing.T) {
	needFigures(t)
	p := newProvider(t)
	g := newGnomon(t, p.URL)
	if err := g.chat(http.DefaultClient); err != nil {
		t.Fatal(err)
	}
	answered := time.Now()
	g.count(1)
	t.Logf("FIGURE first event of a cold start queryable after its answer: %.2f s (goal 5)", time.Since(answered).Seconds())
}

// One request in every 200 ms is looked for from its answer's end on until a query
// finds its row, while others come beside it.
func TestFigureNewestEventIsQueryable(t *testing.T) {
	needFigures(t)
	p := newProvider(t)
	g := newGnomon(t, p.URL)
	const rate, seconds = 250, 30
	beside := make(chan struct{})
	go func() {
		defer close(beside)
		load(t, g, rate, seconds)
	}()
	var (
		mu      sync.Mutex
		fresh   []time.Duration
		seekers sync.WaitGroup
	)
	next := time.NewTicker(200 * time.Millisecond)
	defer next.Stop()
	for range seconds * 5 {
		<-next.C
		resp, err := http.Post("http://"+g.proxy+"/v1/chat/completions", "application/json", strings.NewReader(plainChat))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		answered, id := time.Now(), resp.Header.Get("X-Gnomon-Request-Id")
		seekers.Go(func() {
			for time.Since(answered) < time.Minute {
				out, err := g.sql("SELECT count() FROM gnomon.requests FINAL WHERE request_id = '" + id + "'")
				if err == nil && strings.TrimSpace(out) == "1" {
					mu.Lock()
					defer mu.Unlock()
					fresh = append(fresh, time.Since(answered))
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
			t.Errorf("request %s is not stored a minute after its answer", id)
		})
	}
	seekers.Wait()
	<-beside
	slices.Sort(fresh)
	if len(fresh) == 0 {
		t.Fatal("no request was found")
	}
	at := func(p float64) float64 { return fresh[int(p*float64(len(fresh)-1))].Seconds() }
	t.Logf("FIGURE newest event queryable after its answer, of %d beside %d requests/s: p50 %.2f s, p99 %.2f s, most %.2f s (goal: p99 at most 2)", len(fresh), rate, at(0.5), at(0.99), at(1))
}

func TestFigureMemoryOfTheProxyRoleAlone(t *testing.T) {
	needFigures(t)
	p := newProvider(t)
	back := newGnomon(t, p.URL, "--roles", "ingest,analyze,console,rehearse")
	t.Setenv("GNOMON_KAFKA__BROKERS", back.kafka)
	front := newGnomon(t, p.URL, "--roles", "proxy")
	const rate, seconds = 500, 30
	load(t, front, rate, seconds)
	t.Logf("FIGURE proxy role alone after %d s at %d requests/s: %.1f MB resident, peak %.1f MB (goal 60)", seconds, rate, rss(t, front.cmd.Process.Pid, "VmRSS"), rss(t, front.cmd.Process.Pid, "VmHWM"))
	back.count(rate * seconds)
	t.Logf("all %d rows stored, by the second gnomon", rate*seconds)
}

func load(t *testing.T, g *gnomon, rate, seconds int) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer c.CloseIdleConnections()
	due := make(chan struct{}, rate)
	var failed atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range due {
				if err := g.chat(c); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range seconds * 50 {
		<-tick.C
		for range rate / 50 {
			due <- struct{}{}
		}
	}
	close(due)
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d requests failed", n)
	}
}

// rss reads a field of /proc/<pid>/status, in MB.
func rss(t *testing.T, pid int, field string) float64 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(raw), "\n") {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb / 1024
		}
	}
	t.Fatalf("no %s", field)
	return 0
}

func TestFigureDemo(t *testing.T) {
	needFigures(t)
	g := &gnomon{t: t, dir: t.TempDir(), bin: os.Getenv("E2E_BIN")}
	if g.bin == "" {
		t.Skip("needs E2E_BIN")
	}
	g.bin, _ = filepath.Abs(g.bin)
	g.proxy, g.admin, g.store, g.kafka = freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	cmd := exec.Command(g.bin, "demo")
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "DEMO_SECONDS=15", "XDG_CACHE_HOME="+os.Getenv("XDG_CACHE_HOME"),
		"GNOMON_PROXY__ADDR="+g.proxy, "GNOMON_ADMIN__ADDR="+g.admin, "GNOMON_CLICKHOUSE__LISTEN="+g.store, "GNOMON_KAFKA__LISTEN="+g.kafka)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g.cmd = cmd
	var text strings.Builder
	buf := make([]byte, 4096)
	reported := false
	for {
		n, err := out.Read(buf)
		text.Write(buf[:n])
		if !reported && strings.Contains(text.String(), "console:") {
			reported = true
			t.Logf("FIGURE demo from a warm cache to its report: %.1f s (goal 120)", time.Since(began).Seconds())
			pids, _ := exec.Command("pgrep", "-P", strconv.Itoa(cmd.Process.Pid)).Output()
			if pid, err := strconv.Atoi(strings.TrimSpace(string(pids))); err == nil {
				t.Logf("FIGURE engine child after the demo: %.0f MB resident, peak %.0f MB (goal 600)", rss(t, pid, "VmRSS"), rss(t, pid, "VmHWM"))
			}
			t.Logf("FIGURE demo process: %.0f MB resident", rss(t, cmd.Process.Pid, "VmRSS"))
		}
		if err != nil {
			break
		}
	}
	if err := cmd.Wait(); err != nil || !reported {
		t.Fatalf("the demo ended with %v; its report was seen: %v\n%s", err, reported, text.String())
	}
}
