package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target is one gateway under measurement.
type target struct {
	name    string
	addr    string
	headers string // lines that it wants with each request
	admin   string // of a gnomon: metrics and profiles
	cmd     *exec.Cmd
}

// fleet is every process of a run.
type fleet struct {
	dir      string
	standin  *target
	targets  []*target
	portkey  *target // answers small requests only; nil: not there
	backends []*exec.Cmd
}

// Which processor does what.
const (
	cpuTarget = "0"
	cpuRest   = "1"
)

// start brings up the stand-in and every target that is there.
func (f *fleet) start(o *options) (err error) {
	if f.dir, err = os.MkdirTemp("", "gnomon-bench-*"); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	wanted := func(name string) bool {
		return o.only == "" || slices.Contains(strings.Split(o.only, ","), name)
	}
	pin(os.Getpid(), cpuRest)
	if f.standin, err = f.launch("direct", cpuRest, nil, self, "standin", "-addr"); err != nil {
		return err
	}
	env := []string{envUpstream + "=http://" + f.standin.addr}
	for _, floor := range []string{"gin", "reverse"} {
		if !wanted(floor) {
			continue
		}
		t, err := f.launch(floor, cpuTarget, env, self, floor, "-addr")
		if err != nil {
			return err
		}
		f.targets = append(f.targets, t)
	}
	if bin, err := exec.LookPath("nginx"); err == nil && wanted("nginx") {
		if err := f.nginx(bin); err != nil {
			return err
		}
	}
	if o.portkey != "" && wanted("portkey") {
		if err := f.startPortkey(o.portkey); err != nil {
			return err
		}
	}
	for _, pair := range append([]string{"gnomon=" + o.bin}, o.extra...) {
		name, bin, _ := strings.Cut(pair, "=")
		if wanted(name) || len(o.extra) > 0 && name != "gnomon" {
			if err := f.gnomon(name, bin); err != nil {
				return err
			}
		}
	}
	return nil
}

// launch starts a process whose last argument is its address, and waits until it
// listens.
func (f *fleet) launch(name, cpu string, env []string, argv ...string) (*target, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	t := &target{name: name, addr: addr}
	if t.cmd, err = f.spawn(name, cpu, env, append(argv, addr)...); err != nil {
		return nil, err
	}
	return t, t.untilListens()
}

