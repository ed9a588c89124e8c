package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/internal/sabotage"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Ingest moves every topic that the store keeps into it until ctx ends, sharing
// partitions with other ingesters. It returns nil at ctx's end; before that only
// an unusable configuration makes it return.
//
// A batch is inserted until the store takes it; meanwhile other partitions go
// on. What no store could take (poison) goes to <topic>.dlq with its reason, and
// what it was the record of is declared, so that the sums still agree.
func Ingest(ctx context.Context, cfg Config, to Inserter) error {
	k, err := connect(cfg)
	if err != nil {
		return err
	}
	defer k.close()
	in := &ingest{k: k, to: to, slots: make(chan struct{}, k.cfg.Inserts), bulk: make(chan struct{}, k.cfg.Inserts), acks: newAcker(), metrics: newMetrics(k.cfg.Metrics)}
	in.pub = &Publisher{k: k, base: map[place]int64{}}
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer func() {
		cancel()
		wait.Wait()
		last, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer done()
		_ = in.acks.tell(last, in.pub) // lost ones cost another sending, no more
	}()
	wait.Go(func() { in.acks.run(ctx, in.pub) })
	errs := make(chan error, len(roads()))
	for _, r := range roads() {
		wait.Go(func() {
			errs <- k.share(ctx, r.name(), k.cfg.Group+"."+r.name(), true, r.worker(in))
		})
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-errs:
		return err
	}
}

// ingest is what the workers share.
type ingest struct {
	k     *cluster
	pub   *Publisher
	to    Inserter
	slots chan struct{} // inserts at the same time
	bulk  chan struct{} // batches of more than smallBatch at the same time
	acks  *acker

	metrics *metrics
}

// worker carries one partition.
type worker[T any] struct {
	*ingest
	road   *road[T]
	a      *assignment
	r      *reader
	linger time.Duration
	large  bool // a place in bulk is held
	log    trouble
}

func (r *road[T]) worker(in *ingest) func(context.Context, *assignment) {
	return func(ctx context.Context, a *assignment) {
		w := &worker[T]{ingest: in, road: r, a: a, r: newReader(in.k, a, fetchBytes), linger: r.linger}
		or(&w.linger, in.k.cfg.Linger)
		w.log = trouble{log: in.k.log, what: fmt.Sprintf("inserting %s/%d", a.topic, a.partition)}
		err := w.run(ctx)
		if err != nil && ctx.Err() == nil {
			in.k.log.Info("a partition is given up", "topic", a.topic, "partition", a.partition, "why", err)
		}
	}
}

// fetchBytes is how much of a partition is fetched at a time; it unpacks to some
// six times of it.
const fetchBytes = 1 << 20

// A row costs the store half as much in a batch of 25,000 as in one of 5,000, and
// large batches are what memory is needed for: behind, partitions take turns at
// them. Whoever gets no turn in time goes on with a small one, for the batches of
// the others may be waiting for a store that takes none of them.
const (
	smallBatch = 4 << 20
	bulkWait   = time.Second
)

// enlarge waits for the turn to gather more than smallBatch.
func (w *worker[T]) enlarge(ctx context.Context) {
	t := time.NewTimer(bulkWait)
	defer t.Stop()
	select {
	case w.bulk <- struct{}{}:
		w.large = true
	case <-t.C:
	case <-ctx.Done():
	}
}

func (w *worker[T]) endTurn() {
	if w.large {
		w.large = false
		<-w.bulk
	}
}

// run moves batch after batch until ctx ends or the partition is another's.
func (w *worker[T]) run(ctx context.Context) error {
	defer w.endTurn()
	var left []Message
	for {
		w.endTurn()
		msgs, rest, err := w.cut(ctx, left)
		if err != nil {
			return err
		}
		left = rest
		firstOffset, last := msgs[0].Offset, msgs[len(msgs)-1].Offset
		if w.a.planned < 0 || w.a.next != firstOffset {
			if err := w.a.commit(ctx, firstOffset, last); err != nil {
				return err
			}
		}
		if sabotage.Of(sabotage.OffsetLast) {
			if err := w.a.commit(ctx, last+1, -1); err != nil {
				return err
			}
		}
		if err := w.move(ctx, msgs); err != nil {
			return err
		}
		if err := w.a.commit(ctx, last+1, -1); err != nil {
			return err
		}
		w.lag(w.r.end)
	}
}

// lag shows how far the partition's end is from what is done with.
func (w *worker[T]) lag(end int64) {
	w.metrics.lag.WithLabelValues(w.a.topic, strconv.Itoa(w.a.partition)).Set(float64(max(end-w.a.next, 0)))
}

