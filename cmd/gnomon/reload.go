package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gnomon-llm/gnomon/internal/config"
)

// reloadEvery is how often the configuration's files are looked at.
const reloadEvery = 2 * time.Second

// watchConfig loads the configuration again on SIGHUP, and when its file, or a
// file that it names (a provider's key, weights, a certificate), has changed and then stayed the same for a
// look: a file half written is not taken.
func (n *node) watchConfig(ctx context.Context) error {
	if n.opts.load == nil {
		return nil
	}
	n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gnomon_config_alarm", Help: "1 while the configuration on disk has a fault and is not the one in force."}, func() float64 {
		if n.reloadFailed.Load() {
			return 1
		}
		return 0
	}))
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	look := time.NewTicker(cmp.Or(n.opts.look, reloadEvery))
	defer look.Stop()
	taken := n.configSeen
	last := taken
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			taken = n.configFiles()
		case <-look.C:
			now := n.configFiles()
			steady := now == last
			if last = now; !steady || now == taken {
				continue
			}
			taken = now
		}
		n.reload()
	}
}

// configFiles tells whether files have changed: a sum of their bytes.
func (n *node) configFiles() [sha256.Size]byte {
	now := n.live.Load()
	files := []string{n.opts.configFile, now.Proxy.TLS.CertFile, now.Proxy.TLS.KeyFile, now.Classifier.Weights}
	for _, name := range sortedKeys(now.Providers) {
		if f := now.Providers[name].APIKeyFile; f != "" {
			files = append(files, f)
		}
		files = append(files, now.Providers[name].APIKeyFiles...)
	}
	h := sha256.New()
	for _, f := range files {
		raw, err := os.ReadFile(f)
		fmt.Fprintf(h, "%s\x00%v\x00%d\x00%s", f, err != nil, len(raw), raw)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// reload puts the configuration as it is now in force, as far as a running
// gnomon can. One with a fault changes nothing.
func (n *node) reload() {
	next, err := n.opts.load()
	if err == nil {
		err = n.apply(next)
	}
	n.reloadFailed.Store(err != nil)
	if err != nil {
		n.log.Error("the configuration has a fault: the one before stays in force", "err", err)
	}
}

// apply puts next in force.
func (n *node) apply(next *config.Config) error {
	now := n.live.Load()
	merged := *next
	var waits []string
	for key, field := range fixed(&merged) {
		was := fixed(now)[key]
		if !reflect.DeepEqual(reflect.ValueOf(was).Elem().Interface(), reflect.ValueOf(field).Elem().Interface()) {
			waits = append(waits, key)
			reflect.ValueOf(field).Elem().Set(reflect.ValueOf(was).Elem())
		}
	}
	if merged.Proxy.TLS.On() != now.Proxy.TLS.On() {
		waits = append(waits, "proxy.tls")
		merged.Proxy.TLS = now.Proxy.TLS
	}
	model, err := readWeights(merged.Classifier.Weights)
	if err != nil {
		return fmt.Errorf("classifier.weights: %w", err)
	}
	if n.proxy != nil {
		cfg, err := n.proxyConfig(&merged)
		if err == nil {
			err = n.proxy.Reload(cfg)
		}
		if err != nil {
			return err
		}
	}
	n.snapshots.setKnowledge(ladders(&merged), providersOf(&merged), merged.Proxy.DraftThreshold, model)
	n.live.Store(&merged)
	n.log.Info("the configuration was loaded again", "providers", len(merged.Providers))
	if len(waits) > 0 {
		n.log.Warn("some of what has changed is taken at the next start", "keys", waits)
	}
	return nil
}

// fixed is what a running gnomon cannot change: addresses, folders, engines, and
// what its parts were started with.
func fixed(c *config.Config) map[string]any {
	return map[string]any{
		"project": &c.Project, "data_dir": &c.DataDir, "proxy.addr": &c.Proxy.Addr, "admin": &c.Admin, "kafka": &c.Kafka, "clickhouse": &c.ClickHouse,
		"engine": &c.Engine, "spool": &c.Spool, "observe.every": &c.Observe.Every, "log": &c.Log,
	}
}
