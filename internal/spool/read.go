package spool

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Record is what is to be shipped: a request event, or a declaration that the
// events of a range are gone.
type Record struct {
	Declared       bool // Value is a schemas.Declared, else a schemas.RequestEvent
	BootID         uint64
	FirstSeq, Last uint64 // the same for an event
	Key            string // the request id; the boot id for a declaration
	Value          []byte // JSON
	segment        *segment
	life           *life
}

// readChunk is how much of a segment is read at a time.
const readChunk = 1 << 20

// Next returns the next records to ship, oldest first, at most n and about
// maxBytes of values; it waits while there are none. Every record is handed out
// once, and again after Resend. The error is ctx's.
func (s *Spool) Next(ctx context.Context, n, maxBytes int) ([]Record, error) {
	for {
		if recs := s.take(n, maxBytes); len(recs) > 0 {
			return recs, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.more:
		}
	}
}

// take returns what is there, nil when there is nothing.
func (s *Spool) take(n, maxBytes int) (recs []Record) {
	s.mu.Lock()
	lives := append([]*life(nil), s.lives...)
	s.mu.Unlock()
	for _, l := range lives {
		s.mu.Lock()
		if !l.handedOut {
			recs = append(recs, l.losses()...)
			l.handedOut = true
		}
		segments := append([]*segment(nil), l.segments...)
		s.mu.Unlock()
		for _, seg := range segments {
			for len(recs) < n && maxBytes > 0 && s.behind(seg) {
				got, bytes := s.readSome(seg, n-len(recs), maxBytes)
				recs = append(recs, got...)
				maxBytes -= bytes
			}
		}
	}
	return recs
}

func (s *Spool) behind(seg *segment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return seg.readPos < seg.size
}

// losses is what an earlier life declares: requests by name, and ranges.
func (l *life) losses() (recs []Record) {
	for i := range l.lost {
		g := &l.lost[i]
		if l.acked.contains(g.seq) {
			continue
		}
		id := uuid.UUID(g.id).String()
		ev := schemas.RequestEvent{
			Version: schemas.SchemaVersion, Project: g.project, Ts: time.Unix(0, g.ts).UTC(), RequestID: id,
			BootID: l.boot, Seq: g.seq, Status: schemas.StatusLost, ErrorType: l.lostReason,
			Mode: schemas.ModeObserve, Arm: schemas.ArmNone, UsageSource: schemas.UsageNone, EvidenceState: schemas.EvidenceNone,
		}
		value, err := json.Marshal(&ev)
		if err != nil { // a time beyond year 9999, from a clock gone mad
			ev.Ts = time.Unix(0, l.made).UTC()
			value, _ = json.Marshal(&ev)
		}
		recs = append(recs, Record{BootID: l.boot, FirstSeq: g.seq, Last: g.seq, Key: id, Value: value, life: l})
	}
	for _, x := range l.holes.minus(l.acked) {
		recs = append(recs, declaration(l, x[0], x[1], time.Now(), ReasonHole))
	}
	return recs
}

func declaration(l *life, lo, hi uint64, at time.Time, reason string) Record {
	value, _ := json.Marshal(&schemas.Declared{
		Version: schemas.SchemaVersion, BootID: l.boot, FirstSeq: lo, LastSeq: hi, Reason: reason, At: at.UTC(),
	})
	return Record{Declared: true, BootID: l.boot, FirstSeq: lo, Last: hi, Key: bootKey(l.boot), Value: value, life: l}
}