// cut gathers the next batch: the planned one where there is one, else what
// comes within the linger, up to the limits. rest is what was read beyond it.
func (w *worker[T]) cut(ctx context.Context, left []Message) (batch, rest []Message, err error) {
	var (
		size    int
		until   time.Time
		planned = w.a.planned
		waited  bool // for a turn, at most once a batch
	)
	for {
		for i, m := range left {
			if planned < 0 && !w.large && !waited && size+len(m.Value) > smallBatch {
				waited = true
				w.enlarge(ctx)
			}
			most := w.k.cfg.MaxBatchBytes
			if !w.large {
				most = min(most, smallBatch)
			}
			full := len(batch) >= w.k.cfg.MaxBatchRows || size+len(m.Value) > most
			if planned >= 0 {
				full = m.Offset > planned
			}
			if len(batch) > 0 && full {
				return batch, left[i:], nil
			}
			if planned >= 0 && m.Offset > planned { // the planned records are gone
				planned, w.a.planned = -1, -1
			}
			batch, size = append(batch, m), size+len(m.Value)
		}
		left = nil
		wait := fetchWait
		if len(batch) > 0 {
			if until.IsZero() {
				until = time.Now().Add(w.linger)
			}
			wait = min(time.Until(until), fetchWait)
			if planned >= 0 && batch[len(batch)-1].Offset >= planned {
				return batch, nil, nil
			}
			// Of a backlog the next record is as old as the first; but not all offsets
			// before the log's end need be those of records.
			behind := w.r.next < w.r.end && time.Since(until) < 10*w.linger
			if planned < 0 && wait <= 0 && !behind {
				return batch, nil, nil
			}
		}
		if left, err = w.r.read(ctx, max(wait, time.Millisecond)); err != nil {
			return nil, nil, err
		}
	}
}

// nameOf is the token of a batch: where it lies, and what it holds. A broker that
// lost its log, or its end, gives the same offsets to other records; under a token
// of offsets alone the store would pass over them as a repetition, and acknowledged
// they would be gone (chaos seed 530021).
func nameOf(a *assignment, msgs []Message) string {
	var what xxhash.Digest
	what.Reset()
	for i := range msgs {
		_, _ = what.Write(msgs[i].Value)
	}
	return fmt.Sprintf("%s:%d:%d-%d:%016x", a.topic, a.partition, msgs[0].Offset, msgs[len(msgs)-1].Offset, what.Sum64())
}

// move inserts a batch, sets aside what cannot be, and acknowledges.
func (w *worker[T]) move(ctx context.Context, msgs []Message) error {
	name := nameOf(w.a, msgs)
	b := &batch[T]{}
	wait := backoff{first: 100 * time.Millisecond, limit: 10 * time.Second}
	for {
		err := w.try(ctx, name, b, msgs)
		if err == nil {
			w.log.over()
			break
		}
		var row RowError
		if errors.As(err, &row) && b.blame(row) {
			continue
		}
		if ctx.Err() == nil {
			w.log.note(err)
			w.metrics.failures.WithLabelValues(w.road.topic).Inc()
			if _, end, err := w.k.ends(ctx, w.a.topic, w.a.partition); err == nil {
				w.lag(end) // it grows while nothing is read
			}
		}
		if !wait.wait(ctx) {
			return ctx.Err()
		}
	}
	w.metrics.rows.WithLabelValues(w.road.topic).Add(float64(len(b.rows)))
	if err := w.bury(ctx, b, msgs); err != nil {
		return err
	}
	if w.road.seq != nil {
		b.sequences(w.road.seq, w.acks.add)
	}
	return nil
}

