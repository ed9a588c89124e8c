package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/internal/sabotage"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Why an event was not kept. The words are the reasons of declared ranges.
const (
	ReasonFull        = "spool_full"  // Config.MaxBytes was reached
	ReasonDisk        = "disk_error"  // the disk refused the write (full, failing)
	ReasonSlow        = "disk_slow"   // a hung write, and the memory beside it full
	ReasonUnencodable = "unencodable" // no JSON could be made of the event
	ReasonDamaged     = "spool_damaged"
	ReasonHole        = "spool_hole" // nothing is left of it: dropped or torn shortly before a kill
)

// Why a request that was begun never ended. The words are error types of lost
// events; ReasonDamaged is one, too.
const (
	ReasonKilled  = "proxy_killed"
	ReasonStopped = "proxy_stopped" // still running when the proxy closed in good order
)

// Config says where the spool is and how much it may hold.
type Config struct {
	Dir          string
	MaxBytes     int64         // of all segments; default 1 GiB
	SegmentBytes int64         // default 8 MiB
	SyncEvery    time.Duration // fsync by group commit; default 200 ms; negative: never
	RotateEvery  time.Duration // an older segment is followed by a new one; default 1 min
	Proxy        string        // a name for people in heartbeats; default host:folder
	Log          *slog.Logger

	disk disk // tests
}

// Limits of the memory beside a hung disk, and of the wait for it.
const (
	maxPending = 8 << 20
	stallCheck = 25 * time.Millisecond
	tick       = time.Second
)

var stallAfter = 50 * time.Millisecond // longer in tests that ask for what is written

// Spool is the log of one proxy. Its methods are safe for concurrent use; Next
// is for one caller at a time.
type Spool struct {
	cfg  Config
	log  *slog.Logger
	disk disk
	lock *os.File
	boot uint64

	mu      sync.Mutex
	closed  bool
	lives   []*life // earlier ones first; the last is the current one
	cur     *life
	open    map[uint64]*running
	ended   uint64
	dropped uint64
	seq     uint64
	used    int64 // bytes of all segments
	index   uint64

	pend      *batch
	spare     *batch             // the one before: its memory is used again
	gone      map[string]*ranges // dropped, not yet declared in the log, by reason
	broken    bool               // the disk refused; tried again at the next tick
	stateOld  bool               // counters changed without a frame: state to be rewritten
	stateLost bool               // the disk did not take the last one
	reserve   [reserves]page
	writing   time.Time     // since when write(2) runs; zero when it does not
	stall     chan struct{} // closed while the disk hangs
	stalled   bool
	newFiles  bool // made since the folder was last synced
	errs      Errors

	scratch []byte     // recovery reads segments into it
	ackMu   sync.Mutex // held while acks are joined; before mu
	stateMu sync.Mutex // held while a state is written; before mu

	wake  chan struct{} // to the writer
	more  chan struct{} // to Next
	kick  chan struct{} // to the janitor
	stop  chan struct{}
	tasks sync.WaitGroup
}

// Errors counts what went wrong since Open.
type Errors struct {
	Write, Sync, Damaged uint64
}

// running is a request that was begun and has not ended.
type running struct {
	begun
	seg *segment // where its begun record is; nil when it has none
}

// batch is what one write(2) takes.
type batch struct {
	buf     []byte
	entries []entry
	done    chan struct{}
}

// entry is one frame of a batch.
type entry struct {
	kind   kind
	lo, hi uint64
	reason string
	at, n  int
}

