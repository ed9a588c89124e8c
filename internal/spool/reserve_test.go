package spool

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// fullLife is a life on a disk without room that accepts some requests and is
// killed. It returns what is left of it, and its boot id.
func fullLife(t *testing.T, dir string, accepts int) (left string, boot uint64) {
	t.Helper()
	d := &sickDisk{}
	s, err := Open(Config{Dir: dir, disk: d})
	if err != nil {
		t.Fatal(err)
	}
	for i := range accepts {
		if seq := begin(s); i%2 == 0 {
			end(s, seq) // the others are running when it is killed
		}
	}
	left = crash(t, dir) // at once: a count that is on its way does not count
	closeSpool(t, s)
	return left, s.BootID()
}

func TestALifeThatFindsTheDiskFullAndIsKilledStillSaysWhatItAccepted(t *testing.T) {
	dir := t.TempDir()
	closeSpool(t, open(t, Config{Dir: dir})) // there was room once
	left, boot := fullLife(t, dir, 20)
	s := open(t, Config{Dir: left})
	h := s.Heartbeats(time.Now())
	if len(h) != 2 || h[0].BootID != boot || h[0].Accepted != 20 || h[0].Dropped != 10 {
		t.Fatalf("its last words are %+v, 20 were accepted", h)
	}
	f := drain(t, s, boot)
	f.accounted(t, 20)
	if len(f.declared) != 20 {
		t.Errorf("%+v", f)
	}
}

func TestTheReserveIsEnoughForLivesInARowAndIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	closeSpool(t, open(t, Config{Dir: dir}))
	accepted := map[uint64]uint64{}
	for i := range reserves {
		left, boot := fullLife(t, dir, 3+i)
		dir, accepted[boot] = left, uint64(3+i)
	}
	// Without a page nothing is left of a life: what the pages are for.
	dir, gone := fullLife(t, dir, 2)
	s := open(t, Config{Dir: dir})
	for _, h := range s.Heartbeats(time.Now()) {
		if h.BootID == gone {
			t.Error("a life without a page has last words: the test does not show what pages are for")
		}
		if h.BootID != s.BootID() && accepted[h.BootID] != h.Accepted {
			t.Errorf("%+v, accepted were %d", h, accepted[h.BootID])
		}
		delete(accepted, h.BootID)
	}
	if len(accepted) > 0 {
		t.Errorf("nothing is left of %v", accepted)
	}
	for i := range reserves {
		if info, err := os.Stat(s.reservePath(i)); err != nil || info.Size() != headerBytes {
			t.Errorf("with room again, page %d: %v, %v", i, info, err)
		}
	}
}

func TestAPageIsTakenOnlyByALifeThatHasNoOther(t *testing.T) {
	d := &sickDisk{room: -1}
	s := open(t, Config{Dir: t.TempDir(), SegmentBytes: 40 << 10, disk: d})
	end(s, begin(s))
	d.set(func() { d.room = 0 })
	for range 200 {
		end(s, begin(s))
	}
	for i := range reserves {
		if _, err := os.Stat(s.reservePath(i)); err != nil {
			t.Error(err)
		}
	}
}

// takingDisk does something while a page of the reserve becomes a segment.
type takingDisk struct {
	sickDisk
	meanwhile func()
}

func (d *takingDisk) rename(from, to string) error {
	d.meanwhile()
	return d.sickDisk.rename(from, to)
}

func TestAPageThatIsJustTakenIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	d := &takingDisk{}
	d.room = -1
	s, err := Open(Config{Dir: dir, disk: d})
	if err != nil {
		t.Fatal(err)
	}
	defer closeSpool(t, s)
	d.meanwhile = s.refill // as the janitor may
	d.set(func() { d.room = 0 })
	f, err := s.newFile(filepath.Join(dir, "taken"), make([]byte, headerBytes), true)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	d.set(func() { d.room = -1 })
	s.refill()
	for i := range reserves {
		if _, err := os.Stat(s.reservePath(i)); err != nil {
			t.Error(err)
		}
	}
}