// spawn starts a process on one processor; its output goes to a file.
func (f *fleet) spawn(name, cpu string, env []string, argv ...string) (*exec.Cmd, error) {
	log, err := os.Create(filepath.Join(f.dir, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if _, err := exec.LookPath("taskset"); err == nil {
		argv = append([]string{"taskset", "-c", cpu}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = append(os.Environ(), env...), f.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return cmd, nil
}

func (t *target) untilListens() error {
	return until(20*time.Second, t.name+" listens", func() error {
		c, err := net.Dial("tcp", t.addr)
		if err == nil {
			c.Close()
		}
		return err
	})
}

func (f *fleet) nginx(bin string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	conf := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 16000; pid nginx.pid; error_log stderr crit;
events { worker_connections 16000; }
http {
  client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  access_log off; tcp_nodelay on; keepalive_requests 1000000000; client_max_body_size 64m; client_body_buffer_size 2m;
  upstream standin { server %s; keepalive 1024; keepalive_requests 1000000000; }
  server {
    listen %s backlog=4096;
    location / { proxy_pass http://standin; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}
`, f.standin.addr, addr)
	path := filepath.Join(f.dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		return err
	}
	t := &target{name: "nginx", addr: addr}
	if t.cmd, err = f.spawn("nginx", cpuTarget, nil, bin, "-p", f.dir, "-c", path); err != nil {
		return err
	}
	f.targets = append(f.targets, t)
	return t.untilListens()
}

// startPortkey starts an installed @portkey-ai/gateway, whose provider each request
// names. It passes on no header that asks the stand-in for a stream.
func (f *fleet) startPortkey(folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	t := &target{name: "portkey", addr: addr, headers: "X-Portkey-Provider: openai\r\nX-Portkey-Custom-Host: http://" + f.standin.addr + "/v1\r\n"}
	env := []string{"NODE_ENV=production", "TRUSTED_CUSTOM_HOSTS=127.0.0.1,localhost"}
	if t.cmd, err = f.spawn(t.name, cpuTarget, env, "node", filepath.Join(folder, "build", "start-server.js"), "--headless", "--port="+port); err != nil {
		return err
	}
	f.portkey = t
	return t.untilListens()
}

// gnomon starts a gnomon as an operator would beyond one machine: the proxy role
// alone, and a second process with everything else.
func (f *fleet) gnomon(name, bin string) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	if _, err := os.Stat(bin); err != nil {
		return fmt.Errorf("%s: %w; make build makes it", name, err)
	}
	var addrs [5]string
	for i := range addrs {
		if addrs[i], err = freeAddr(); err != nil {
			return err
		}
	}
	proxy, admin, backAdmin, store, kafka := addrs[0], addrs[1], addrs[2], addrs[3], addrs[4]
	common := []string{"GNOMON_PROVIDERS__OPENAI__BASE_URL=http://" + f.standin.addr, "GNOMON_LOG__LEVEL=warn", "GNOMON_PROXY__ADDR=" + proxy}
	back, err := f.spawn(name+"-back", cpuRest, append(common, "GNOMON_DATA_DIR="+filepath.Join(f.dir, name+"-back"), "GNOMON_ADMIN__ADDR="+backAdmin,
		"GNOMON_CLICKHOUSE__LISTEN="+store, "GNOMON_KAFKA__LISTEN="+kafka), bin, "serve", "--roles", "ingest,analyze,console,rehearse")
	if err != nil {
		return err
	}
	f.backends = append(f.backends, back)
	if err := until(60*time.Second, name+"'s store and broker are up", func() error { return ready(backAdmin) }); err != nil {
		return err
	}
	yield(back.Process.Pid)
	t := &target{name: name, addr: proxy, admin: admin}
	if t.cmd, err = f.spawn(name, cpuTarget, append(common, "GNOMON_DATA_DIR="+filepath.Join(f.dir, name), "GNOMON_ADMIN__ADDR="+admin, "GNOMON_KAFKA__BROKERS="+kafka,
		"GNOMON_SPOOL__MAX_MB=8192"), bin, "serve", "--roles", "proxy"); err != nil {
		return err
	}
	f.targets = append(f.targets, t)
	return until(30*time.Second, name+" is ready", func() error { return ready(admin) })
}

// yield has a process and its children run when their processor has nothing else to
// do: they share the load's and the stand-in's, and what they took from those would be
// measured as the target's slowness. Where there is no chrt they do not yield.
func yield(pid int) {
	pids := []string{strconv.Itoa(pid)}
	if children, err := exec.Command("pgrep", "-P", pids[0]).Output(); err == nil {
		pids = append(pids, strings.Fields(string(children))...)
	}
	for _, p := range pids {
		_ = exec.Command("chrt", "--all-tasks", "--idle", "--pid", "0", p).Run()
	}
}

func ready(admin string) error {
	resp, err := http.Get("http://" + admin + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}

// metric reads one figure of a gnomon, its sum over labels.
func (t *target) metric(name string) (float64, error) {
	resp, err := http.Get("http://" + t.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.SplitSeq(string(raw), "\n") {
		if strings.HasPrefix(line, name) {
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				return 0, err
			}
			sum += v
		}
	}
	return sum, nil
}

// settle waits until what a target still works at is done: gnomon ships events
// after their answers, which is part of what a request costs.
func (t *target) settle() error {
	if t.admin == "" {
		return nil
	}
	return until(120*time.Second, t.name+" has shipped its events", func() error {
		n, err := t.metric("gnomon_spool_unacked_events")
		if err == nil && n > 0 {
			err = fmt.Errorf("%v are not confirmed", n)
		}
		return err
	})
}

func (f *fleet) stop() {
	end := func(cmd *exec.Cmd) {
		if cmd == nil || cmd.Process == nil {
			return
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		killer := time.AfterFunc(15*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		killer.Stop()
	}
	for _, t := range f.targets {
		end(t.cmd)
	}
	if f.portkey != nil {
		end(f.portkey.cmd)
	}
	for _, cmd := range f.backends {
		end(cmd)
	}
	if f.standin != nil {
		end(f.standin.cmd)
	}
	_ = os.RemoveAll(f.dir)
	f.targets, f.portkey, f.backends, f.standin = nil, nil, nil, nil
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// until polls a condition.
func until(limit time.Duration, what string, check func() error) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("waited %v until %s", limit, what), err)
		}
	}
}

// pin keeps this process on a processor; without taskset nothing is pinned.
func pin(pid int, cpu string) {
	_ = exec.Command("taskset", "-acp", cpu, strconv.Itoa(pid)).Run()
}

// cpu is the processor time that a process's threads have used. schedstat counts
// nanoseconds where stat counts ticks of 10 ms, too coarse for a short round.
func (t *target) cpu() (time.Duration, error) {
	dir := fmt.Sprintf("/proc/%d/task", t.cmd.Process.Pid)
	threads, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, thread := range threads {
		raw, err := os.ReadFile(filepath.Join(dir, thread.Name(), "schedstat"))
		if err != nil {
			return 0, err
		}
		ran, _, _ := strings.Cut(string(raw), " ")
		ns, err := strconv.ParseInt(ran, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// resident is a process's resident memory in bytes.
func (t *target) resident() (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", t.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm: %q", t.cmd.Process.Pid, raw)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
