package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/embedded"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/internal/store"
	"github.com/gnomon-llm/gnomon/schemas"
)

// brokers is where Kafka is: the configured cluster, or the embedded broker.
func brokers(c *config.Config) []string {
	if len(c.Kafka.Brokers) > 0 {
		return c.Kafka.Brokers
	}
	return []string{c.Kafka.Listen}
}

func (n *node) pipelineConfig() pipeline.Config {
	cfg := clientConfig(n.c)
	cfg.ClientID, cfg.Log, cfg.Metrics = "gnomon", n.log, n.registry
	return cfg
}

// clientConfig is how any command reaches the broker.
func clientConfig(c *config.Config) pipeline.Config {
	k := &c.Kafka
	return pipeline.Config{
		Brokers: brokers(c), ClientID: "gnomon-cli", TLS: clientTLS(k.TLS),
		SASL:       pipeline.SASL{Mechanism: k.SASL.Mechanism, Username: k.SASL.Username, Password: k.SASL.Password},
		Partitions: k.Partitions, Replication: k.Replication, NoCreate: !k.CreateTopics,
	}
}

// storeOptions is how any command reaches the store.
func storeOptions(c *config.Config, dsn string, log *slog.Logger) store.Options {
	return store.Options{DSN: dsn, TLS: clientTLS(c.ClickHouse.TLS), Log: log}
}

