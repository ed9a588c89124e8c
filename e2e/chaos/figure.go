package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// figure is the load that has to be held: so many requests a second for so long,
// undisturbed, and then as long again while broker, store and every process die
// once. What clients feel of it is the second half beside the first, of one run.
type figure struct {
	rate    int
	seconds int           // of each half
	takes   time.Duration // the provider's time for an answer

	w      *world
	client *http.Client
	calls  []call
	next   atomic.Int64
	memory [2]map[string]int64 // by half and process, the most resident bytes
	half   atomic.Int32
}

// call is one request, at its number.
type call struct {
	half  int8
	whole bool
	asked atomic.Int32
	lag   time.Duration // the generator's: from when it should have been sent to when it was
	took  time.Duration // from when it was sent to the answer's end
	rows  uint8         // in the store, declared ones apart
}

const (
	mostShare  = 1.2      // of the undisturbed p99
	mostMemory = 64 << 20 // more than undisturbed, of a proxy
)

func (f *figure) provider() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.Header.Get("x-chaos-name"))
		_, _ = io.Copy(io.Discard, r.Body)
		if err == nil && n < len(f.calls) {
			f.calls[n].asked.Add(1)
		}
		time.Sleep(f.takes)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":150,"completion_tokens":5,"total_tokens":155}}`)
	}))
}

// measure runs both halves and says what came of them; an error names the first
// figure that was missed.
func (f *figure) measure(ctx context.Context, o options) (err error) {
	dir, err := os.MkdirTemp("", "gnomon-figure-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f.calls = make([]call, 2*f.rate*f.seconds+f.rate)
	f.memory = [2]map[string]int64{{}, {}}
	p := f.provider()
	defer p.Close()
	defer p.CloseClientConnections()
	if f.w, err = build(ctx, o, dir, p.URL, nil); f.w != nil {
		defer f.w.close(false)
	}
	if err != nil {
		return err
	}
	f.client = &http.Client{Transport: &http.Transport{MaxIdleConns: 4000, MaxIdleConnsPerHost: 2000}, Timeout: 30 * time.Second}
	defer f.client.CloseIdleConnections()
	watching, enough := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() { f.watchMemory(watching) })
	f.send(ctx, 3*time.Second, -1) // connections are made, pages are touched
	fmt.Printf("%d requests/s, the provider takes %v, %d s undisturbed ...\n", f.rate, f.takes, f.seconds)
	f.send(ctx, time.Duration(f.seconds)*time.Second, 0)
	fmt.Printf("... and %d s in which every process is killed once, and broker and store are dead for %d s\n", f.seconds, f.seconds/5)
	f.half.Store(1)
	disturbed := make(chan error, 1)
	go func() { disturbed <- f.disturb(ctx) }()
	f.send(ctx, time.Duration(f.seconds)*time.Second, 1)
	ended := time.Now()
	err = <-disturbed
	if err == nil {
		err = f.w.back.until(ctx, 5*time.Minute, func() error { return f.w.settled(ended) })
	}
	fmt.Printf("everything accounted for %.0f s after the load's end\n", time.Since(ended).Seconds())
	enough()
	wait.Wait()
	return errors.Join(err, f.judge())
}

// disturb kills each process once; the broker, and the store with it, stays dead
// for a fifth of the time.
func (f *figure) disturb(ctx context.Context) error {
	part := time.Duration(f.seconds) * time.Second / 20
	at := func(n int, began time.Time) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(began.Add(time.Duration(n) * part))):
		}
	}
	began := time.Now()
	at(1, began)
	if pid := f.w.back.child(); pid != 0 { // the engine alone
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return err
		}
	}
	at(3, began)
	f.w.back.kill()
	at(7, began)
	if err := f.w.back.start(); err != nil {
		return err
	}
	for i, p := range append([]*process{f.w.beside}, f.w.fronts...) {
		at(11+3*i, began)
		p.kill()
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

// send sends at the rate for so long, each request when its moment has come,
// however the others fare.
func (f *figure) send(ctx context.Context, d time.Duration, half int8) {
	every := time.Second / time.Duration(f.rate)
	began := time.Now()
	var wait sync.WaitGroup
	for i := 0; ctx.Err() == nil; i++ {
		due := began.Add(time.Duration(i) * every)
		if due.Sub(began) >= d {
			break
		}
		if ahead := time.Until(due); ahead > 0 {
			time.Sleep(ahead)
		}
		n := int(f.next.Add(1)) - 1
		if n >= len(f.calls) {
			break
		}
		wait.Go(func() { f.one(n, half, due) })
	}
	wait.Wait()
}

const figureBody = `{"model":"gpt-4o","messages":[{"role":"system","content":"You answer questions of customers about their orders, briefly and politely."},{"role":"user","content":"Where is my order %d? I have waited for it since last week, and the page says that it is on its way."}]}`

// one sends request n. A proxy that refuses the connection is passed over for the
// next one, as a balancer in front of them does.
func (f *figure) one(n int, half int8, due time.Time) {
	c := &f.calls[n]
	c.half = half
	began := time.Now()
	c.lag = began.Sub(due)
	for try := range f.w.fronts {
		front := f.w.fronts[(n+try)%len(f.w.fronts)]
		req, err := http.NewRequest(http.MethodPost, "http://"+front.proxy+"/v1/chat/completions", strings.NewReader(fmt.Sprintf(figureBody, n)))
		if err != nil {
			panic(err)
		}
		req.GetBody = nil // a request is sent once
		req.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer chaos"}, "X-Gnomon-Feature": {"load"},
			"X-Gnomon-User": {"n-" + strconv.Itoa(n)}, "X-Chaos-Name": {strconv.Itoa(n)}}
		resp, err := f.client.Do(req)
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			continue
		}
		if err != nil {
			return
		}
		raw, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		c.whole = err == nil && resp.StatusCode == http.StatusOK && len(raw) > 0
		c.took = time.Since(began)
		return
	}
}

