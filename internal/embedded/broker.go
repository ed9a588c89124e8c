package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// retentionEvery is how often old records are dropped.
const retentionEvery = time.Hour

// BrokerConfig says where the broker lives.
type BrokerConfig struct {
	Dir    string // its folder; made when absent
	Listen string // host:port on loopback; port 0 takes a free one
	Log    *slog.Logger
}

// Broker speaks Kafka's protocol in this process, with its log on disk.
//
// A record is acknowledged when it is in the operating system's page cache: it
// outlives kill -9, and a power failure may take the last seconds. Nothing is
// held here alone, so that is enough. Topics are not made by using them; a
// record expires by its topic's retention.ms, counted from the record's own time
// (a topic that states none keeps all); no topic is ever compacted.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	lock    *os.File
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once
}

// StartBroker opens the folder and listens until Close. Errors say what stood in the way: an
// address off loopback (there is no authentication), a taken port, a folder in use.
func StartBroker(_ context.Context, cfg BrokerConfig) (*Broker, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := loopback(cfg.Listen); err != nil {
		return nil, err
	}
	data := filepath.Join(cfg.Dir, "log")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("the broker's folder %s cannot be made: %w; choose another with data_dir", cfg.Dir, err)
	}
	b := &Broker{stop: make(chan struct{}), done: make(chan struct{})}
	var err error
	if b.lock, err = lockFolder(cfg.Dir, "broker"); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		_ = b.lock.Close()
		return nil, fmt.Errorf("the broker's address %s cannot be taken: %w; choose another with kafka.listen, or end the process that has it", cfg.Listen, err)
	}
	b.addr = ln.Addr().String()
	b.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return ln, nil }),
		kfake.DataDir(data),
		kfake.ClusterID("gnomon"),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms":           "-1",
			"log.retention.bytes":        "-1",
			"offsets.retention.minutes":  "129600", // 90 days: a gnomon that was off for a while goes on where it was
			"default.replication.factor": "1",
		}),
		kfake.WithLogger(brokerLog{cfg.Log.With("part", "broker")}),
	)
	if err != nil {
		_ = ln.Close()
		_ = b.lock.Close()
		return nil, fmt.Errorf("the broker cannot open its folder %s: %w; it holds no only copy, so it may be moved away and gnomon started again", cfg.Dir, err)
	}
	b.refuseCompaction()
	go b.keep()
	return b, nil
}

// Addr is the broker's host:port.
func (b *Broker) Addr() string { return b.addr }

// Close writes what is in memory and ends the broker.
func (b *Broker) Close() error {
	b.once.Do(func() { close(b.stop) })
	<-b.done
	return nil
}

// keep drops old records until the end.
func (b *Broker) keep() {
	defer close(b.done)
	tick := time.NewTicker(retentionEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.cluster.ApplyRetention()
			continue
		case <-b.stop:
		}
		b.cluster.Close()
		_ = b.lock.Close()
		return
	}
}

// loopback refuses an address that others could reach.
func loopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("kafka.listen: %q is no host:port: %w", listen, err)
	}
	if ip, err := netip.ParseAddr(host); strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("kafka.listen: %q is not on loopback, and the embedded broker has no authentication: use 127.0.0.1, or a Kafka cluster (kafka.brokers)", listen)
}

// refuseCompaction answers every request that would make a topic compacted with
// an error: the broker's compaction deletes all segments before it writes them
// again, so a crash within it loses the topic.
func (b *Broker) refuseCompaction() {
	refuse := func(req kmsg.Request) (kmsg.Response, error, bool) {
		if !wantsCompaction(req) {
			return nil, nil, false
		}
		return nil, errors.New("a compacted topic was asked for, and the embedded broker compacts nothing: use cleanup.policy=delete"), true
	}
	for _, key := range []kmsg.Key{kmsg.CreateTopics, kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs} {
		b.cluster.ControlKey(key.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
			b.cluster.KeepControl()
			return refuse(req)
		})
	}
}

func wantsCompaction(req kmsg.Request) bool {
	compacts := func(name string, value *string) bool {
		return name == "cleanup.policy" && value != nil && strings.Contains(*value, "compact")
	}
	switch r := req.(type) {
	case *kmsg.CreateTopicsRequest:
		for _, t := range r.Topics {
			for _, c := range t.Configs {
				if compacts(c.Name, c.Value) {
					return true
				}
			}
		}
	case *kmsg.AlterConfigsRequest:
		for _, t := range r.Resources {
			for _, c := range t.Configs {
				if compacts(c.Name, c.Value) {
					return true
				}
			}
		}
	case *kmsg.IncrementalAlterConfigsRequest:
		for _, t := range r.Resources {
			for _, c := range t.Configs {
				if compacts(c.Name, c.Value) {
					return true
				}
			}
		}
	}
	return false
}

// brokerLog hands the broker's log on, without its chatter about requests.
type brokerLog struct{ log *slog.Logger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error(fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn(fmt.Sprintf(format, args...))
	}
}