// clientTLS reads the files again that could be read when the configuration was
// loaded; should they be gone, whoever is not known to the system is not trusted.
func clientTLS(t config.TLS) *tls.Config {
	c, err := t.Client()
	if err != nil {
		return &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return c
}

// dialects are what a configured row can be spoken to in.
var dialects = map[string][]string{
	"openai":    {"openai.chat", "openai.completions", "openai.responses", "openai.embeddings"},
	"anthropic": {"anthropic.messages"},
	"gemini":    {"gemini.generate"},
}

// providersOf is the configured rows as a decision sees them.
func providersOf(c *config.Config) []classifier.Provider {
	var list []classifier.Provider
	for _, name := range sortedKeys(c.Providers) {
		p := c.Providers[name]
		list = append(list, classifier.Provider{Name: name, Dialects: dialects[p.Dialect], Credential: p.APIKey != ""})
	}
	return list
}

// ladders are the configured ones, or the built-in, dated ones.
func ladders(c *config.Config) []classifier.Ladder {
	if len(c.Ladders) == 0 {
		return classifier.BuiltinLadders()
	}
	list := make([]classifier.Ladder, len(c.Ladders))
	for i, l := range c.Ladders {
		list[i] = classifier.Ladder{Baseline: l.Baseline, Candidates: l.Candidates}
	}
	return list
}

// bringUpBroker starts the embedded broker where one is needed and makes the
// topics. close ends it.
func (n *node) bringUpBroker(ctx context.Context) (err error) {
	if len(n.c.Kafka.Brokers) == 0 {
		if n.broker, err = n.startBroker(ctx); err != nil {
			return fmt.Errorf("embedded broker: %w", err)
		}
	}
	said := ""
	return retry(ctx, func() error {
		err := pipeline.EnsureTopics(ctx, n.pipelineConfig())
		if err == nil {
			n.brokerIs.outage.Store(nil)
			close(n.brokerUp)
		} else if text := err.Error(); said != text && ctx.Err() == nil {
			said = text
			n.log.Error("the broker cannot be used yet: traffic flows, events wait on disk", "brokers", brokers(n.c), "err", err)
		}
		return err
	})
}

// startBroker starts the embedded broker. It holds no only copy: a folder that it
// cannot read is set aside, and what the store has not confirmed is shipped again.
func (n *node) startBroker(ctx context.Context) (*embedded.Broker, error) {
	dir := filepath.Join(n.c.DataDir, "broker")
	start := func() (*embedded.Broker, error) {
		return embedded.StartBroker(ctx, embedded.BrokerConfig{Dir: dir, Listen: n.c.Kafka.Listen, Log: n.log})
	}
	b, err := start()
	if err == nil || errors.Is(err, syscall.EADDRINUSE) || strings.Contains(err.Error(), "in use") {
		return b, err
	}
	aside := fmt.Sprintf("%s.damaged-%d", dir, time.Now().Unix())
	if renamed := os.Rename(dir, aside); renamed != nil {
		return nil, errors.Join(err, renamed)
	}
	n.log.Error("the embedded broker cannot use its folder: it was set aside, and a new one is begun", "was", dir, "is", aside, "err", err)
	return start()
}

// bringUpStore starts the embedded engine where one is needed, and migrates.
func (n *node) bringUpStore(ctx context.Context) (err error) {
	if n.embedsStore() {
		if n.engine, err = startEngine(ctx, n.c, n.log); err != nil {
			return err
		}
	}
	said := ""
	err = retry(ctx, func() error {
		err := n.openStore(ctx)
		if err != nil && said != err.Error() && ctx.Err() == nil {
			said = err.Error()
			n.log.Error("the store does not answer: events wait in the broker", "err", err)
		}
		return err
	})
	if err != nil || ctx.Err() != nil {
		return err
	}
	n.storeIs.outage.Store(nil)
	close(n.storeUp)
	if n.onStoreUp != nil {
		n.onStoreUp()
	}
	return nil
}

func (n *node) openStore(ctx context.Context) error {
	if n.roles.ingest && n.writer == nil {
		dsn, err := writeDSN(n.c)
		if err != nil {
			return err
		}
		w, err := store.Open(ctx, storeOptions(n.c, dsn, n.log))
		if err != nil {
			return storeAway(n.c, err)
		}
		if err := w.Migrate(ctx); err != nil {
			_ = w.Close()
			return err
		}
		n.writer = w
	}
	r, err := store.Open(ctx, storeOptions(n.c, readDSN(n.c), n.log))
	if err != nil {
		return storeAway(n.c, err)
	}
	n.reader.Store(r)
	return nil
}

// startEngine starts the embedded engine as c says.
func startEngine(ctx context.Context, c *config.Config, log *slog.Logger) (*embedded.Engine, error) {
	library, err := embedded.FindLibrary(c.Engine.Library)
	if err != nil {
		return nil, err
	}
	password, err := embedded.WriterPassword(engineDir(c), c.ClickHouse.PasswordFile)
	if err != nil {
		return nil, err
	}
	return embedded.StartEngine(ctx, embedded.EngineConfig{
		Library: library, Dir: engineDir(c), Listen: c.ClickHouse.Listen, WriterPassword: password,
		MemoryBytes: int64(c.Engine.MemoryMB) << 20, Log: log,
	})
}

// retry calls f until it succeeds or ctx ends, a little slower each time.
func retry(ctx context.Context, f func() error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		if f() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// ingest moves topics into the store once both are there.
func (n *node) ingest(ctx context.Context) error {
	for _, up := range []chan struct{}{n.brokerUp, n.storeUp} {
		select {
		case <-ctx.Done():
			return nil
		case <-up:
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel()
	beside.Go(func() { n.writer.KeepRollup(ctx) })
	beside.Go(func() { n.keepAccounts(ctx, n.writer) })
	if err := pipeline.Ingest(ctx, n.pipelineConfig(), n.writer); err != nil && ctx.Err() == nil {
		return fmt.Errorf("ingest: %w", err)
	}
	return nil
}

func (n *node) followEvidence(ctx context.Context) error {
	return pipeline.FollowLog(ctx, n.pipelineConfig(), schemas.TopicEvidence, pipeline.Follow{
		Record:   func(m pipeline.Message) { n.snapshots.addEvidence(m.Value) },
		CaughtUp: func(int64) { n.snapshots.evidenceCurrent() },
	})
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
