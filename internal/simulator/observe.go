package simulator

import (
	"strings"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy"
	"github.com/gnomon-llm/gnomon/schemas"
)

// proxyObserver is the proxy's own observer, told of simulated calls.
type proxyObserver struct {
	w *World
	o *proxy.Observer
}

func newObserver(w *World, cfg *HistoryConfig) *proxyObserver {
	return &proxyObserver{w, proxy.NewObserver(cfg.Project, func() *classifier.Snapshot { return cfg.Snapshot }, cfg.Prices)}
}

// request is what the proxy would know of a call.
func (p *proxyObserver) request(c *call) proxy.Request {
	wl := &p.w.Workloads[c.workload]
	return proxy.Request{
		Ts: c.ts, Provider: wl.Provider, Path: pathOf(wl.Provider), Dialect: dialectOf(wl.Provider), Operation: "chat",
		Feature: wl.Name, Team: wl.Team, User: c.user, Session: c.session,
		CredentialHash: hex(hash([]byte(keyOf(wl)))), Retry: c.retry, Simulated: true, Body: c.body,
	}
}

// event observes a call from its beginning to its end.
func (p *proxyObserver) event(c *call, s *served) schemas.RequestEvent {
	r := p.request(c)
	d := p.o.Decide(&r)
	a := proxy.Answer{
		HTTPStatus: s.httpStatus, Status: s.status, Body: s.body, Sent: true,
		Latency: s.latency, TTFT: s.first, Overhead: s.overhead,
	}
	return p.o.Event(&r, &d, &a)
}

func cutRoute(route string) (provider, model string) {
	provider, model, _ = strings.Cut(route, "/")
	return provider, model
}
