package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/internal/sabotage"
	"github.com/gnomon-llm/gnomon/internal/spool"
	"github.com/gnomon-llm/gnomon/schemas"
)

const (
	heartbeatEvery = time.Second
	shipRecords    = 5_000
	shipBytes      = 3 << 20
	ackGrace       = 10 * time.Second // how long the first publishing waits for the place in the acks topic
)

// Ship sends what is in the spool, oldest first, and a heartbeat a second, and
// frees what the store acknowledges, or, where the requests' topic has three
// replicas and two must have a record, what the broker has. A broker that is
// away is waited for, on the spool's disk and with no more memory. At ctx's end what is left is sent for at
// most Config.FlushWithin, and Ship returns nil; what it could not send stays in
// the spool.
func Ship(ctx context.Context, cfg Config, sp *spool.Spool) error {
	k, err := connect(cfg)
	if err != nil {
		return err
	}
	defer k.close()
	s := &shipper{k: k, sp: sp, pub: &Publisher{k: k, base: map[place]int64{}}, placed: make(chan struct{})}
	// Also heartbeats tell of it, so that an idle proxy learns of it within a second.
	s.pub.lost = func(topic string, partition int) {
		n := sp.Resend(0)
		k.log.Error("the broker lost records of a topic: what the store has not confirmed is sent again", "topic", topic, "partition", partition, "segments", n)
	}
	// work outlives ctx by the time of the flush.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() { s.events(work) })
	wait.Go(func() { s.heartbeats(work) })
	wait.Go(func() { s.acks(work) })
	<-ctx.Done()
	s.flush()
	cancel()
	wait.Wait()
	return nil
}

// shipper is one running Ship.
type shipper struct {
	k      *cluster
	sp     *spool.Spool
	pub    *Publisher
	placed chan struct{} // closed when the acks are being read
	looked time.Time     // when it was last asked how far ingest is

	mu    sync.Mutex
	busy  bool      // records are with the publisher
	heard time.Time // of the last ack, anyone's
}

// events ships until ctx ends.
func (s *shipper) events(ctx context.Context) {
	// Acks that come before their reader found its place would be missed.
	grace := time.NewTimer(ackGrace)
	defer grace.Stop()
	select {
	case <-ctx.Done():
		return
	case <-s.placed:
	case <-grace.C:
	}
	short := shortcut{k: s.k}
	for {
		s.setBusy(false)
		recs, err := s.sp.Next(ctx, shipRecords, shipBytes)
		if err != nil {
			return
		}
		s.setBusy(true)
		recs = s.more(ctx, recs)
		if s.ship(ctx, recs) != nil {
			return
		}
		s.sp.Published(recs)
		if short.holds(ctx) {
			free(s.sp, recs)
		}
		if sabotage.Of(sabotage.StoreConfirms) {
			for _, r := range recs {
				s.sp.Acked(&schemas.Ack{BootID: r.BootID, Ranges: [][2]uint64{{r.FirstSeq, r.Last}}})
			}
		}
	}
}

func (s *shipper) setBusy(b bool) {
	s.mu.Lock()
	s.busy = b
	s.mu.Unlock()
}

// more waits a little for company when there are few records: a request to the
// broker costs more than a record.
func (s *shipper) more(ctx context.Context, recs []spool.Record) []spool.Record {
	if len(recs) >= shipRecords/2 {
		return recs
	}
	t := time.NewTimer(s.k.cfg.ShipLinger)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return recs
	case <-t.C:
	}
	quick, cancel := context.WithCancel(ctx)
	cancel() // only what is there
	further, _ := s.sp.Next(quick, shipRecords-len(recs), shipBytes)
	return append(recs, further...)
}

// ship publishes records; what is too large for its topic is dead-lettered and
// declared in its place.
func (s *shipper) ship(ctx context.Context, recs []spool.Record) error {
	msgs := messagesFrom(recs)
	oversize, err := s.pub.publish(ctx, schemas.TopicRequests, msgs)
	if err != nil || len(oversize) == 0 {
		return err
	}
	var letters, declared []Message
	for _, i := range oversize {
		letters = append(letters, deadLetter(schemas.TopicRequests, &msgs[i], place{schemas.TopicRequests, -1}, -1, "oversize: larger than the topic takes"))
		value, err := json.Marshal(&schemas.Declared{Version: schemas.SchemaVersion, BootID: recs[i].BootID, FirstSeq: recs[i].FirstSeq, LastSeq: recs[i].Last, Reason: "oversize", At: time.Now().UTC()})
		if err != nil {
			return err
		}
		declared = append(declared, declaredMessage(recs[i].BootID, value))
	}
	s.k.log.Error("events larger than their topic takes went to its dead letters and are declared", "events", len(oversize))
	if err := s.pub.Publish(ctx, schemas.TopicRequests+schemas.DLQSuffix, letters...); err != nil {
		return err
	}
	return s.pub.Publish(ctx, schemas.TopicRequests, declared...)
}

var (
	versionBytes = []byte(schemas.SchemaVersion)
	typeBytes    = []byte("application/json")
)

