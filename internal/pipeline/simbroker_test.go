package pipeline

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/fetch"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// simBroker is a Kafka broker behind kafka-go's RoundTripper, in memory, in the
// time of a synctest bubble: what it does to a request is drawn from the seed
// and the request's number among those of its kind.
type simBroker struct {
	seed uint64

	mu     sync.Mutex
	topics map[string][][]simRecord // by partition
	commit map[place]simCommit
	term   int32 // of the consumer group; a commit of an older one is refused
	asked  map[string]uint64
	first  int64 // of every log; what was before it has expired
	calm   bool  // no faults any more
	away   bool  // no broker

	// Safeguards of Kafka that gnomon leans on, to be taken away.
	forgetsPlans bool // commits lose their metadata
	takesOldTerm bool // a member that was put out may still commit
}

type simRecord struct {
	key, value []byte
	headers    []kafka.Header
	at         time.Time
}

type simCommit struct {
	offset int64
	plan   string
}

func newSimBroker(seed uint64, topics map[string]int) *simBroker {
	b := &simBroker{seed: seed, topics: map[string][][]simRecord{}, commit: map[place]simCommit{}, asked: map[string]uint64{}}
	for name, n := range topics {
		b.topics[name] = make([][]simRecord, n)
	}
	return b
}

// client is a cluster as connect makes it, on this broker.
func (b *simBroker) client(t testing.TB, cfg Config) *cluster {
	cfg.Brokers = []string{"sim:1"}
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{
		cfg: cfg, log: cfg.Log, transport: &kafka.Transport{}, conns: map[*tracked]struct{}{},
		client: &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: b, Timeout: 2 * exchange},
	}
}

// draw gives the number of the kind's next event, from 0 to 999.
func (b *simBroker) draw(kind string) int {
	b.asked[kind]++
	return int(hashOf(b.seed, kind, b.asked[kind]) % 1000)
}

func hashOf(seed uint64, kind string, n uint64) uint64 {
	h := fnv.New64a()
	var raw [16]byte
	for i := range 8 {
		raw[i], raw[8+i] = byte(seed>>(8*i)), byte(n>>(8*i))
	}
	_, _ = h.Write(raw[:])
	_, _ = io.WriteString(h, kind)
	x := h.Sum64() // its low bits are not mixed well
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}

var errSim = errors.New("simulated: the connection broke")