// try decodes, when that was not done, and inserts once.
func (w *worker[T]) try(ctx context.Context, name string, b *batch[T], msgs []Message) error {
	select {
	case w.slots <- struct{}{}:
		defer func() { <-w.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !b.decoded {
		w.road.decode(b, msgs)
	}
	ctx, cancel := context.WithTimeout(ctx, w.k.cfg.InsertTimeout)
	defer cancel()
	if len(b.rows) > 0 {
		if err := w.road.insert(w.to, ctx, name+b.without, b.rows); err != nil {
			return err
		}
	}
	if len(b.declared) > 0 {
		return w.to.InsertDeclared(ctx, name+":declared"+b.without, b.declared)
	}
	return nil
}

// bury sends poison to the dead letters.
func (w *worker[T]) bury(ctx context.Context, b *batch[T], msgs []Message) error {
	if len(b.poison) == 0 {
		return nil
	}
	w.metrics.letters.WithLabelValues(w.road.topic).Add(float64(len(b.poison)))
	letters := make([]Message, len(b.poison))
	for i, p := range b.poison {
		m := &msgs[p.at]
		letters[i] = deadLetter(w.road.topic, m, place{w.road.topic, w.a.partition}, m.Offset, p.reason)
		w.k.log.Error("a record cannot be stored and goes to the dead letters", "topic", w.road.topic, "partition", w.a.partition, "offset", m.Offset, "reason", p.reason)
	}
	return w.pub.Publish(ctx, w.road.topic+schemas.DLQSuffix, letters...)
}

// batch is the rows of a cut.
type batch[T any] struct {
	decoded  bool
	rows     []T
	at       []int // the message of each row
	declared []schemas.Declared
	poison   []poison
	blamed   map[int]string // messages the store cannot take
	without  string         // names them in the token: it is another batch without them
	msgs     []Message
}

// poison is a message that cannot be stored.
type poison struct {
	at     int
	reason string
}

func (r *road[T]) decode(b *batch[T], msgs []Message) {
	b.decoded, b.msgs = true, msgs
	b.rows, b.at = make([]T, 0, len(msgs)), make([]int, 0, len(msgs))
	b.declared, b.poison = nil, nil
	for i := range msgs {
		m := &msgs[i]
		reason := b.blamed[i]
		switch {
		case reason != "":
		case m.Header(headerRecord) == recordDeclared:
			reason = b.declare(m)
		default:
			b.rows = append(b.rows, *new(T))
			row := &b.rows[len(b.rows)-1]
			var extra string
			if extra, reason = decode(m.Value, row); reason == "" {
				reason = r.check(row)
			}
			if reason != "" {
				b.rows = b.rows[:len(b.rows)-1]
				break
			}
			if extra != "" && r.extra != nil {
				r.extra(row, extra)
			}
			if r.place != nil {
				r.place(row, m.Offset)
			}
			b.at = append(b.at, i)
		}
		if reason == "" {
			continue
		}
		b.poison = append(b.poison, poison{i, reason})
		if boot, seq := m.sequence(); seq > 0 && r.seq != nil { // it is said to be gone, so that the sums agree
			b.declared = append(b.declared, schemas.Declared{Version: schemas.SchemaVersion, BootID: boot, FirstSeq: seq, LastSeq: seq, Reason: "dead_letter", At: m.Time.UTC()})
		}
	}
}

func (b *batch[T]) declare(m *Message) (reason string) {
	var d schemas.Declared
	if _, reason = decode(m.Value, &d); reason == "" {
		reason = first(missing("boot_id", d.BootID != 0), missing("first_seq", d.FirstSeq > 0), missing("last_seq", d.LastSeq >= d.FirstSeq), when("at", d.At))
	}
	if reason == "" {
		b.declared = append(b.declared, d)
	}
	return reason
}

// blame takes a row out of the batch: the store can never take it. It returns
// false when there is no such row.
func (b *batch[T]) blame(err RowError) bool {
	row := err.RowIndex()
	if row < 0 || row >= len(b.at) {
		return false
	}
	if b.blamed == nil {
		b.blamed = map[int]string{}
	}
	i := b.at[row]
	b.blamed[i] = "the store refuses it: " + err.Error()
	b.without += "-" + strconv.FormatInt(b.msgs[i].Offset, 10)
	b.decoded = false
	return true
}

// sequences tells add what of the proxies' sequences the batch holds.
func (b *batch[T]) sequences(seq func(*T) (uint64, uint64), add func(boot, lo, hi uint64)) {
	for i := range b.rows {
		if boot, n := seq(&b.rows[i]); boot != 0 && n != 0 {
			add(boot, n, n)
		}
	}
	for i := range b.declared {
		d := &b.declared[i]
		if d.Reason == schemas.ReasonDiskLost {
			continue // nobody has its events: a spool that comes back must keep them
		}
		add(d.BootID, d.FirstSeq, d.LastSeq)
	}
}

// sequence is where a request's message came from, as its headers say it.
func (m *Message) sequence() (boot, seq uint64) {
	boot, _ = strconv.ParseUint(m.Header(headerBoot), 10, 64)
	seq, _ = strconv.ParseUint(m.Header(headerSeq), 10, 64)
	if boot == 0 {
		return 0, 0
	}
	return boot, seq
}