// messagesFrom makes what is published of records: their headers share one memory,
// and so do keys and numbers.
func messagesFrom(recs []spool.Record) []Message {
	const named, digits = 5, 80
	msgs := make([]Message, len(recs))
	headers := make([]Header, 0, named*len(recs))
	text := make([]byte, 0, digits*len(recs))
	since := func(at int) []byte { return text[at:len(text):len(text)] }
	for i := range recs {
		r := &recs[i]
		if r.Declared {
			msgs[i] = declaredMessage(r.BootID, r.Value)
			continue
		}
		at := len(text)
		text = append(text, r.Key...)
		key, first := since(at), len(headers)
		at = len(text)
		text = strconv.AppendUint(text, r.BootID, 10)
		boot := since(at)
		at = len(text)
		text = strconv.AppendUint(text, r.FirstSeq, 10)
		headers = append(headers, Header{headerID, key}, Header{headerVersion, versionBytes}, Header{headerType, typeBytes},
			Header{headerBoot, boot}, Header{headerSeq, since(at)})
		msgs[i] = Message{Key: key, Value: r.Value, ID: r.Key, Headers: headers[first:len(headers):len(headers)]}
	}
	return msgs
}

// Amend publishes the record of a request again, at a higher revision, beside the
// spool: it is of a sequence that the spool sends and answers for, so that it
// may be lost, come first or come twice. It tries until ctx ends.
func (p *Publisher) Amend(ctx context.Context, ev *schemas.RequestEvent) error {
	value, err := json.Marshal(ev)
	if err != nil {
		return fmt.Errorf("amend request %s: %w", ev.RequestID, err)
	}
	return p.Publish(ctx, schemas.TopicRequests, messagesFrom([]spool.Record{{BootID: ev.BootID, FirstSeq: ev.Seq, Last: ev.Seq, Key: ev.RequestID, Value: value}})...)
}

func declaredMessage(boot uint64, value []byte) Message {
	return Message{
		Key: strconv.AppendUint(nil, boot, 10), Value: value,
		Headers: []Header{{headerRecord, []byte(recordDeclared)}, {headerVersion, versionBytes}, {headerType, typeBytes}},
	}
}

// heartbeats says what each life has counted, once a second.
func (s *shipper) heartbeats(ctx context.Context) {
	t := time.NewTicker(heartbeatEvery)
	defer t.Stop()
	for {
		s.beat(ctx)
		s.resend(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// beat publishes one heartbeat of each life. One that does not get through is
// replaced by the next.
func (s *shipper) beat(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*heartbeatEvery)
	defer cancel()
	hs := s.sp.Heartbeats(time.Now())
	msgs := make([]Message, 0, len(hs))
	for i := range hs {
		value, err := json.Marshal(&hs[i])
		if err != nil {
			continue
		}
		msgs = append(msgs, Message{Key: strconv.AppendUint(nil, hs[i].BootID, 10), Value: value, Headers: []Header{{headerVersion, versionBytes}}})
	}
	if s.pub.Publish(ctx, schemas.TopicHeartbeats, msgs...) == nil {
		s.sp.Announced(hs)
	}
}

// resend hands out again what has waited too long for its ack: while acks come at
// all, or where ingest is done with all that the topic holds. Without an ingest the
// broker has it.
func (s *shipper) resend(ctx context.Context) {
	s.mu.Lock()
	alive := time.Since(s.heard) < s.k.cfg.ResendAfter/2
	s.mu.Unlock()
	if !alive && !s.ingested(ctx) {
		return
	}
	if n := s.sp.Resend(s.k.cfg.ResendAfter); n > 0 {
		s.k.log.Warn("events were published and never confirmed by the store: they are sent again", "segments", n)
	}
}

// ingested says whether something waits for its ack although ingest is done with
// all that is in the topic: the broker lost it, and whoever sent more into its new
// log hid that offsets went back (chaos seed 310022). An error says no.
func (s *shipper) ingested(ctx context.Context) bool {
	if time.Since(s.looked) < s.k.cfg.ResendAfter/4 || !s.sp.Overdue(s.k.cfg.ResendAfter) {
		return false
	}
	s.looked = time.Now()
	behind, unknown, err := s.k.behind(ctx, schemas.TopicRequests, s.k.cfg.Group+"."+schemas.TopicRequests)
	return err == nil && len(behind)+unknown == 0
}

// acks frees what the store has.
func (s *shipper) acks(ctx context.Context) {
	var once sync.Once
	f := follower{k: s.k, topic: schemas.TopicAcks, fromEnd: true, Follow: Follow{
		CaughtUp: func(int64) { once.Do(func() { close(s.placed) }) },
		Reset: func() {
			n := s.sp.Resend(0)
			s.k.log.Error("the broker lost its log: what the store has not confirmed is sent again", "segments", n)
		},
		Record: func(m Message) {
			var a schemas.Ack
			if err := json.Unmarshal(m.Value, &a); err != nil {
				s.k.log.Warn("an acknowledgement cannot be read", "offset", m.Offset, "err", err)
				return
			}
			s.sp.Acked(&a)
			s.mu.Lock()
			s.heard = time.Now()
			s.mu.Unlock()
		},
	}}
	f.run(ctx)
}

// flush waits until everything is sent, a last heartbeat, and, for a little,
// until the store has it too.
func (s *shipper) flush() {
	deadline := time.Now().Add(s.k.cfg.FlushWithin)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	until := func(limit time.Time, done func() bool) {
		for !done() && time.Now().Before(limit) {
			<-poll.C
		}
	}
	until(deadline, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return !s.busy && !s.sp.Pending()
	})
	rest, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	s.beat(rest)
	if s.sp.Pending() {
		return
	}
	soon := time.Now().Add(s.k.cfg.FlushWithin / 2)
	if soon.After(deadline) {
		soon = deadline
	}
	until(soon, s.sp.Settled)
}