// Open takes the folder, reads what earlier lives left and begins a new life.
// It fails when another process has the folder (ErrLocked), or the folder
// cannot be made. A disk that is full is no error: events are counted then.
func Open(c Config) (*Spool, error) {
	if c.Dir == "" {
		return nil, errors.New("spool: no folder given: set data_dir")
	}
	c.setDefaults()
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: folder: %w; make data_dir a folder that this user can write to", err)
	}
	lock, err := lockFolder(c.Dir)
	if err != nil {
		return nil, err
	}
	s := &Spool{
		cfg: c, log: c.Log, disk: c.disk, lock: lock,
		open: map[uint64]*running{}, gone: map[string]*ranges{}, stall: make(chan struct{}),
		wake: make(chan struct{}, 1), more: make(chan struct{}, 1), kick: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	s.pend = nextBatch(nil)
	if err := s.recover(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	if s.boot, err = newBootID(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	s.cur = &life{boot: s.boot, made: time.Now().UnixNano()}
	s.lives = append(s.lives, s.cur)
	s.refill()
	if err := s.rotate(true); err != nil {
		s.noteBroken(err)
		s.log.Error("not even a page of the spool's reserve is there: how much is accepted until the disk has room is known by heartbeats alone; make room now", "dir", s.cfg.Dir)
	}
	s.tasks.Add(3)
	go s.write()
	go s.janitor()
	go s.watch()
	return s, nil
}

func (c *Config) setDefaults() {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 1 << 30
	}
	if c.SegmentBytes <= 0 {
		c.SegmentBytes = 8 << 20
	}
	c.SegmentBytes = max(min(c.SegmentBytes, c.MaxBytes/4), 2*headerBytes)
	if c.SyncEvery == 0 {
		c.SyncEvery = 200 * time.Millisecond
	}
	if c.RotateEvery <= 0 {
		c.RotateEvery = time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Proxy == "" {
		host, _ := os.Hostname()
		dir, err := filepath.Abs(c.Dir)
		if err != nil {
			dir = c.Dir
		}
		c.Proxy = host + ":" + dir
	}
	if c.disk == nil {
		c.disk = osDisk{}
	}
}

// newBootID is random, not zero, and below 2^53.
func newBootID() (uint64, error) {
	for {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return 0, fmt.Errorf("spool: boot id: %w", err)
		}
		if id := binary.LittleEndian.Uint64(b[:]) % maxBootID; id != 0 {
			return id, nil
		}
	}
}

// nextBatch is an empty batch in the memory of an earlier one, if that is given.
func nextBatch(spare *batch) *batch {
	b := &batch{done: make(chan struct{})}
	if spare != nil {
		b.buf, b.entries = spare.buf[:0], spare.entries[:0]
	}
	return b
}

// frames are for events until they are in a batch.
var frames = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// maxFrame bounds what is kept of them.
const maxFrame = 64 << 10

// BootID is this life's id: random, below 2^53.
func (s *Spool) BootID() uint64 { return s.boot }

// Begin accepts a request: it gives it the next sequence number and returns
// once the operating system has its begun record, or, where the disk refuses
// or hangs, without one.
func (s *Spool) Begin(project string, ts time.Time, id [16]byte) (seq uint64) {
	if len(project) > projectLimit {
		project = project[:projectLimit]
	}
	r := &running{begun: begun{ts: ts.UnixNano(), id: id, project: project}}
	s.mu.Lock()
	s.seq++
	r.seq = s.seq
	s.open[r.seq] = r
	if sabotage.Of(sabotage.BeginRecord) {
		s.mu.Unlock()
		return r.seq
	}
	if reason := s.refused(frameHeader + begunFixed + len(project)); reason != "" {
		b, stall := s.stateChanged(reason)
		s.mu.Unlock()
		s.wait(b, stall)
		return r.seq
	}
	at := len(s.pend.buf)
	s.pend.buf = appendBegun(s.pend.buf, &r.begun)
	b, stall := s.queued(entry{kind: kindBegun, lo: r.seq, hi: r.seq, at: at})
	s.mu.Unlock()
	s.wait(b, stall)
	return r.seq
}

// End records the event of an accepted request, whose BootID and Seq are those
// of Begin. It returns once the operating system has it; where that cannot be,
// the event is dropped and counted.
func (s *Spool) End(ev *schemas.RequestEvent) {
	if sabotage.Of(sabotage.EndRecord) {
		kept := *ev
		time.AfterFunc(300*time.Millisecond, func() { s.end(&kept) })
		return
	}
	s.end(ev)
}

func (s *Spool) end(ev *schemas.RequestEvent) {
	pooled := frames.Get().(*[]byte)
	frame, err := appendEnded((*pooled)[:0], ev)
	defer func() {
		if cap(frame) <= maxFrame {
			*pooled = frame
		}
		frames.Put(pooled)
	}()
	if err != nil {
		s.log.Error("event cannot be encoded and is declared lost", "request_id", ev.RequestID, "err", err)
	}
	s.mu.Lock()
	delete(s.open, ev.Seq)
	s.ended++
	reason := ReasonUnencodable
	if err == nil {
		reason = s.refused(len(frame))
	}
	if len(frame) > frameHeader+maxPayload {
		reason = ReasonUnencodable
	}
	if reason != "" {
		b, stall := s.drop(ev.Seq, reason)
		s.mu.Unlock()
		s.wait(b, stall)
		return
	}
	at := len(s.pend.buf)
	s.pend.buf = append(s.pend.buf, frame...)
	b, stall := s.queued(entry{kind: kindEnded, lo: ev.Seq, hi: ev.Seq, at: at})
	s.mu.Unlock()
	s.wait(b, stall)
}

// refused says why n more bytes cannot be taken; "" when they can.
func (s *Spool) refused(n int) string {
	switch {
	case s.closed:
		return ReasonStopped
	case s.broken:
		return ReasonDisk
	case len(s.pend.buf)+n > maxPending && s.stalled:
		return ReasonSlow
	case s.used+int64(len(s.pend.buf)+n)+headerBytes > s.cfg.MaxBytes: // a new segment may be needed for it
		return ReasonFull
	}
	return ""
}

// drop counts one ended event that is not kept.
func (s *Spool) drop(seq uint64, reason string) (*batch, chan struct{}) {
	s.dropped++
	s.goneWith(reason, seq, seq)
	return s.stateChanged(reason)
}

func (s *Spool) goneWith(reason string, lo, hi uint64) {
	r := s.gone[reason]
	if r == nil {
		r = new(ranges)
		s.gone[reason] = r
	}
	r.add(lo, hi)
}

// stateChanged asks the writer to put the counters into the segment's state: no
// frame says them. Where the disk takes states, also when it is full for all else,
// the caller waits for it, so that the count survives a kill, too; else the batch
// returned is nil.
func (s *Spool) stateChanged(reason string) (*batch, chan struct{}) {
	s.stateOld = true
	s.cur.announced = false
	poke(s.wake)
	if reason == ReasonFull || reason == ReasonDisk && !s.stateLost {
		return s.pend, s.stall
	}
	return nil, nil
}

// queued notes an entry that was appended to the pending batch.
func (s *Spool) queued(e entry) (*batch, chan struct{}) {
	e.n = len(s.pend.buf) - e.at
	s.pend.entries = append(s.pend.entries, e)
	s.cur.announced = false
	poke(s.wake)
	return s.pend, s.stall
}

// wait returns when b is written or the disk is found to hang.
func (s *Spool) wait(b *batch, stall chan struct{}) {
	if b == nil {
		return
	}
	select {
	case <-b.done:
	case <-stall:
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Stats is the spool as it stands.
type Stats struct {
	Accepted, Ended, Dropped, LastSeq uint64 // of this life
	Running                           int    // begun, not ended
	Bytes, MaxBytes                   int64  // of all lives' segments
	Segments, EarlierLives            int
	Unacked                           uint64 // ended or declared, and not acknowledged by the store
	Broken, Stalled                   bool   // the disk refuses; the disk hangs
	Errors                            Errors
}

// Stats returns the counters.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Accepted: s.seq, Ended: s.ended, Dropped: s.dropped, LastSeq: s.seq, Running: len(s.open),
		Bytes: s.used, MaxBytes: s.cfg.MaxBytes, EarlierLives: len(s.lives) - 1, Broken: s.broken, Stalled: s.stalled, Errors: s.errs,
	}
	for _, l := range s.lives {
		st.Segments += len(l.segments)
		for _, g := range l.segments {
			st.Unacked += g.held.minus(l.acked).count()
		}
		st.Unacked += l.holes.minus(l.acked).count()
		for i := range l.lost {
			if !l.acked.contains(l.lost[i].seq) {
				st.Unacked++
			}
		}
	}
	return st
}

// Close stops taking events, writes and syncs what is there, and gives the
// folder back. Folders whose events the store has are left empty.
func (s *Spool) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.declareGone(time.Now())
	s.closed = true
	s.mu.Unlock()
	close(s.stop)
	s.tasks.Wait()
	err := s.finish()
	return errors.Join(err, s.lock.Close())
}
