package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// How long one exchange with the broker may take, and how long a fetch waits
// there for news.
const (
	exchange  = 10 * time.Second
	fetchWait = 500 * time.Millisecond
)

// cluster is a client's view of the broker: connections that mend themselves.
type cluster struct {
	cfg       Config
	log       *slog.Logger
	transport *kafka.Transport
	client    *kafka.Client

	mu    sync.Mutex
	reset time.Time
	conns map[*tracked]struct{}
}

// tracked is a connection that close can end: an exchange that was given up
// would otherwise hold its goroutine until the broker answers.
type tracked struct {
	net.Conn
	k *cluster
}

func (c *tracked) Close() error {
	c.k.mu.Lock()
	delete(c.k.conns, c)
	c.k.mu.Unlock()
	return c.Conn.Close()
}

func (k *cluster) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &tracked{conn, k}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conns == nil { // closed
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	k.conns[c] = struct{}{}
	return c, nil
}

func connect(cfg Config) (*cluster, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	who, err := cfg.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	// The topics' layout is asked for anew after every error (forget), so the
	// periodic look may be slow.
	k := &cluster{cfg: cfg, log: cfg.Log, conns: map[*tracked]struct{}{}}
	k.transport = &kafka.Transport{
		ClientID: cfg.ClientID, DialTimeout: 5 * time.Second, IdleTimeout: time.Minute, MetadataTTL: 10 * time.Second, Dial: k.dial,
		TLS: cfg.TLS, SASL: who,
	}
	// Without a Timeout the client grants a broker 500 ms to have a write on all
	// replicas; the broker then answers "timed out", keeps the records, and they
	// would be sent again. With it, half of what is left of an exchange.
	k.client = &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: k.transport, Timeout: 2 * exchange}
	return k, nil
}

func (k *cluster) close() {
	k.transport.CloseIdleConnections()
	k.mu.Lock()
	open := k.conns
	k.conns = nil
	k.mu.Unlock()
	for c := range open {
		_ = c.Conn.Close()
	}
}

// forget drops idle connections and what is known of the cluster: after a
// broker's restart each would fail once, and leaders may have moved.
func (k *cluster) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.reset) < 50*time.Millisecond {
		return
	}
	k.reset = time.Now()
	k.transport.CloseIdleConnections()
}

// partitions is how many a topic has.
func (k *cluster) partitions(ctx context.Context, topic string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	res, err := k.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, err
	}
	for _, t := range res.Topics {
		if t.Name == topic {
			if t.Error != nil {
				return 0, t.Error
			}
			return len(t.Partitions), nil
		}
	}
	return 0, kafka.UnknownTopicOrPartition
}

// ends returns a partition's first offset and the one after its last.
func (k *cluster) ends(ctx context.Context, topic string, partition int) (first, last int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	res, err := k.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)},
	}})
	if err != nil {
		return 0, 0, err
	}
	for _, p := range res.Topics[topic] {
		if p.Partition == partition {
			if p.Error == nil && (p.FirstOffset < 0 || p.LastOffset < 0) {
				p.Error = fmt.Errorf("offsets of %s/%d were not told", topic, partition)
			}
			return p.FirstOffset, p.LastOffset, p.Error
		}
	}
	return 0, 0, kafka.UnknownTopicOrPartition
}

// produce writes one batch and returns the offset of its first record.
func (k *cluster) produce(ctx context.Context, topic string, partition int, msgs []Message) (base int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	records := make([]kafka.Record, len(msgs))
	n := 0
	for i := range msgs {
		n += len(msgs[i].Headers) + 1
	}
	headers := make([]kafka.Header, 0, n) // of all
	for i := range msgs {
		m, first := &msgs[i], len(headers)
		headers = m.appendHeaders(headers)
		records[i] = kafka.Record{Value: kafka.NewBytes(m.Value), Headers: headers[first:len(headers):len(headers)]}
		if m.Key != nil {
			records[i].Key = kafka.NewBytes(m.Key)
		}
	}
	res, err := k.client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: partition, RequiredAcks: kafka.RequireAll, Compression: kafka.Zstd,
		Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return 0, err
	}
	return res.BaseOffset, nil
}

// fetched is one answer of the broker.
type fetched struct {
	msgs []Message
	end  int64 // the offset after the last record there
}

// fetch reads from an offset on, and waits up to wait for something to be there.
func (k *cluster) fetch(ctx context.Context, topic string, partition int, offset int64, maxBytes int, wait time.Duration) (f fetched, err error) {
	ctx, cancel := context.WithTimeout(ctx, exchange+2*wait)
	defer cancel()
	res, err := k.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: int64(maxBytes), MaxWait: max(wait, time.Millisecond),
	})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return f, err
	}
	f.end = res.HighWatermark
	for {
		r, err := res.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, err
		}
		m, err := messageOf(r, partition)
		if err != nil {
			return f, err
		}
		if m.Offset >= offset { // a batch may begin before what was asked for
			f.msgs = append(f.msgs, m)
		}
	}
}

func messageOf(r *kafka.Record, partition int) (m Message, err error) {
	m = Message{Offset: r.Offset, Partition: partition, Time: r.Time}
	for _, part := range []struct {
		from kafka.Bytes
		to   *[]byte
	}{{r.Key, &m.Key}, {r.Value, &m.Value}} {
		if part.from == nil {
			continue
		}
		if *part.to, err = kafka.ReadAll(part.from); err != nil {
			return m, err
		}
		if err = part.from.Close(); err != nil {
			return m, err
		}
	}
	for _, h := range r.Headers {
		if h.Key == headerID {
			m.ID = string(h.Value)
		}
		m.Headers = append(m.Headers, Header{Key: h.Key, Value: h.Value})
	}
	return m, nil
}

// appendHeaders appends the headers, and the one that says the message's ID.
func (m *Message) appendHeaders(out []kafka.Header) []kafka.Header {
	if m.ID != "" && !slices.ContainsFunc(m.Headers, func(h Header) bool { return h.Key == headerID }) {
		out = append(out, kafka.Header{Key: headerID, Value: []byte(m.ID)})
	}
	for _, h := range m.Headers {
		out = append(out, kafka.Header(h))
	}
	return out
}

// backoff waits between tries, twice as long each time.
type backoff struct {
	first, limit time.Duration
	next         time.Duration
}

// wait returns false when ctx ended.
func (b *backoff) wait(ctx context.Context) bool {
	if b.next == 0 {
		b.next = b.first
	}
	t := time.NewTimer(b.next)
	defer t.Stop()
	b.next = min(2*b.next, b.limit)
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (b *backoff) reset() { b.next = 0 }

// trouble says the first failure of a row of them, one a minute after it, and
// the end.
type trouble struct {
	log    *slog.Logger
	what   string
	since  time.Time
	said   time.Time
	failed int
}

func (t *trouble) note(err error) {
	now := time.Now()
	if t.failed == 0 {
		t.since = now
	}
	t.failed++
	if t.failed == 1 || now.Sub(t.said) > time.Minute {
		t.said = now
		t.log.Warn(t.what+": tried again until it works", "tries", t.failed, "err", err)
	}
}

func (t *trouble) over() {
	if t.failed > 0 {
		t.log.Info(t.what+": works again", "tries", t.failed, "after", time.Since(t.since).Round(time.Millisecond))
		t.failed = 0
	}
}
