package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"github.com/gnomon-llm/gnomon/internal/embedded"
	"github.com/gnomon-llm/gnomon/internal/embedded/embeddedtest"
)

// ownEngine starts an engine that this test may hurt.
func ownEngine(t testing.TB, cfg embedded.EngineConfig) (*embedded.Engine, string) {
	t.Helper()
	embeddedtest.RequireLibrary(t)
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	cfg.WriterPassword = "secret"
	e, err := embedded.StartEngine(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e, (&url.URL{Scheme: "http", User: url.UserPassword("gnomon", "secret"), Host: e.Addr()}).String()
}

// eventually polls until f is true.
func eventually(t testing.TB, within time.Duration, what string, f func() bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for !f() {
		if time.Since(begun) > within {
			t.Fatalf("not within %s: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begun)
}

// Somebody who ends the engine while gnomon starts, such as the kernel for want of
// memory, does not end gnomon (chaos seeds 540006 and 420022).
func TestAnEngineKilledWhileItStartsIsStartedAgain(t *testing.T) {
	embeddedtest.RequireLibrary(t)
	before := embeddedtest.Children(t)
	killed := make(chan int, 1)
	go func() {
		for t.Context().Err() == nil {
			for _, pid := range embeddedtest.Children(t) {
				if !slices.Contains(before, pid) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
					killed <- pid
					return
				}
			}
		}
	}()
	e, dsn := ownEngine(t, embedded.EngineConfig{})
	select {
	case pid := <-killed:
		if e.Pid() == pid {
			t.Fatal("the process that serves is the one that was killed")
		}
	default:
		t.Fatal("nothing was killed")
	}
	if resp, err := http.Get(dsn + "/?" + q("SELECT 1")); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
}

func count(dsn string) (string, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return "", err
	}
	u.Path, u.RawQuery = "/", q("SELECT count() FROM keep.t")
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(u.String())
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var n string
	_, err = fmt.Fscanln(resp.Body, &n)
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s", resp.Status, n)
	}
	return n, err
}

func TestADeadOrHungEngineServesAgain(t *testing.T) {
	e, dsn := ownEngine(t, embedded.EngineConfig{})
	run(t, dsn, "CREATE DATABASE keep")
	run(t, dsn, "CREATE TABLE keep.t (a UInt64) ENGINE = MergeTree ORDER BY a")
	run(t, dsn, "INSERT INTO keep.t SELECT number FROM numbers(1000)")
	addr := e.Addr()
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		within time.Duration
	}{
		{"killed", syscall.SIGKILL, 10 * time.Second},
		{"segmentation fault", syscall.SIGSEGV, 10 * time.Second},
		{"aborted", syscall.SIGABRT, 10 * time.Second},
		{"stopped", syscall.SIGSTOP, 20 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			pid, restarts := e.Pid(), e.Restarts()
			if err := syscall.Kill(pid, c.signal); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			eventually(t, c.within, "another process", func() bool { return e.Restarts() > restarts && e.Pid() != pid && e.Pid() != 0 })
			eventually(t, c.within-time.Since(begun), "the rows", func() bool { n, err := count(dsn); return err == nil && n == "1000" })
			t.Logf("served again after %s", time.Since(begun).Round(time.Millisecond))
			if e.Addr() != addr {
				t.Errorf("the address changed from %s to %s", addr, e.Addr())
			}
			if err := syscall.Kill(pid, 0); err == nil {
				t.Errorf("process %d is still there", pid)
			}
		})
	}
}

func TestTheEngineNeverMeetsAFullDisk(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	e, dsn := ownEngine(t, embedded.EngineConfig{FreeBytes: func(string) (uint64, error) { return free.Load(), nil }})
	run(t, dsn, "CREATE DATABASE keep")
	run(t, dsn, "CREATE TABLE keep.t (a UInt64) ENGINE = MergeTree ORDER BY a")
	run(t, dsn, "INSERT INTO keep.t SELECT number FROM numbers(1000)")
	pid := e.Pid()
	free.Store(100 << 20)
	eventually(t, 5*time.Second, "the process is gone", func() bool { return e.Pid() == 0 })
	// Room for a moment is not enough: it would be killed again.
	free.Store(200 << 20)
	time.Sleep(time.Second)
	if e.Pid() != 0 {
		t.Error("the engine runs with 200 MB free")
	}
	free.Store(300 << 20)
	eventually(t, 20*time.Second, "the rows", func() bool { n, err := count(dsn); return err == nil && n == "1000" })
	if e.Pid() == pid {
		t.Error("it is the same process")
	}
}

