package sdk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gnomon is a binary under test with addresses and a data folder of its own.
type gnomon struct {
	t     *testing.T
	bin   string
	args  []string // serve, and what follows
	env   []string
	dir   string
	proxy string // host:port
	admin string
	store string
	kafka string
	cmd   *exec.Cmd
	log   *os.File
}

// newGnomon builds the binary (or takes E2E_BIN) and starts it in front of
// the provider.
func newGnomon(t *testing.T, upstream string, args ...string) *gnomon {
	t.Helper()
	g := newGnomonUnready(t, upstream, args...)
	g.untilReady()
	return g
}

// newGnomonUnready starts one that need not become ready.
func newGnomonUnready(t *testing.T, upstream string, args ...string) *gnomon {
	t.Helper()
	g := &gnomon{t: t, dir: t.TempDir(), bin: os.Getenv("E2E_BIN"), args: append([]string{"serve"}, args...)}
	if g.bin == "" {
		g.bin = filepath.Join(g.dir, "gnomon")
		build := exec.Command("go", "build", "-o", g.bin, "./cmd/gnomon")
		build.Dir = filepath.Join("..", "..")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	} else if abs, err := filepath.Abs(g.bin); err == nil {
		g.bin = abs
	}
	g.proxy, g.admin, g.store, g.kafka = freeAddr(t), freeAddr(t), freeAddr(t), freeAddr(t)
	g.env = append(os.Environ(),
		"GNOMON_DATA_DIR="+filepath.Join(g.dir, "data"), "GNOMON_PROXY__ADDR="+g.proxy, "GNOMON_ADMIN__ADDR="+g.admin,
		"GNOMON_CLICKHOUSE__LISTEN="+g.store, "GNOMON_KAFKA__LISTEN="+g.kafka,
		"GNOMON_PROVIDERS__OPENAI__BASE_URL="+upstream, "GNOMON_PROVIDERS__ANTHROPIC__BASE_URL="+upstream)
	var err error
	if g.log, err = os.Create(filepath.Join(g.dir, "gnomon.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.stop()
		if t.Failed() {
			raw, _ := os.ReadFile(g.log.Name())
			t.Logf("log of gnomon (last 8 KB):\n%s", raw[max(0, len(raw)-8192):])
		}
	})
	g.launch()
	return g
}

func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// start starts it and waits until it is ready.
func (g *gnomon) start() {
	g.t.Helper()
	g.launch()
	g.untilReady()
}

func (g *gnomon) launch() {
	g.t.Helper()
	g.cmd = exec.Command(g.bin, g.args...)
	g.cmd.Env, g.cmd.Dir = g.env, g.dir
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
}

func (g *gnomon) untilReady() {
	g.t.Helper()
	g.until("gnomon is ready", 30*time.Second, func() error {
		resp, err := http.Get("http://" + g.admin + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 {
			return fmt.Errorf("readyz: %s %s", resp.Status, body)
		}
		return nil
	})
}

func (g *gnomon) stop() {
	if g.cmd == nil || g.cmd.ProcessState != nil {
		return
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = g.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		_ = g.cmd.Process.Kill()
		<-done
	}
}

// untilAnswers waits for the data plane alone.
func (g *gnomon) untilAnswers() {
	g.t.Helper()
	g.until("the data plane answers", 10*time.Second, func() error { return g.chat(http.DefaultClient) })
}

// metricAbove reads a metric's sum over its labels.
func (g *gnomon) metricAbove(name string, bound float64) error {
	resp, err := http.Get("http://" + g.admin + "/metrics")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	sum := 0.0
	for line := range strings.SplitSeq(string(body), "\n") {
		if strings.HasPrefix(line, name) {
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				return err
			}
			sum += v
		}
	}
	if sum <= bound {
		return fmt.Errorf("%s is %v", name, sum)
	}
	return nil
}

// kill9 ends gnomon as an out-of-memory killer would.
func (g *gnomon) kill9() {
	g.t.Helper()
	if err := g.cmd.Process.Kill(); err != nil {
		g.t.Fatal(err)
	}
	_ = g.cmd.Wait()
}

// killEngine ends the engine's child process with kill -9 and returns its pid.
func (g *gnomon) killEngine() int {
	g.t.Helper()
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(g.cmd.Process.Pid)).Output()
	pid, convErr := strconv.Atoi(strings.Fields(string(out) + " 0")[0])
	if err != nil || convErr != nil || pid == 0 {
		g.t.Fatalf("no child process of gnomon found: %v %q", err, out)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		g.t.Fatal(err)
	}
	return pid
}

// sql asks the store over its HTTP interface, as an analyst's curl would.
func (g *gnomon) sql(query string) (string, error) {
	resp, err := http.Get("http://" + g.store + "/?query=" + url.QueryEscape(query))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return strings.TrimSpace(string(body)), err
}

// rows asks for tab-separated rows, or fails the test.
func (g *gnomon) rows(query string) [][]string {
	g.t.Helper()
	out, err := g.sql(query)
	if err != nil {
		g.t.Fatalf("%s: %v", query, err)
	}
	var rows [][]string
	for line := range strings.SplitSeq(out, "\n") {
		if line != "" {
			rows = append(rows, strings.Split(line, "\t"))
		}
	}
	return rows
}

// count waits until the store holds exactly want rows, and fails on more.
func (g *gnomon) count(want int) {
	g.t.Helper()
	g.until(fmt.Sprintf("%d rows are stored", want), 60*time.Second, func() error {
		out, err := g.sql("SELECT count() FROM gnomon.requests FINAL")
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(out)
		if err != nil || n != want {
			return fmt.Errorf("%s rows", out)
		}
		return nil
	})
}

// complete waits until nothing is missing: what proxies say they accepted comes
// by heartbeats, a second apart.
func (g *gnomon) complete() {
	g.t.Helper()
	g.until("accepted = stored + declared for every proxy life", 20*time.Second, func() error {
		out, err := g.sql("SELECT groupArray((boot_id, accepted, stored, declared)) FROM gnomon.completeness WHERE difference != 0")
		if err == nil && out != "[]" {
			err = fmt.Errorf("(boot id, accepted, stored, declared): %s", out)
		}
		return err
	})
}

// cli runs a command of the binary against the running gnomon.
func (g *gnomon) cli(args ...string) (string, error) {
	cmd := exec.Command(g.bin, args...)
	cmd.Env, cmd.Dir = g.env, g.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// until polls a condition.
func (g *gnomon) until(what string, limit time.Duration, check func() error) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			g.t.Fatalf("waited %v until %s: %v", limit, what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