// readSome reads on in one segment.
func (s *Spool) readSome(seg *segment, n, maxBytes int) (recs []Record, bytes int) {
	s.mu.Lock()
	from, to, f, acked := seg.readPos, seg.size, seg.f, seg.life.acked
	s.mu.Unlock()
	want := min(to-from, readChunk)
	buf, err := readAt(f, from, want)
	if err == nil && want < to-from && wholeFrames(buf) == 0 { // one frame larger than a chunk, or damage
		buf, err = readAt(f, from, to-from)
	}
	if err != nil {
		return s.unreadable(seg, to, err), 0
	}
	var (
		used    = 0
		damaged bool
		l       = seg.life
	)
	for used < len(buf) && len(recs) < n && bytes < maxBytes {
		fr, size := parseFrame(buf[used:])
		if size == 0 {
			next := nextFrame(buf, used+1)
			if next < 0 {
				if from+int64(len(buf)) < to && used > 0 {
					break // a frame cut by the chunk: read again from here
				}
				damaged, used = true, len(buf)
				break
			}
			damaged, used = true, next
			continue
		}
		used += size
		if fr.kind == kindBegun || fr.kind > kindDeclared || acked.covers(ranges{{fr.seq, fr.last}}) {
			continue
		}
		r := Record{BootID: l.boot, FirstSeq: fr.seq, Last: fr.last, life: l, segment: seg}
		if fr.kind == kindDeclared {
			d := declaration(l, fr.seq, fr.last, time.Unix(0, fr.at), fr.reason)
			r.Declared, r.Key, r.Value = true, d.Key, d.Value
		} else {
			r.Key, r.Value = string(fr.key), fr.event[:len(fr.event):len(fr.event)] // the chunk stays as long as its records
		}
		bytes += len(r.Value)
		recs = append(recs, r)
	}
	s.mu.Lock()
	seg.readPos = from + int64(used)
	if damaged && !seg.missing {
		seg.missing = true
		s.errs.Damaged++
	}
	atEnd := seg.missing && seg.readPos >= seg.size && seg.sealed
	s.mu.Unlock()
	if atEnd {
		recs = append(recs, s.missingOf(seg)...)
	}
	return recs, bytes
}

func readAt(f file, from, n int64) ([]byte, error) {
	if f == nil {
		return nil, os.ErrClosed
	}
	buf := make([]byte, n)
	if _, err := f.ReadAt(buf, from); err != nil {
		return nil, err
	}
	return buf, nil
}

// wholeFrames is how many bytes of b are whole frames from its start.
func wholeFrames(b []byte) (n int) {
	for {
		_, size := parseFrame(b[n:])
		if size == 0 {
			return n
		}
		n += size
	}
}

// unreadable gives up on the rest of a segment that cannot be read.
func (s *Spool) unreadable(seg *segment, to int64, err error) []Record {
	if errors.Is(err, os.ErrClosed) { // freed meanwhile
		s.mu.Lock()
		seg.readPos = seg.size
		s.mu.Unlock()
		return nil
	}
	s.log.Error("a spool segment cannot be read: what it held is declared lost", "segment", seg.path, "err", err)
	s.mu.Lock()
	seg.readPos, seg.sealed, seg.missing = to, true, true
	s.errs.Damaged++
	s.mu.Unlock()
	return s.missingOf(seg)
}

