package spool

import (
	"errors"
	"runtime"
	"time"
)

// maxSpare bounds the buffer that is kept from one batch to the next.
const maxSpare = 1 << 20

// write is the goroutine that makes every write(2) of frames. Callers wait for
// it, so that what gathers while one write runs goes out with the next, and a
// hung disk holds this goroutine and no caller.
func (s *Spool) write() {
	defer s.tasks.Done()
	for {
		select {
		case <-s.wake:
			// Whoever can run goes first: what they add goes out with this write(2). It
			// costs nothing where nobody else can.
			runtime.Gosched()
			s.flush()
		case <-s.stop:
			s.flush()
			return
		}
	}
}

// flush writes what is pending.
func (s *Spool) flush() {
	s.mu.Lock()
	b, saveState := s.pend, s.stateOld
	s.stateOld = false
	if len(b.entries) == 0 && !saveState {
		s.mu.Unlock()
		return
	}
	s.pend = nextBatch(s.spare)
	s.spare = nil
	s.used += int64(len(b.buf))
	s.writing = time.Now()
	s.mu.Unlock()

	if len(b.entries) > 0 && !s.append(b) {
		saveState = true // what was refused is counted before its callers go on
	}
	if saveState {
		s.saveState()
	}

	s.mu.Lock()
	close(b.done) // its callers go on
	s.writing = time.Time{}
	if s.stalled {
		s.stalled, s.stall = false, make(chan struct{})
		s.log.Info("the spool's disk answers again")
	}
	s.mu.Unlock()
}

// append writes the batch behind the newest segment, and says whether the disk
// took it.
func (s *Spool) append(b *batch) bool {
	seg, err := s.room(len(b.buf))
	if err == nil {
		_, err = seg.f.WriteAt(b.buf, seg.size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.refuse(b, seg, err)
		return false
	}
	for _, e := range b.entries {
		switch r := s.open[e.lo]; {
		case e.kind != kindBegun:
			seg.held.add(e.lo, e.hi)
		case r != nil:
			r.seg = seg
		}
	}
	seg.size += int64(len(b.buf))
	seg.dirty = true
	if cap(b.buf) <= maxSpare {
		s.spare = b
	}
	poke(s.more)
	return true
}

// room returns the segment that takes n more bytes, a new one where the last
// is full, old or given up.
func (s *Spool) room(n int) (*segment, error) {
	s.mu.Lock()
	seg := s.cur.newest()
	usable := seg != nil && !seg.sealed
	full := usable && seg.size > headerBytes && seg.size+int64(n) > s.cfg.SegmentBytes
	s.mu.Unlock()
	if usable && !full {
		return seg, nil
	}
	err := s.rotate(!usable)
	if err != nil && !usable {
		return seg, err
	}
	// A full disk may still have room in the blocks of the old one.
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur.newest(), nil
}

func (l *life) newest() *segment {
	if len(l.segments) == 0 {
		return nil
	}
	return l.segments[len(l.segments)-1]
}

// rotate begins the next segment; must: there is no other to write to.
func (s *Spool) rotate(must bool) error {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	s.mu.Lock()
	s.index++
	now := time.Now()
	st := s.stateNow()
	seg := &segment{life: s.cur, index: s.index, path: segmentPath(s.cfg.Dir, s.boot, s.index), size: headerBytes, dirty: true, readPos: headerBytes, made: now}
	s.mu.Unlock()

	f, err := s.newFile(seg.path, newHeader(s.boot, seg.index, now, &st), must)
	if err != nil {
		return err
	}
	seg.f = f
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.cur.newest(); old != nil {
		old.sealed = true
	}
	s.cur.segments = append(s.cur.segments, seg)
	s.cur.st = st
	s.used += headerBytes
	s.newFiles = true
	return nil
}

// refuse takes back a batch that the disk did not take.
func (s *Spool) refuse(b *batch, seg *segment, err error) {
	s.used -= int64(len(b.buf))
	for _, e := range b.entries {
		switch e.kind {
		case kindEnded:
			s.dropped++
			s.goneWith(ReasonDisk, e.lo, e.hi)
		case kindDeclared:
			s.goneWith(e.reason, e.lo, e.hi)
		}
	}
	s.errs.Write++
	s.stateOld = true
	poke(s.wake)
	s.noteBroken(err)
	if seg == nil || seg.sealed {
		return
	}
	if cut := seg.f.Truncate(seg.size); cut != nil || !isFull(err) {
		seg.sealed = true // what an erring disk holds is read back with care, never added to
	}
}

// noteBroken stops further tries until the janitor's next tick.
func (s *Spool) noteBroken(err error) {
	if !s.broken {
		s.log.Error("the spool's disk refuses: traffic flows, events are counted and dropped until it takes them again", "dir", s.cfg.Dir, "err", err)
	}
	s.broken = true
}

// stateNow is the next state of the current life.
func (s *Spool) stateNow() state {
	return state{
		generation: s.cur.st.generation + 1, lastSeq: s.seq, ended: s.ended, dropped: s.dropped,
		closed: s.closed, freed: s.cur.st.freed,
	}
}

// saveState puts the counters of the current life into its newest segment.
func (s *Spool) saveState() {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	s.mu.Lock()
	st, broken := s.stateNow(), s.broken
	s.mu.Unlock()
	err := s.putState(s.cur, &st)
	if err != nil && !broken { // that the disk refuses was said
		s.log.Warn("the spool's counters could not be saved", "err", err)
	}
	s.mu.Lock()
	s.stateLost = err != nil
	s.mu.Unlock()
}

var errStateFull = errors.New("too many separate ranges for the state's slot")

// putState writes st as the state of l. The caller holds stateMu.
func (s *Spool) putState(l *life, st *state) error {
	slot, fits := st.encode()
	if !fits {
		return errStateFull
	}
	s.mu.Lock()
	seg := l.newest()
	s.mu.Unlock()
	if seg == nil || seg.f == nil {
		return errors.New("no segment to write to")
	}
	if _, err := seg.f.WriteAt(slot, slotOffsets[st.generation%2]); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l.st = *st
	seg.dirty = true
	return nil
}

// watch lets callers go when a write hangs.
func (s *Spool) watch() {
	defer s.tasks.Done()
	t := time.NewTicker(stallCheck)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-t.C:
			s.mu.Lock()
			if !s.stalled && !s.writing.IsZero() && now.Sub(s.writing) > stallAfter {
				s.stalled = true
				close(s.stall)
				s.log.Warn("the spool's disk hangs: events wait in memory, up to a bound", "dir", s.cfg.Dir)
			}
			s.mu.Unlock()
		}
	}
}
