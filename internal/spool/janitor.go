package spool

import (
	"errors"
	"time"
)

// janitor syncs, declares, rotates by age and frees: all that may take its time.
func (s *Spool) janitor() {
	defer s.tasks.Done()
	sync := time.NewTicker(max(s.cfg.SyncEvery, time.Millisecond))
	defer sync.Stop()
	if s.cfg.SyncEvery < 0 {
		sync.Stop()
	}
	second := time.NewTicker(tick)
	defer second.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-sync.C:
			s.sync()
		case <-s.kick:
			s.free()
		case now := <-second.C:
			s.everySecond(now)
			s.free()
			s.refill()
		}
	}
}

func (s *Spool) everySecond(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = false // the next write finds out
	s.declareGone(now)
	if seg := s.cur.newest(); seg != nil && !seg.sealed && seg.size > headerBytes && now.Sub(seg.made) > s.cfg.RotateEvery {
		seg.sealed = true // the next write begins another
	}
}

// declareGone puts what was dropped into the log. It is small and may go past
// the folder's bound.
func (s *Spool) declareGone(now time.Time) {
	for reason, r := range s.gone {
		for _, x := range *r {
			at := len(s.pend.buf)
			s.pend.buf = appendDeclared(s.pend.buf, x[0], x[1], now, reason)
			s.queued(entry{kind: kindDeclared, lo: x[0], hi: x[1], reason: reason, at: at})
		}
		delete(s.gone, reason)
	}
}

// sync is the group commit: what was written before it survives a power
// failure once it returns.
func (s *Spool) sync() {
	s.mu.Lock()
	var dirty []*segment
	for _, l := range s.lives {
		for _, seg := range l.segments {
			if seg.dirty && seg.f != nil {
				seg.dirty = false
				dirty = append(dirty, seg)
			}
		}
	}
	newFiles := s.newFiles
	s.newFiles = false
	s.mu.Unlock()
	for _, seg := range dirty {
		if err := seg.f.Sync(); err != nil {
			// What the kernel could not write it may have thrown away: trying
			// again would report a success that is none.
			s.mu.Lock()
			s.errs.Sync++
			seg.sealed = true
			s.mu.Unlock()
			s.log.Error("fsync of a spool segment failed: it is given up and a new one begun", "segment", seg.path, "err", err)
		}
	}
	if newFiles {
		if err := s.disk.syncDir(s.cfg.Dir); err != nil {
			s.log.Warn("fsync of the spool's folder failed", "err", err)
		}
	}
}

// free deletes segments, oldest first, whose sequences the store has, and
// earlier lives of which nothing is left to say.
func (s *Spool) free() {
	s.mu.Lock()
	lives := append([]*life(nil), s.lives...)
	s.mu.Unlock()
	for _, l := range lives {
		for s.freeOldest(l) {
		}
		s.freeLife(l)
	}
}

// freeOldest frees the oldest segment of l if it may go. The newest stays: it
// carries the life's state.
func (s *Spool) freeOldest(l *life) bool {
	s.mu.Lock()
	if s.closed || len(l.segments) < 2 || !l.acked.covers(l.segments[0].held) || !l.lossesAcked() {
		s.mu.Unlock()
		return false
	}
	seg := l.segments[0]
	carried := s.carry(seg)
	s.mu.Unlock()
	if carried != nil {
		<-carried.done
	}
	return s.drop1(l, seg)
}

// drop1 notes the segment's sequences as freed and deletes it.
func (s *Spool) drop1(l *life, seg *segment) bool {
	if err := s.noteFreed(l, seg.held); err != nil {
		s.log.Warn("a spool segment that the store has cannot be freed", "segment", seg.path, "err", err)
		return false
	}
	s.mu.Lock()
	l.segments = l.segments[1:]
	s.used -= seg.size
	s.mu.Unlock()
	return s.unlink(seg)
}

func (s *Spool) unlink(seg *segment) bool {
	var err error
	if seg.f != nil {
		err = seg.f.Close()
	}
	if err = errors.Join(err, s.disk.remove(seg.path)); err != nil {
		s.log.Warn("a freed spool segment could not be deleted", "segment", seg.path, "err", err)
	}
	return true
}

// noteFreed saves that the sequences are with the store, before their segment
// goes: else a reader would take them for holes.
func (s *Spool) noteFreed(l *life, held ranges) error {
	s.stateMu.Lock()
	defer s.stateMu.Unlock()
	s.mu.Lock()
	st := l.st
	if l == s.cur {
		st = s.stateNow()
	} else {
		st.generation++
	}
	st.freed = append(ranges(nil), st.freed...)
	st.freed.addAll(held)
	st.freed.addAll(l.holes)
	for i := range l.lost {
		st.freed.add(l.lost[i].seq, l.lost[i].seq)
	}
	seg := l.newest()
	s.mu.Unlock()
	if err := s.putState(l, &st); err != nil {
		return err
	}
	if s.cfg.SyncEvery < 0 {
		return nil
	}
	return seg.f.Sync()
}

// carry copies the begun records that only seg holds of requests still running.
// It returns the batch they are in, or nil when there are none.
func (s *Spool) carry(seg *segment) (b *batch) {
	if seg.life != s.cur || s.broken || s.closed {
		return nil // a refusing disk: a kill now would leave holes instead of names
	}
	for _, r := range s.open {
		if r.seg == seg {
			at := len(s.pend.buf)
			s.pend.buf = appendBegun(s.pend.buf, &r.begun)
			b, _ = s.queued(entry{kind: kindBegun, lo: r.seq, hi: r.seq, at: at})
		}
	}
	return b
}

// lossesAcked says whether what an earlier life lost is declared in the store.
func (l *life) lossesAcked() bool {
	for i := range l.lost {
		if !l.acked.contains(l.lost[i].seq) {
			return false
		}
	}
	return l.acked.covers(l.holes)
}

// freeLife deletes what is left of an earlier life once the store has
// everything of it and its counters were announced.
func (s *Spool) freeLife(l *life) {
	s.mu.Lock()
	if l == s.cur || !l.announced || !l.settled() {
		s.mu.Unlock()
		return
	}
	for i := range s.lives {
		if s.lives[i] == l {
			s.lives = append(s.lives[:i:i], s.lives[i+1:]...)
			break
		}
	}
	s.used -= l.bytes()
	s.mu.Unlock()
	for _, seg := range l.segments {
		s.unlink(seg)
	}
}

// finish ends the life in good order: what the store has is deleted, the rest
// is synced.
func (s *Spool) finish() error {
	s.mu.Lock()
	done := len(s.open) == 0 && len(s.gone) == 0 && s.cur.settled() && (s.cur.announced || s.seq == 0)
	lives := append([]*life(nil), s.lives...)
	s.mu.Unlock()
	for _, l := range lives {
		if l != s.cur {
			s.freeLife(l)
		}
	}
	if !done {
		s.saveState()
		s.sync()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, l := range s.lives {
		for _, seg := range l.segments {
			if seg.f == nil {
				continue
			}
			errs = append(errs, seg.f.Close())
			if l == s.cur && done {
				errs = append(errs, s.disk.remove(seg.path))
			}
		}
	}
	return errors.Join(errs...)
}