// watchMemory notes the most that each process holds, by half.
func (f *figure) watchMemory(ctx context.Context) {
	for ctx.Err() == nil {
		of := f.memory[f.half.Load()]
		for _, p := range f.w.all() {
			of[p.name] = max(of[p.name], p.resident())
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// resident is what p holds in memory, its engine apart; 0 while it is gone.
func (p *process) resident() int64 {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(int(p.pid.Load())), "statm"))
	fields := strings.Fields(string(raw))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// judge prints the figures and says which are missed.
func (f *figure) judge() error {
	declared, err := f.readRows()
	if err != nil {
		return err
	}
	var missed []error
	var sent, whole, unanswered, lost, twice, unasked, open int
	for i := range f.calls[:min(int(f.next.Load()), len(f.calls))] {
		c := &f.calls[i]
		sent++
		switch {
		case c.whole:
			whole++
		default:
			unanswered++
		}
		if c.rows > 1 || c.asked.Load() > 1 {
			twice++
		}
		switch {
		case c.rows > 0:
		case c.whole:
			lost++
		case c.asked.Load() == 0:
			unasked++
		default:
			open++
		}
	}
	fmt.Printf("%d sent, %d answered whole, %d not (their proxy was killed under them); lost %d, twice %d; %d reached the provider without an answer or a row, %d are declared\n",
		sent, whole, unanswered, lost, twice, open, declared)
	if lost > 0 || twice > 0 || open > declared {
		missed = append(missed, fmt.Errorf("lost %d, twice %d, not declared %d", lost, twice, max(open-declared, 0)))
	}
	p99 := [2]time.Duration{}
	for half, name := range []string{"undisturbed", "disturbed"} {
		var took, lag []time.Duration
		for i := range f.calls {
			if c := &f.calls[i]; c.whole && int(c.half) == half {
				took, lag = append(took, c.took), append(lag, c.lag)
			}
		}
		slices.Sort(took)
		slices.Sort(lag)
		p99[half] = quantile(took, 0.99)
		fmt.Printf("%-12s %7d answers, p50 %v, p99 %v, p99.9 %v; the generator was late by %v at p99\n", name, len(took),
			quantile(took, 0.5), p99[half], quantile(took, 0.999), quantile(lag, 0.99))
	}
	share := float64(p99[1]) / float64(max(p99[0], 1))
	fmt.Printf("p99 disturbed / undisturbed: %.2f (at most %.1f)\n", share, mostShare)
	if share > mostShare {
		missed = append(missed, fmt.Errorf("the client's p99 is %.2f of the undisturbed one", share))
	}
	for _, p := range f.w.all() {
		more := f.memory[1][p.name] - f.memory[0][p.name]
		fmt.Printf("memory of %-8s %4d MB undisturbed, %4d MB disturbed (%+d)\n", p.name, f.memory[0][p.name]>>20, f.memory[1][p.name]>>20, more>>20)
		if p.roles == "proxy" && more > mostMemory {
			missed = append(missed, fmt.Errorf("%s took %d MB more", p.name, more>>20))
		}
	}
	return errors.Join(missed...)
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Round(10 * time.Microsecond)
}

// readRows counts each request's rows, and returns how many are declared.
func (f *figure) readRows() (declared int, err error) {
	gone, err := f.w.back.rows("SELECT toUInt64(sum(declared)) FROM gnomon.completeness")
	if err != nil {
		return 0, err
	}
	if declared, err = strconv.Atoi(gone[0][0]); err != nil {
		return 0, err
	}
	const query = "SELECT substring(user_id, 3) FROM gnomon.requests FINAL WHERE status != 'lost' SETTINGS max_execution_time = 300, max_threads = 2"
	resp, err := http.Get("http://" + f.w.back.store + "/?query=" + url.QueryEscape(query))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		n, err := strconv.Atoi(lines.Text())
		if err != nil || n >= len(f.calls) {
			return 0, fmt.Errorf("the store answered %.200q", lines.Text())
		}
		f.calls[n].rows = min(f.calls[n].rows+1, 9)
	}
	return declared, lines.Err()
}
