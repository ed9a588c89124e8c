package spool

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		childMain()
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, c Config) *Spool {
	t.Helper()
	if testing.Verbose() {
		c.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func closeSpool(t testing.TB, s *Spool) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

var someTime = time.Date(2026, 11, 20, 12, 0, 0, 123e6, time.UTC)

// idOf makes a request's id from its number, so that tests can tell who is who.
func idOf(seq uint64) (id [16]byte) {
	id[6], id[8], id[15], id[14] = 0x70, 0x80, byte(seq), byte(seq>>8)
	return id
}

func begin(s *Spool) uint64 {
	s.mu.Lock()
	next := s.seq + 1
	s.mu.Unlock()
	return s.Begin("acme", someTime, idOf(next))
}

func end(s *Spool, seq uint64) {
	s.End(&schemas.RequestEvent{
		Version: schemas.SchemaVersion, Project: "acme", Ts: someTime, RequestID: uuid.UUID(idOf(seq)).String(),
		Revision: 1, BootID: s.BootID(), Seq: seq, Status: schemas.StatusOK,
	})
}

// found is what Next hands out, by sequence.
type found struct {
	ended    map[uint64]int
	lost     map[uint64]string // error type
	declared map[uint64]string // reason
}

// drain reads until nothing more comes; only records of the boot id count.
func drain(t testing.TB, s *Spool, boot uint64) found {
	t.Helper()
	f := found{map[uint64]int{}, map[uint64]string{}, map[uint64]string{}}
	for {
		recs := s.take(3, 1<<20)
		if len(recs) == 0 {
			return f
		}
		s.Published(recs)
		for _, r := range recs {
			if r.BootID == boot {
				f.add(t, r)
			}
		}
	}
}

func (f *found) add(t testing.TB, r Record) {
	t.Helper()
	if r.Declared {
		var d schemas.Declared
		if err := json.Unmarshal(r.Value, &d); err != nil {
			t.Fatal(err)
		}
		if d.FirstSeq != r.FirstSeq || d.LastSeq != r.Last || d.BootID != r.BootID || d.At.IsZero() {
			t.Errorf("declaration %+v of record %d to %d", d, r.FirstSeq, r.Last)
		}
		for seq := d.FirstSeq; seq <= d.LastSeq; seq++ {
			f.declared[seq] = d.Reason
		}
		return
	}
	var ev schemas.RequestEvent
	if err := json.Unmarshal(r.Value, &ev); err != nil {
		t.Fatal(err)
	}
	if ev.Seq != r.FirstSeq || ev.BootID != r.BootID || ev.RequestID != uuid.UUID(idOf(ev.Seq)).String() || !ev.Ts.Equal(someTime) || ev.Project != "acme" || r.Key != ev.RequestID {
		t.Errorf("event %+v of record %d, key %s", ev, r.FirstSeq, r.Key)
	}
	if ev.Status == schemas.StatusLost {
		if ev.Revision != 0 {
			t.Errorf("a lost event of revision %d", ev.Revision)
		}
		f.lost[ev.Seq] = ev.ErrorType
		return
	}
	f.ended[ev.Seq]++
}

// accounted fails unless each of 1..last is shipped, running or declared.
func (f *found) accounted(t testing.TB, last uint64, except ...uint64) {
	t.Helper()
	for seq := uint64(1); seq <= last; seq++ {
		_, lost := f.lost[seq]
		_, declared := f.declared[seq]
		if f.ended[seq] == 0 && !lost && !declared && !slices.Contains(except, seq) {
			t.Errorf("sequence %d has vanished", seq)
		}
		if f.ended[seq] > 1 {
			t.Errorf("sequence %d was handed out %d times", seq, f.ended[seq])
		}
		if f.ended[seq] > 0 && (lost || declared) {
			t.Errorf("sequence %d has ended and is said to be gone", seq)
		}
	}
}

// crash copies the folder as a kill -9 would leave it.
func crash(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	pages, err := filepath.Glob(filepath.Join(dir, "*.reserve"))
	if err != nil {
		t.Fatal(err)
	}
	names := segmentsIn(t, dir)
	for _, page := range pages {
		names = append(names, filepath.Base(page))
	}
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func segmentsIn(t testing.TB, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if _, _, ok := parseName(e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	return names
}

func within(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func nextOne(t testing.TB, s *Spool) []Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	recs, err := s.Next(ctx, 1000, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return recs
}

func ack(s *Spool, boot uint64, r ...[2]uint64) { s.Acked(&schemas.Ack{BootID: boot, Ranges: r}) }

// sickDisk fails as it is told.
type sickDisk struct {
	osDisk
	mu       sync.Mutex
	room     int64 // bytes that still fit; negative: no bound
	writeErr error
	syncErr  error
	hang     chan struct{} // frames wait for it
	syncs    int
}

type sickFile struct {
	*os.File
	d *sickDisk
}

func (d *sickDisk) create(path string) (file, error) {
	f, err := d.osDisk.create(path)
	if err != nil {
		return nil, err
	}
	return &sickFile{f.(*os.File), d}, nil
}

func (d *sickDisk) open(path string) (file, error) {
	f, err := d.osDisk.open(path)
	if err != nil {
		return nil, err
	}
	return &sickFile{f.(*os.File), d}, nil
}

func (d *sickDisk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

func (f *sickFile) WriteAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	err, hang := f.d.writeErr, f.d.hang
	info, statErr := f.Stat()
	if statErr != nil {
		err = statErr
	}
	if grows := off + int64(len(b)) - info.Size(); err == nil && grows > 0 && f.d.room >= 0 {
		if grows > f.d.room { // like a full disk: some of it is written
			n := int64(len(b)) - (grows - f.d.room)
			f.d.room = 0
			b, err = b[:max(n, 0)], syscall.ENOSPC
		} else {
			f.d.room -= grows
		}
	}
	f.d.mu.Unlock()
	if hang != nil && off >= headerBytes {
		<-hang
	}
	if err != nil && !errorsIsNoSpace(err) {
		return 0, err
	}
	n, wErr := f.File.WriteAt(b, off)
	if err == nil {
		err = wErr
	}
	return n, err
}

func errorsIsNoSpace(err error) bool { return err == syscall.ENOSPC }

func (f *sickFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if info, err := f.Stat(); err == nil && f.d.room >= 0 {
		f.d.room += info.Size() - size
	}
	return f.File.Truncate(size)
}

func (f *sickFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.syncs++
	return f.d.syncErr
}