// RoundTrip implements kafka.RoundTripper: delays, breaks before or after the
// request was done, and stays silent until the caller gives up.
func (b *simBroker) RoundTrip(ctx context.Context, _ net.Addr, req kafka.Request) (kafka.Response, error) {
	kind := req.ApiKey().String()
	b.mu.Lock()
	fate, delay := b.draw(kind), time.Duration(1+b.draw("delay "+kind)/20)*time.Millisecond
	if b.calm {
		fate = 999
	}
	b.mu.Unlock()
	if err := simSleep(ctx, delay); err != nil {
		return nil, err
	}
	b.mu.Lock()
	away := b.away
	b.mu.Unlock()
	switch {
	case away || fate < 60:
		return nil, errSim
	case fate < 70: // the request is lost, and nobody says so
		<-ctx.Done()
		return nil, ctx.Err()
	}
	res, wait := b.do(req)
	if wait > 0 {
		if err := simSleep(ctx, wait); err != nil {
			return nil, err
		}
		res, _ = b.do(req)
	}
	switch {
	case fate < 130: // done, and the answer is lost
		return nil, errSim
	case fate < 140:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return res, nil
}

func simSleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// do carries a request out; wait says how long a fetch waits for news first.
func (b *simBroker) do(req kafka.Request) (res kafka.Response, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch r := req.(type) {
	case *produce.Request:
		return b.produce(r), 0
	case *fetch.Request:
		return b.fetch(r)
	case *listoffsets.Request:
		return b.offsets(r), 0
	case *metadata.Request:
		return b.layout(r), 0
	case *offsetcommit.Request:
		return b.committed(r), 0
	case *offsetfetch.Request:
		return b.progress(r), 0
	}
	panic("simBroker: a request of a kind that nobody thought of")
}

func (b *simBroker) produce(r *produce.Request) *produce.Response {
	t, p := r.Topics[0].Topic, r.Topics[0].Partitions[0]
	log := &b.topics[t][p.Partition]
	base := int64(len(*log))
	for {
		rec, err := p.RecordSet.Records.ReadRecord()
		if err != nil {
			break
		}
		key, _ := protocol.ReadAll(rec.Key)
		value, _ := protocol.ReadAll(rec.Value)
		*log = append(*log, simRecord{key: key, value: value, headers: append([]kafka.Header(nil), rec.Headers...), at: time.Now()})
	}
	return &produce.Response{Topics: []produce.ResponseTopic{{Topic: t, Partitions: []produce.ResponsePartition{{Partition: p.Partition, BaseOffset: base}}}}}
}

func (b *simBroker) fetch(r *fetch.Request) (*fetch.Response, time.Duration) {
	t, p := r.Topics[0].Topic, r.Topics[0].Partitions[0]
	log := b.topics[t][p.Partition]
	out := fetch.ResponsePartition{Partition: p.Partition, HighWatermark: int64(len(log))}
	wait := time.Duration(0)
	switch at := p.FetchOffset; {
	case at < b.first || at > int64(len(log)):
		out.ErrorCode = int16(kafka.OffsetOutOfRange)
	case at == int64(len(log)):
		wait = time.Duration(r.MaxWaitTime) * time.Millisecond
	default:
		var recs []protocol.Record
		for i, rec := range log[at:min(at+20, int64(len(log)))] { // a fetch that fills its bytes early
			recs = append(recs, protocol.Record{Offset: at + int64(i), Time: rec.at, Key: simBytes(rec.key), Value: simBytes(rec.value), Headers: rec.headers})
		}
		out.RecordSet = protocol.RecordSet{Records: protocol.NewRecordReader(recs...)}
	}
	return &fetch.Response{Topics: []fetch.ResponseTopic{{Topic: t, Partitions: []fetch.ResponsePartition{out}}}}, wait
}

func simBytes(p []byte) protocol.Bytes {
	if p == nil {
		return nil
	}
	return protocol.NewBytes(bytes.Clone(p))
}

func (b *simBroker) offsets(r *listoffsets.Request) *listoffsets.Response {
	res := &listoffsets.Response{}
	for _, t := range r.Topics {
		out := listoffsets.ResponseTopic{Topic: t.Topic}
		for _, p := range t.Partitions {
			at := b.first
			if p.Timestamp == kafka.LastOffset {
				at = int64(len(b.topics[t.Topic][p.Partition]))
			}
			out.Partitions = append(out.Partitions, listoffsets.ResponsePartition{Partition: p.Partition, Timestamp: p.Timestamp, Offset: at})
		}
		res.Topics = append(res.Topics, out)
	}
	return res
}

func (b *simBroker) layout(r *metadata.Request) *metadata.Response {
	res := &metadata.Response{Brokers: []metadata.ResponseBroker{{NodeID: 1, Host: "sim", Port: 1}}}
	for _, name := range r.TopicNames {
		out := metadata.ResponseTopic{Name: name}
		for i := range b.topics[name] {
			out.Partitions = append(out.Partitions, metadata.ResponsePartition{PartitionIndex: int32(i), LeaderID: 1, ReplicaNodes: []int32{1}, IsrNodes: []int32{1}})
		}
		res.Topics = append(res.Topics, out)
	}
	return res
}

func (b *simBroker) committed(r *offsetcommit.Request) *offsetcommit.Response {
	res := &offsetcommit.Response{}
	for _, t := range r.Topics {
		out := offsetcommit.ResponseTopic{Name: t.Name}
		for _, p := range t.Partitions {
			done := offsetcommit.ResponsePartition{PartitionIndex: p.PartitionIndex}
			if r.GenerationID != b.term && !b.takesOldTerm {
				done.ErrorCode = int16(kafka.IllegalGeneration)
			} else {
				c := simCommit{p.CommittedOffset, p.CommittedMetadata}
				if b.forgetsPlans {
					c.plan = ""
				}
				b.commit[place{t.Name, int(p.PartitionIndex)}] = c
			}
			out.Partitions = append(out.Partitions, done)
		}
		res.Topics = append(res.Topics, out)
	}
	return res
}

func (b *simBroker) progress(r *offsetfetch.Request) *offsetfetch.Response {
	res := &offsetfetch.Response{}
	for _, t := range r.Topics {
		out := offsetfetch.ResponseTopic{Name: t.Name}
		for _, p := range t.PartitionIndexes {
			c, ok := b.commit[place{t.Name, int(p)}]
			if !ok {
				c.offset = -1
			}
			out.Partitions = append(out.Partitions, offsetfetch.ResponsePartition{PartitionIndex: p, CommittedOffset: c.offset, Metadata: c.plan})
		}
		res.Topics = append(res.Topics, out)
	}
	return res
}