func TestTheEngineRefusesToStart(t *testing.T) {
	dir := t.TempDir()
	e, _ := ownEngine(t, embedded.EngineConfig{Dir: dir})
	text := filepath.Join(t.TempDir(), "libchdb.so")
	if err := os.WriteFile(text, []byte("no library"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  embedded.EngineConfig
		want []string
	}{
		{"a taken port", embedded.EngineConfig{Dir: t.TempDir(), Listen: e.Addr()}, []string{"clickhouse.listen", e.Addr()}},
		{"a folder in use", embedded.EngineConfig{Dir: dir, Listen: "127.0.0.1:0"}, []string{"in use by process " + strconv.Itoa(os.Getpid()), "data_dir"}},
		{"a file that is no library", embedded.EngineConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", Library: text}, []string{"engine.library", "no shared library"}},
		{"a library that is not there", embedded.EngineConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", Library: text + "x"}, []string{"engine.library", "libchdb.sox"}},
		{"another library", embedded.EngineConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", Library: someLibrary(t)}, []string{"is no libchdb", embedded.LibraryVersion}},
		{"a folder for a library", embedded.EngineConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0", Library: t.TempDir()}, []string{"is no file"}},
		{"a folder that cannot be made", embedded.EngineConfig{Dir: "/dev/null/x", Listen: "127.0.0.1:0"}, []string{"data_dir"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			begun := time.Now()
			other, err := embedded.StartEngine(context.Background(), c.cfg)
			if err == nil {
				_ = other.Close()
				t.Fatal("it started")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			if took := time.Since(begun); took > 15*time.Second {
				t.Errorf("it took %s to say so", took)
			}
		})
	}
}

// someLibrary is a shared library of this machine that is not libchdb.
func someLibrary(t testing.TB) string {
	for _, pattern := range []string{"/lib/*/libm.so.6", "/lib64/libm.so.6", "/usr/lib/libm.so.6", "/usr/lib/libz*.dylib"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	t.Skip("no other shared library was found")
	return ""
}

// parentEnv makes this test binary start an engine, tell its pid, and wait;
// brokerEnv a broker.
const (
	parentEnv = "GNOMON_TEST_PARENT_DIR"
	brokerEnv = "GNOMON_TEST_BROKER_DIR"
)

func TestMain(m *testing.M) {
	embedded.RunEngineChildIfAsked()
	if dir := os.Getenv(parentEnv); dir != "" {
		e, err := embedded.StartEngine(context.Background(), embedded.EngineConfig{Dir: dir, Listen: os.Getenv("GNOMON_TEST_PARENT_LISTEN"), WriterPassword: "secret"})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(e.Pid(), e.Addr())
		select {}
	}
	if dir := os.Getenv(brokerEnv); dir != "" {
		b, err := embedded.StartBroker(context.Background(), embedded.BrokerConfig{Dir: dir, Listen: "127.0.0.1:0"})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(b.Addr())
		select {}
	}
	embeddedtest.Main(m)
}

func startParent(t testing.TB, dir, listen string) (cmd *exec.Cmd, child int, addr string) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentEnv+"="+dir, "GNOMON_TEST_PARENT_LISTEN="+listen)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := fmt.Fscan(out, &child, &addr); err != nil {
		t.Fatal("the parent told no pid: ", err)
	}
	return cmd, child, addr
}

func TestTheEngineEndsWithItsParent(t *testing.T) {
	embeddedtest.RequireLibrary(t)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			dir := t.TempDir()
			cmd, child, addr := startParent(t, dir, "127.0.0.1:0")
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			took := eventually(t, 5*time.Second, "the engine is gone", func() bool { return syscall.Kill(child, 0) != nil })
			t.Logf("gone after %s", took.Round(time.Millisecond))
			// Folder and port are free for the next, at once.
			_, child, _ = startParent(t, dir, addr)
			if child == 0 {
				t.Error("the next engine has no process")
			}
		})
	}
}

func TestClosingEndsTheProcessAndFreesThePort(t *testing.T) {
	e, _ := ownEngine(t, embedded.EngineConfig{})
	pid, addr := e.Pid(), e.Addr()
	begun := time.Now()
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the process is still there")
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
}

func TestNoGoroutineStaysBehind(t *testing.T) {
	embeddedtest.Engine(t) // the shared one stays
	leak := goleak.IgnoreCurrent()
	e, dsn := ownEngine(t, embedded.EngineConfig{})
	run(t, dsn, "SELECT 1")
	b := startBroker(t, t.TempDir())
	if err := createTopic(b.Addr(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	kafka.DefaultTransport.(*kafka.Transport).CloseIdleConnections()
	goleak.VerifyNone(t, leak)
}

func TestNothingOfTheParentsEnvironmentIsInTheEngine(t *testing.T) {
	t.Setenv("GNOMON_PROVIDERS__OPENAI__API_KEY", "sk-planted")
	e, _ := ownEngine(t, embedded.EngineConfig{})
	for _, file := range []string{"environ", "cmdline"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", e.Pid(), file))
		if err != nil {
			t.Skip(err)
		}
		if strings.Contains(string(b), "sk-planted") || strings.Contains(string(b), "secret") {
			t.Errorf("%s holds a secret: %q", file, b)
		}
	}
}
