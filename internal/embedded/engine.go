package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Pace of the supervision. A hang is noticed after at most one interval and two
// timeouts, so the engine serves again within 20 s of it.
const (
	probeEvery    = 2 * time.Second
	probeTimeout  = 5 * time.Second
	probeFailures = 2
	startTimeout  = 90 * time.Second
	backoffFirst  = 200 * time.Millisecond
	backoffMost   = 5 * time.Second
	healthyAfter  = 30 * time.Second
	closePatience = 10 * time.Second
	dyingPatience = time.Second
	defaultMemory = 450 << 20
)

// EngineConfig says where the engine lives and what it may use.
type EngineConfig struct {
	Library        string   // path of libchdb; "" is the cache folder's (FindLibrary)
	Dir            string   // the engine's folder; made when absent
	Listen         string   // host:port; port 0 takes a free one
	WriterPassword string   // of the user gnomon; without it nobody writes
	MemoryBytes    int64    // of the engine's own accounting; 0 is 450 MiB, which keeps the process below 600 MB
	Hosts          []string // Host names permitted beside IP literals and localhost
	Log            *slog.Logger

	FreeBytes func(dir string) (uint64, error) // room on a folder's disk; nil asks the system
}

// Engine is a supervised child process that serves ClickHouse's HTTP interface.
type Engine struct {
	cfg      EngineConfig
	paths    childPaths
	ln       *net.TCPListener
	lnFile   *os.File
	lock     *os.File
	pid      atomic.Int64
	restarts atomic.Int64
	version  atomic.Value
	stop     chan struct{}
	done     chan struct{}
	once     sync.Once
	log      *slog.Logger
}

// StartEngine starts the engine's process and returns once it answers; ctx bounds
// that alone. From then on a crashed or hung process is killed and started again
// on the same port, until Close: whoever stops does so in order, and what writes
// to the engine stops before it. The process ends with this one, however it ends. Errors say what stood in the way: no library, a wrong one, a taken port,
// a folder in use.
func StartEngine(ctx context.Context, cfg EngineConfig) (*Engine, error) {
	if os.Getenv(childEnv) != "" {
		return nil, errors.New("this process is itself an engine's child: embedded.RunEngineChildIfAsked must be the first line of main (and of TestMain)")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.FreeBytes == nil {
		cfg.FreeBytes = freeBytes
	}
	if cfg.MemoryBytes <= 0 {
		cfg.MemoryBytes = defaultMemory
	}
	var err error
	if cfg.Library, err = FindLibrary(cfg.Library); err != nil {
		return nil, err
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	if cfg.Library, err = filepath.Abs(cfg.Library); err != nil {
		return nil, err
	}
	paths := childPaths{Library: cfg.Library, Data: filepath.Join(cfg.Dir, "data"), Tmp: filepath.Join(cfg.Dir, "tmp")}
	for _, dir := range []string{paths.Data, paths.Tmp} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("the engine's folder %s cannot be made: %w; choose another with data_dir", dir, err)
		}
	}
	e := &Engine{cfg: cfg, paths: paths, stop: make(chan struct{}), done: make(chan struct{}), log: cfg.Log.With("part", "engine")}
	if e.lock, err = lockFolder(cfg.Dir, "engine"); err != nil {
		return nil, err
	}
	if err := e.listen(); err != nil {
		e.release()
		return nil, err
	}
	first, err := e.spawn(ctx)
	for again := 0; errors.Is(err, errKilled) && again < 2; again++ {
		e.log.Warn("engine is started again", "because", err)
		first, err = e.spawn(ctx)
	}
	if err != nil {
		e.release()
		return nil, err
	}
	go e.supervise(first)
	return e, nil
}

// Addr is host:port of the HTTP interface.
func (e *Engine) Addr() string { return e.ln.Addr().String() }

// Pid is the engine's process; 0 while there is none.
func (e *Engine) Pid() int { return int(e.pid.Load()) }

// Restarts counts how often the process was started again.
func (e *Engine) Restarts() int { return int(e.restarts.Load()) }

// Version is the engine's own, such as 26.5.1.1.
func (e *Engine) Version() string { v, _ := e.version.Load().(string); return v }

// Close ends the process: its running queries have 5 s, then it is killed.
func (e *Engine) Close() error {
	e.once.Do(func() { close(e.stop) })
	<-e.done
	return nil
}

func (e *Engine) listen() error {
	ln, err := net.Listen("tcp", e.cfg.Listen)
	if err != nil {
		return fmt.Errorf("the engine's address %s cannot be taken: %w; choose another with clickhouse.listen, or end the process that has it", e.cfg.Listen, err)
	}
	e.ln = ln.(*net.TCPListener)
	e.lnFile, err = e.ln.File()
	return err
}

func (e *Engine) release() {
	for _, c := range []io.Closer{e.lnFile, e.ln, e.lock} {
		if f, ok := c.(*os.File); ok && f == nil {
			continue
		}
		if l, ok := c.(*net.TCPListener); ok && l == nil {
			continue
		}
		_ = c.Close()
	}
}

// process is one life of the child.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan struct{} // closed once it is gone
	status error         // after exited
	began  time.Time
}

// errKilled says that somebody ended a child before it served, be it the kernel for
// want of memory: that may pass, while whatever else a start fails of stays.
var errKilled = errors.New("it was killed")

