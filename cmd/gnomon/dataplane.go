package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/spool"
	"github.com/gnomon-llm/gnomon/internal/tokens"
	"github.com/gnomon-llm/gnomon/proxy"
)

// headroom is memory that nobody touches, so that it takes none. The collector runs
// when the heap has doubled, and counts it in: of its own a proxy has so little that
// it would run more than ten times a second under load. Per stream it costs nothing,
// as a higher GOGC would.
var headroom = sync.OnceValue(func() []byte { return make([]byte, 16<<20) })

// openProxy opens the spool and makes the data plane over it.
func (n *node) openProxy() (err error) {
	_ = headroom()
	host, _ := os.Hostname()
	n.spool, err = spool.Open(spool.Config{Dir: filepath.Join(n.c.DataDir, "spool"), MaxBytes: int64(n.c.Spool.MaxMB) << 20, SyncEvery: n.c.Spool.SyncEvery, Proxy: host + ":" + n.c.DataDir, Log: n.log})
	if err != nil {
		return err
	}
	n.payloads = newPayloadQueue(n)
	n.registerGauges()
	cfg, err := n.proxyConfig(n.c)
	if err != nil {
		return err
	}
	n.proxy, err = proxy.New(cfg, n.spool, n.snapshots.get, n.book, n.payloads.offer, n.log, n.registry)
	if err != nil {
		return fmt.Errorf("data plane: %w", err)
	}
	n.recallPlaces()
	return nil
}

// proxyConfig is the data plane's part of a configuration. It reads the
// certificate's files.
func (n *node) proxyConfig(c *config.Config) (proxy.Config, error) {
	cert, err := c.Proxy.TLS.Certificate()
	if err != nil {
		return proxy.Config{}, fmt.Errorf("proxy.tls: %w", err)
	}
	if cert != nil && time.Until(cert.Leaf.NotAfter) < certificateNotice {
		n.log.Warn("the certificate of proxy.tls ends soon, or has ended: put a new one in its place, it is taken without a restart", "ends", cert.Leaf.NotAfter)
	}
	cfg := proxy.Config{
		Project: c.Project, MaxInFlight: c.Proxy.MaxInFlight, CaptureBytes: c.Proxy.CaptureBytes, CaptureTotal: c.Proxy.CaptureTotal, ConnectTimeout: c.Proxy.ConnectTimeout,
		HeaderTimeout: c.Proxy.HeaderTimeout, IdleTimeout: c.Proxy.IdleTimeout, TotalTimeout: c.Proxy.TotalTimeout, SendTimeout: c.Proxy.SendTimeout, DrainTimeout: c.Proxy.DrainTimeout, KeepPayload: c.RehearsalPermitted,
		Keys: n.keyring.find, RequireKey: c.Proxy.RequireKey, Tokens: tokens.Count, Certificate: cert,
	}
	for _, name := range sortedKeys(c.Providers) {
		p := c.Providers[name]
		row := proxy.Provider{
			Name: name, Dialect: p.Dialect, BaseURL: p.BaseURL, APIKey: p.APIKey, APIKeys: p.APIKeys, IncludeUsage: p.IncludeUsage, AllowPrivate: p.AllowPrivate, Simulated: n.opts.simulated,
			ConnectTimeout: p.ConnectTimeout, HeaderTimeout: p.HeaderTimeout, IdleTimeout: p.IdleTimeout, TotalTimeout: p.TotalTimeout,
			Retry: proxy.Retry{Budget: p.Retry.Budget, MaxWait: p.Retry.MaxWait}, Breaker: proxy.Breaker(p.Breaker),
		}
		if more := p.Retry.Attempts; more != nil {
			if row.Retry.Attempts = *more; *more == 0 {
				row.Retry.Attempts = -1 // none; there 0 is the default
			}
		}
		for _, h := range p.Hosts {
			row.Hosts = append(row.Hosts, proxy.Host(h))
		}
		cfg.Providers = append(cfg.Providers, row)
	}
	return cfg, nil
}

// certificateNotice is how long before a certificate's end the log speaks of it.
const certificateNotice = 14 * 24 * time.Hour

// registerGauges publishes what an operator alerts on.
func (n *node) registerGauges() {
	gauge := func(name, help string, f func() float64) {
		n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("gnomon_spool_bytes", "Bytes of events on disk that the store has not confirmed, or whose segment is not full.", func() float64 { return float64(n.spool.Stats().Bytes) })
	gauge("gnomon_spool_unacked_events", "Events that the store has not confirmed.", func() float64 { return float64(n.spool.Stats().Unacked) })
	n.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "gnomon_events_dropped_total", Help: "Events dropped because the spool's bound or its disk was reached.",
		ConstLabels: prometheus.Labels{"reason": "spool"}}, func() float64 { return float64(n.spool.Stats().Dropped) }))
	alarm := func(name, help string, standing func() activation.Standing) {
		gauge(name, help, func() float64 {
			if at := standing(); at.Alarm != "" || (!at.Current && time.Since(n.started) > snapshotPatience) {
				return 1
			}
			return 0
		})
	}
	alarm("gnomon_policy_alarm", "1 while the policy snapshot stands against the policy topic.", n.keeper.Standing)
	gauge("gnomon_policy_age_seconds", "For how long the policies that hold may be out of date, because their topic is not followed; 0 while it is.", func() float64 { return n.keeper.Standing().Age.Seconds() })
	alarm("gnomon_key_alarm", "1 while the key snapshot stands against the key topic.", n.keys.Standing)
}
