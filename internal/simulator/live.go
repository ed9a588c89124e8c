package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// LiveConfig is how live traffic is sent.
type LiveConfig struct {
	// Proxy is the data plane's address, like http://127.0.0.1:8080.
	Proxy string
	// Rate is the requests a second, about; 5 when 0.
	Rate float64
	// Haste divides the time between the turns of a session; 10 when 0.
	Haste float64
	// Sent is told of every request's end; it may be nil and must not block.
	Sent func(status int, err error)
	// Run tells one run of the live traffic from another with the same seed:
	// its prompts are new. 0 takes the time.
	Run uint64
	// Client sends the requests; one of its own when nil.
	Client *http.Client
}

// LiveSummary counts live traffic.
type LiveSummary struct {
	Sent    int64 // requests that reached the proxy
	OK      int64 // answered with a status below 400, to the end
	Errors  int64 // answered with 400 and above
	Aborted int64 // left by the client before the end
	Broken  int64 // no answer, or one that broke off
}

// liveSessions bounds the sessions that go on at the same time.
const liveSessions = 64

// Live sends sessions of all workloads through the proxy until ctx ends, waits
// for those in flight, and says what was sent. Clients behave as in the history:
// they stream, retry as SDKs do, and sometimes leave early.
func (w *World) Live(ctx context.Context, cfg LiveConfig) (LiveSummary, error) {
	l := &liveTraffic{w: w, cfg: cfg}
	if err := l.prepare(); err != nil {
		return LiveSummary{}, err
	}
	r := stream(w.seed, l.cfg.Run, forLive)
	slots := make(chan struct{}, liveSessions)
	var wg sync.WaitGroup
	for k := uint32(0); ; k++ {
		n := l.pick(r)
		turns := sessionTurns(w.Workloads[n].rhythm, r)
		// A session of many turns makes room for itself: the rate is of requests.
		gap := r.ExpFloat64() * float64(turns) / l.cfg.Rate
		if !sleep(ctx, time.Duration(gap*float64(time.Second))) {
			break
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		seed := r.Uint64()
		wg.Go(func() {
			defer func() { <-slots }()
			l.session(ctx, n, turns, uint32(mix(l.cfg.Run, uint64(k), forLive)), stream(seed))
		})
	}
	wg.Wait()
	l.cfg.Client.CloseIdleConnections()
	return LiveSummary{Sent: l.sent.Load(), OK: l.ok.Load(), Errors: l.errors.Load(), Aborted: l.aborted.Load(), Broken: l.broken.Load()}, nil
}

type liveTraffic struct {
	w      *World
	cfg    LiveConfig
	shares []float64

	sent, ok, errors, aborted, broken atomic.Int64
}

func (l *liveTraffic) prepare() error {
	if !strings.HasPrefix(l.cfg.Proxy, "http") {
		return fmt.Errorf("live traffic: %q is not the address of a proxy; http://127.0.0.1:8080 is one", l.cfg.Proxy)
	}
	if l.cfg.Rate <= 0 {
		l.cfg.Rate = 5
	}
	if l.cfg.Haste <= 0 {
		l.cfg.Haste = 10
	}
	if l.cfg.Run == 0 {
		l.cfg.Run = uint64(time.Now().UnixNano())
	}
	if l.cfg.Client == nil {
		l.cfg.Client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: liveSessions, DisableCompression: true}}
	}
	sum := 0.0
	for _, wl := range l.w.Workloads {
		sum += wl.rhythm.daily / wl.rhythm.turns
		l.shares = append(l.shares, sum)
	}
	return nil
}

// pick chooses the next session's workload, by how many sessions each has.
func (l *liveTraffic) pick(r *rand.Rand) int {
	u := r.Float64() * l.shares[len(l.shares)-1]
	for n, s := range l.shares {
		if u < s {
			return n
		}
	}
	return len(l.shares) - 1
}

func (l *liveTraffic) session(ctx context.Context, n, turns int, key uint32, r *rand.Rand) {
	wl := &l.w.Workloads[n]
	c := l.w.begin(n, dayOf(time.Now()))
	id := ""
	if wl.sendSession {
		id = fmt.Sprintf("s-%02x%08x", n, key)
	}
	user := fmt.Sprintf("%s-%03d", wl.Team, int(200*r.Float64()*r.Float64()))
	for t := range turns {
		q := call{item: newItem(n, key, t, 1), workload: n, session: id, user: user, stream: r.Float64() < wl.streamed}
		q.body = c.ask(q.item, q.stream)
		if r.Float64() < wl.aborts {
			q.aborted = r.Float64()
		}
		if !l.send(ctx, q) {
			return
		}
		gap := lognormal(wl.rhythm.gap, .6, r.NormFloat64()) / l.cfg.Haste
		if t+1 < turns && !sleep(ctx, time.Duration(gap*float64(time.Second))) {
			return
		}
	}
}

// send makes one call, and again as an SDK would; false when it never went well.
func (l *liveTraffic) send(ctx context.Context, c call) bool {
	for retry := range 3 {
		status, err := l.once(ctx, &c, retry)
		if l.cfg.Sent != nil {
			l.cfg.Sent(status, err)
		}
		switch {
		case errors.Is(err, errLeft):
			l.aborted.Add(1)
			return false
		case err != nil:
			l.broken.Add(1)
			return false
		case status < 400:
			l.ok.Add(1)
			return true
		}
		l.errors.Add(1)
		if status != http.StatusTooManyRequests && status < 500 || !sleep(ctx, 200*time.Millisecond<<retry) {
			return false
		}
	}
	return false
}

var errLeft = errors.New("the client left")

// abortTime is how long a client waits for an answer that it leaves.
const abortTime = 120 * time.Millisecond

func (l *liveTraffic) once(ctx context.Context, c *call, retry int) (int, error) {
	// A request that was sent is finished: ctx only ends what has not begun.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	wl := &l.w.Workloads[c.workload]
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(l.cfg.Proxy, "/")+pathOf(wl.Provider), bytes.NewReader(c.body))
	if err != nil {
		return 0, err
	}
	l.headers(req, c, retry)
	if c.aborted > 0 {
		timer := time.AfterFunc(time.Duration(c.aborted*float64(abortTime)), cancel)
		defer timer.Stop()
	}
	l.sent.Add(1)
	resp, err := l.cfg.Client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if err != nil {
		if c.aborted > 0 && ctx.Err() != nil {
			return 0, errLeft
		}
		return 0, err
	}
	return resp.StatusCode, nil
}

func (l *liveTraffic) headers(req *http.Request, c *call, retry int) {
	wl := &l.w.Workloads[c.workload]
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("X-Stainless-Retry-Count", strconv.Itoa(retry))
	if wl.Provider == anthropic {
		h.Set("X-Api-Key", keyOf(wl))
		h.Set("Anthropic-Version", "2023-06-01")
		h.Set("User-Agent", "Anthropic/Go (simulated)")
	} else {
		h.Set("Authorization", "Bearer "+keyOf(wl))
		h.Set("User-Agent", "OpenAI/Python (simulated)")
	}
	if wl.Name != "" {
		h.Set("X-Gnomon-Feature", wl.Name)
	}
	h.Set("X-Gnomon-Team", wl.Team)
	h.Set("X-Gnomon-User", c.user)
	if c.session != "" {
		h.Set("X-Gnomon-Session", c.session)
	}
}

// keyOf is the key a team's clients send. It opens nothing: the simulated
// providers take any.
func keyOf(wl *Workload) string { return "simulated-" + wl.Team }