// missingOf declares what the segment should hold and no longer does.
func (s *Spool) missingOf(seg *segment) (recs []Record) {
	var found ranges
	if buf, err := readAt(seg.f, headerBytes, seg.size-headerBytes); err == nil {
		scan(buf, func(f *frame, _ int) {
			if f.kind == kindEnded || f.kind == kindDeclared {
				found.add(f.seq, f.last)
			}
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range seg.held.minus(found).minus(seg.life.acked) {
		r := declaration(seg.life, x[0], x[1], time.Now(), ReasonDamaged)
		r.segment = seg
		recs = append(recs, r)
	}
	return recs
}

// Published notes that the broker has the records: from then on they are
// waited for.
func (s *Spool) Published(recs []Record) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range recs {
		if r := &recs[i]; r.segment != nil {
			r.segment.published = now
		} else if r.life != nil {
			r.life.published = now
		}
	}
}

// Acked notes what the store has. Acks of other proxies are passed over.
func (s *Spool) Acked(a *schemas.Ack) {
	s.ackMu.Lock() // the one place that changes acked: joining is done beside mu
	defer s.ackMu.Unlock()
	var mine *life
	var acked ranges
	s.mu.Lock()
	for _, l := range s.lives {
		if l.boot == a.BootID {
			mine, acked = l, l.acked
		}
	}
	s.mu.Unlock()
	if mine == nil {
		return
	}
	var more ranges
	for _, x := range a.Ranges {
		if x[0] > 0 && x[0] <= x[1] {
			more.add(x[0], x[1])
		}
	}
	acked = acked.union(more)
	s.mu.Lock()
	mine.acked = acked
	s.mu.Unlock()
	poke(s.kick)
}

// Resend hands out again what was published at least the given time ago and is
// not acknowledged: 0 for all of it (the broker lost its log). With a time, the
// wait doubles with every further sending of the same segment, up to an hour.
// It returns how many segments are handed out again.
func (s *Spool) Resend(after time.Duration) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.overdue(after, func(l *life, seg *segment) bool {
		if n++; seg == nil {
			l.handedOut, l.published = false, time.Time{}
			l.resends++
		} else {
			seg.readPos, seg.published = headerBytes, time.Time{}
			seg.resends++
		}
		return true
	})
	if n > 0 {
		poke(s.more)
	}
	return n
}

// Overdue says whether Resend would hand out anything.
func (s *Spool) Overdue(after time.Duration) (some bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.overdue(after, func(*life, *segment) bool { some = true; return false })
	return some
}

// overdue yields each segment that Resend means, and, without a segment, each life
// whose losses it means, until yield says no.
func (s *Spool) overdue(after time.Duration, yield func(*life, *segment) bool) {
	now := time.Now()
	due := func(published time.Time, resends int) bool {
		wait := after << min(resends, 12)
		return !published.IsZero() && (after == 0 || now.Sub(published) >= min(wait, time.Hour))
	}
	for _, l := range s.lives {
		if l.handedOut && !l.lossesAcked() && due(l.published, l.resends) && !yield(l, nil) {
			return
		}
		for _, seg := range l.segments {
			if !l.acked.covers(seg.held) && due(seg.published, seg.resends) && !yield(l, seg) {
				return
			}
		}
	}
}

// Settled says whether the store has everything that ended.
func (s *Spool) Settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lives {
		if !l.settled() {
			return false
		}
	}
	return len(s.pend.entries) == 0 && len(s.gone) == 0
}

// Pending says whether anything waits to be handed out by Next.
func (s *Spool) Pending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lives {
		if !l.handedOut && !l.lossesAcked() {
			return true
		}
		for _, seg := range l.segments {
			if seg.readPos < seg.size {
				return true
			}
		}
	}
	return len(s.pend.entries) > 0
}

// Heartbeats is what each life says of itself: the current one, and those
// earlier ones that are still here, whose last words never reached the broker
// or whose events are not yet all in the store.
func (s *Spool) Heartbeats(now time.Time) []schemas.Heartbeat {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]schemas.Heartbeat, 0, len(s.lives))
	for _, l := range s.lives {
		h := schemas.Heartbeat{
			Version: schemas.SchemaVersion, BootID: l.boot, Proxy: s.cfg.Proxy, At: now.UTC(),
			Accepted: l.st.lastSeq, LastSeq: l.st.lastSeq, Ended: l.st.ended, Dropped: l.st.dropped,
		}
		if l == s.cur {
			h.Accepted, h.LastSeq, h.Ended, h.Dropped = s.seq, s.seq, s.ended, s.dropped
		}
		out = append(out, h)
	}
	return out
}

// Announced notes that the broker has the heartbeats.
func (s *Spool) Announced(hs []schemas.Heartbeat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range hs {
		for _, l := range s.lives {
			if l.boot == h.BootID && (l != s.cur || h.Accepted == s.seq && h.Ended == s.ended && h.Dropped == s.dropped) {
				l.announced = true
			}
		}
	}
	poke(s.kick)
}
