package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// process is one gnomon.
type process struct {
	name                       string
	bin, dir, roles            string
	env                        []string
	proxy, admin, store, kafka string
	cmd                        *exec.Cmd
	log                        *os.File
	mounts                     []string
	pid                        atomic.Int64

	mu   sync.Mutex
	away []span // when it was not to be relied on
}

// span is from the moment a process was ended until it was ready again.
type span struct{ from, to time.Time }

// world is the processes of a run: two proxies (three on a real Kafka), and behind
// them an ingester that carries broker and engine, and one more ingester beside it.
type world struct {
	dir     string
	fronts  []*process
	back    *process
	beside  *process
	relay   *relay // between the ingester beside and the store
	brokers string // addresses

	lives context.Context // until it is closed
	end   context.CancelFunc
	hung  sync.WaitGroup // members of ingest's group that hang
}

// build starts everything and waits until it works.
func build(ctx context.Context, o options, dir, upstream string, plan []fault) (*world, error) {
	w := &world{dir: dir}
	w.lives, w.end = context.WithCancel(ctx)
	var err error
	if w.back, err = newProcess(o, dir, "back", "ingest,analyze,console", upstream); err != nil {
		return w, err
	}
	if err := w.back.disks(plan, "broker", "engine"); err != nil {
		return w, err
	}
	brokers := w.back.kafka
	if o.kafka != "" {
		brokers = o.kafka
		w.back.env = append(w.back.env, "GNOMON_KAFKA__BROKERS="+o.kafka)
	}
	w.brokers = brokers
	if err := w.back.start(); err != nil {
		return w, err
	}
	if err := w.back.until(ctx, o.settle, w.back.ready); err != nil {
		return w, err
	}
	w.relay = newRelay(w.back.store)
	writer, err := w.back.writer()
	if err != nil {
		return w, err
	}
	dsn := url.URL{Scheme: "http", User: writer, Host: w.relay.Listener.Addr().String(), Path: "/gnomon"}
	type part struct {
		name, roles string
		to          func(*process)
	}
	front := func(p *process) { w.fronts = append(w.fronts, p) }
	parts := []part{
		{"beside", "ingest", func(p *process) { w.beside = p; p.env = append(p.env, "GNOMON_CLICKHOUSE__DSN="+dsn.String()) }},
		{"front-0", "proxy", front},
		{"front-1", "proxy", front},
	}
	if o.kafka != "" {
		parts = append(parts, part{"front-2", "proxy", front})
	}
	for _, part := range parts {
		made, err := newProcess(o, dir, part.name, part.roles, upstream)
		if err != nil {
			return w, err
		}
		part.to(made)
		made.env = append(made.env, "GNOMON_KAFKA__BROKERS="+brokers)
		if part.roles == "proxy" {
			if err := made.disks(plan, "spool"); err != nil {
				return w, err
			}
		}
		if err := made.start(); err != nil {
			return w, err
		}
	}
	for _, p := range append([]*process{w.beside}, w.fronts...) {
		if err := p.until(ctx, o.settle, p.ready); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *world) all() []*process {
	return append([]*process{w.back, w.beside}, w.fronts...)
}

// stacks makes every process write the stacks of its goroutines, and end.
func (w *world) stacks() {
	for _, p := range w.all() {
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		_ = p.cmd.Wait()
	}
}

// close ends everything.
func (w *world) close(keep bool) {
	w.end()
	w.hung.Wait()
	for _, p := range w.all() {
		if p != nil && p.cmd != nil {
			p.cont()
			p.kill()
			_ = p.log.Close()
			p.unmount(keep)
		}
	}
	if w.relay != nil {
		w.relay.CloseClientConnections()
		w.relay.Close()
	}
}

// disks gives those of the folders a disk of their own that the plan will fill.
func (p *process) disks(plan []fault, folders ...string) error {
	for _, f := range plan {
		if slices.Contains(folders, f.disk) && !slices.Contains(p.mounts, p.folder(f.disk)) {
			if err := p.mount(f.disk); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *process) folder(name string) string { return filepath.Join(p.dir, "data", name) }

func newProcess(o options, dir, name, roles, upstream string) (*process, error) {
	p := &process{name: name, bin: o.bin, dir: filepath.Join(dir, name), roles: roles}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	for _, to := range []*string{&p.proxy, &p.admin, &p.store, &p.kafka} {
		var err error
		if *to, err = freePort(); err != nil {
			return nil, err
		}
	}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "GNOMON_") {
			p.env = append(p.env, kv)
		}
	}
	p.env = append(p.env, "CHAOS_CLOCK="+p.clock(), "GNOMON_DATA_DIR="+filepath.Join(p.dir, "data"), "GNOMON_PROXY__ADDR="+p.proxy, "GNOMON_ADMIN__ADDR="+p.admin,
		"GNOMON_CLICKHOUSE__LISTEN="+p.store, "GNOMON_KAFKA__LISTEN="+p.kafka, "GNOMON_PROVIDERS__OPENAI__BASE_URL="+upstream)
	p.env = append(p.env, o.env...)
	var err error
	p.log, err = os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	return p, err
}

var firstPort, portsGiven = 20_100 + os.Getpid()%100*100, 0

// freePort is an address that nothing listens at. It is below the ports that
// systems give to connections: one of those may be taken again before it is used.
// A driver keeps to a hundred of its own: beside it another would take the port of
// a process that is killed and not yet started again.
func freePort() (addr string, err error) {
	for range 100 {
		addr = fmt.Sprintf("127.0.0.1:%d", firstPort+portsGiven%100)
		portsGiven++
		var ln net.Listener
		if ln, err = net.Listen("tcp", addr); err == nil {
			return addr, ln.Close()
		}
	}
	return "", err
}

func (p *process) start() error {
	p.cmd = exec.Command(p.bin, "serve", "--roles", p.roles)
	p.cmd.Env, p.cmd.Dir = p.env, p.dir
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.pid.Store(int64(p.cmd.Process.Pid))
	go func() {
		if p.until(context.Background(), time.Minute, p.ready) != nil {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := len(p.away); n > 0 {
			p.away[n-1].to = time.Now()
		}
	}()
	return nil
}

// leaves notes that p is ended now.
func (p *process) leaves() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = append(p.away, span{from: time.Now()})
}

// wasAway says whether p was ended or starting in any moment of x.
func (p *process) wasAway(x span) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.away, func(a span) bool {
		return !x.to.Before(a.from) && (a.to.IsZero() || !x.from.After(a.to))
	})
}