// spawn starts a child and waits until it serves.
func (e *Engine) spawn(ctx context.Context) (*process, error) {
	if err := e.awaitRoom(ctx); err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("the engine's process cannot be started: %w", err)
	}
	p := &process{exited: make(chan struct{}), began: time.Now()}
	p.cmd = exec.Command(exe)
	// Nothing of our environment: it may hold providers' keys, and the engine is
	// no place for them.
	paths, err := json.Marshal(e.paths)
	if err != nil {
		return nil, err
	}
	p.cmd.Env = []string{childEnv + "=" + string(paths), "HOME=" + e.paths.Tmp, "TMPDIR=" + e.paths.Tmp, "TZ=UTC", "LANG=C.UTF-8"}
	p.cmd.Dir = e.paths.Tmp
	p.cmd.SysProcAttr = childAttributes()
	p.cmd.ExtraFiles = []*os.File{e.lnFile, e.lock}
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	tail := &lineLog{log: e.log}
	p.cmd.Stderr = tail
	reports := make(chan childReport, 1)
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child when the thread that made it ends, so that
		// thread must stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := p.cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		var rep childReport
		if err := json.NewDecoder(bufio.NewReader(out)).Decode(&rep); err == nil {
			reports <- rep
		}
		p.status = p.cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("the engine's process cannot be started: %w", err)
	}
	e.pid.Store(int64(p.cmd.Process.Pid))
	go e.guardRoom(p)
	told := json.NewEncoder(stdin).Encode(childConfig{WriterPassword: e.cfg.WriterPassword, MemoryBytes: e.cfg.MemoryBytes, Hosts: e.cfg.Hosts})
	if err = e.awaitReport(ctx, p, reports, tail); err == nil { // also of a child that could be told nothing it says why
		err = told
	}
	if err != nil {
		e.end(p, 0)
		return nil, err
	}
	e.log.Info("engine serves", "addr", e.Addr(), "pid", e.Pid(), "version", e.Version(), "after", time.Since(p.began).Round(time.Millisecond))
	return p, nil
}

func (e *Engine) awaitReport(ctx context.Context, p *process, reports <-chan childReport, tail *lineLog) error {
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case rep := <-reports:
		if rep.Error != "" {
			return fmt.Errorf("the engine does not start: %s", rep.Error)
		}
		e.version.Store(rep.Version)
		return nil
	case <-p.exited:
		select {
		case rep := <-reports:
			if rep.Error != "" {
				return fmt.Errorf("the engine does not start: %s", rep.Error)
			}
		default:
		}
		var exit *exec.ExitError
		if errors.As(p.status, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			return fmt.Errorf("the engine's process died before it served: %w", errKilled)
		}
		return fmt.Errorf("the engine's process died before it served (%v); is %s the right library? Its last words: %s", p.status, e.cfg.Library, tail.last())
	case <-timer.C:
		return fmt.Errorf("the engine did not serve within %s", startTimeout)
	case <-ctx.Done():
		return ctx.Err()
	case <-e.stop:
		return errors.New("the engine was closed while it started")
	}
}

// end closes the child's standard input, which it takes as the wish to end, and
// kills it when it does not obey.
func (e *Engine) end(p *process, patience time.Duration) {
	_ = p.stdin.Close()
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case <-p.exited:
		case <-timer.C:
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	e.pid.Store(0)
}

// supervise probes the child and replaces it when it is gone or hangs.
func (e *Engine) supervise(p *process) {
	defer close(e.done)
	defer e.release()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	backoff := backoffFirst
	for {
		why := e.watchOver(ctx, p)
		if why == "" {
			e.end(p, closePatience)
			return
		}
		if time.Since(p.began) > healthyAfter {
			backoff = backoffFirst
		}
		e.log.Warn("engine is started again", "because", why, "pid", e.Pid())
		e.end(p, 0)
		for p = nil; p == nil; {
			select {
			case <-e.stop:
				return
			case <-time.After(backoff):
			}
			backoff = min(backoff*2, backoffMost)
			e.restarts.Add(1)
			var err error
			if p, err = e.spawn(ctx); err != nil {
				e.log.Error("engine does not start", "error", err)
			}
		}
	}
}

// watchOver returns why the child must be replaced, "" when it shall end.
func (e *Engine) watchOver(ctx context.Context, p *process) string {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	failures := 0
	for {
		select {
		case <-e.stop:
			return ""
		case <-p.exited:
			return fmt.Sprintf("its process ended: %v", p.status)
		case <-tick.C:
		}
		err := e.probe(ctx, p)
		if err == nil {
			failures = 0
		} else if failures++; failures >= probeFailures {
			return fmt.Sprintf("it does not answer: %v", err)
		}
	}
}

// probe asks the engine for 1.
func (e *Engine) probe(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	go func() {
		select {
		case <-p.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	_, port, _ := net.SplitHostPort(e.Addr())
	host := "127.0.0.1"
	if a := e.ln.Addr().(*net.TCPAddr); !a.IP.IsUnspecified() {
		host = a.IP.String()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+probePath, nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	return nil
}

// lineLog hands the child's standard error to the log, line by line, and keeps
// the last lines.
type lineLog struct {
	mu    sync.Mutex
	log   *slog.Logger
	part  []byte
	lines []string
}

const (
	lastLines   = 8
	longestLine = 4096
)

func (l *lineLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		line, rest, ok := strings.Cut(string(l.part), "\n")
		if !ok && len(l.part) < longestLine {
			return len(p), nil
		}
		l.part = []byte(rest)
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		l.log.Info("engine says", "line", line[:min(len(line), longestLine)])
		if l.lines = append(l.lines, line); len(l.lines) > lastLines {
			l.lines = l.lines[1:]
		}
	}
}

func (l *lineLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 0 {
		return "none"
	}
	return strings.Join(l.lines, " / ")
}