// kill is kill -9, and waits until the kernel has taken it.
func (p *process) kill() {
	p.leaves()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// term asks it to end in good order.
func (p *process) term() {
	p.leaves()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(40 * time.Second):
		_ = p.cmd.Process.Kill()
		<-done
	}
}

func (p *process) stop() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) cont() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// child is the pid of its engine, 0 when there is none now.
func (p *process) child() int {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(p.cmd.Process.Pid)).Output()
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.Fields(string(out) + " 0")[0])
	return pid
}

func (p *process) ready() error {
	resp, err := http.Get("http://" + p.admin + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s is not ready: %s", p.name, body)
	}
	return nil
}

// until polls a condition.
func (p *process) until(ctx context.Context, limit time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s, after %v: %w", p.name, limit, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// writer is who may write to the store that p carries.
func (p *process) writer() (*url.Userinfo, error) {
	secret, err := os.ReadFile(filepath.Join(p.folder("engine"), "writer.secret"))
	return url.UserPassword("gnomon", strings.TrimSpace(string(secret))), err
}

// write has the store do something.
func (p *process) write(statement string) error {
	writer, err := p.writer()
	if err != nil {
		return err
	}
	to := url.URL{Scheme: "http", User: writer, Host: p.store, Path: "/"}
	resp, err := http.Post(to.String(), "text/plain", strings.NewReader(statement))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s: %s", errQuery, statement, body)
	}
	return nil
}

var errQuery = errors.New("query failed")

// rows asks the store as an analyst's curl would.
func (p *process) rows(query string) ([][]string, error) {
	client := http.Client{Timeout: 20 * time.Second}
	resp, err := client.Get("http://" + p.store + "/?query=" + url.QueryEscape(query))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: %s", errQuery, body)
	}
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(string(body)) {
		rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return rows, nil
}
