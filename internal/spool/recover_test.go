package spool

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// smallLog makes a log of one segment and returns its bytes and boot id: 1 and 2
// end, 3 is dropped in between and declared, 4 never ends, 5 ends.
func smallLog(t *testing.T) (name string, data []byte, boot uint64) {
	t.Helper()
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	boot = s.BootID()
	begin(s)
	begin(s)
	end(s, 1)
	begin(s)
	s.mu.Lock()
	delete(s.open, 3)
	s.ended++
	s.drop(3, ReasonFull)
	s.declareGone(someTime)
	s.mu.Unlock()
	begin(s)
	end(s, 2)
	begin(s)
	end(s, 5)
	name = segmentsIn(t, dir)[0]
	within(t, time.Second, "the declaration", func() bool {
		var err error
		if data, err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		frames := 0
		scan(data[headerBytes:], func(*frame, int) { frames++ })
		return frames == 9
	})
	return name, data, boot
}

// reopened recovers a folder, kept in memory, that holds this one segment.
func reopened(t *testing.T, name string, data []byte, boot uint64) found {
	t.Helper()
	s := &Spool{log: slog.New(slog.DiscardHandler), disk: memoryDisk{name: data}, more: make(chan struct{}, 1)}
	if err := s.recover(); err != nil {
		t.Fatal(err)
	}
	return drain(t, s, boot)
}

// memoryDisk is a folder of files that are only read.
type memoryDisk map[string][]byte

func (d memoryDisk) list(string) (names []string, err error) {
	return slices.Sorted(maps.Keys(d)), nil
}
func (d memoryDisk) create(string) (file, error)    { return nil, os.ErrPermission }
func (d memoryDisk) open(path string) (file, error) { return memoryFile{bytes.NewReader(d[path])}, nil }
func (d memoryDisk) remove(string) error            { return nil }
func (d memoryDisk) rename(string, string) error    { return os.ErrPermission }
func (d memoryDisk) syncDir(string) error           { return nil }

type memoryFile struct{ *bytes.Reader }

func (memoryFile) WriteAt([]byte, int64) (int, error) { return 0, os.ErrPermission }
func (memoryFile) Truncate(int64) error               { return os.ErrPermission }
func (memoryFile) Sync() error                        { return nil }
func (memoryFile) Close() error                       { return nil }

// whole lists the frames that data holds in full, read without the spool.
func whole(data []byte) (began, ended map[uint64]bool, declared ranges) {
	began, ended = map[uint64]bool{}, map[uint64]bool{}
	for at := headerBytes; at < len(data); {
		f, n := parseFrame(data[at:])
		if n == 0 {
			return
		}
		switch f.kind {
		case kindBegun:
			began[f.seq] = true
		case kindEnded:
			ended[f.seq] = true
		case kindDeclared:
			declared.add(f.seq, f.last)
		}
		at += n
	}
	return
}

func TestALogCutAnywhereGivesBackWhatCameBefore(t *testing.T) {
	name, data, boot := smallLog(t)
	for cut := 0; cut <= len(data); cut++ {
		if cut > 64 && cut < headerBytes-64 && cut%97 != 0 {
			continue // the header page is all or nothing
		}
		f := reopened(t, name, data[:cut], boot)
		began, ended, declared := whole(data[:cut])
		for seq := uint64(1); seq <= 5; seq++ {
			if want := ended[seq]; (f.ended[seq] == 1) != want {
				t.Errorf("cut at %d: sequence %d handed out %d times, whole: %v", cut, seq, f.ended[seq], want)
			}
			wantLost := began[seq] && !ended[seq] && !declared.contains(seq)
			if got := f.lost[seq]; (got == ReasonKilled) != wantLost {
				t.Errorf("cut at %d: sequence %d lost %q, begun and never ended: %v", cut, seq, got, wantLost)
			}
			if got := f.declared[seq]; declared.contains(seq) && got != ReasonFull {
				t.Errorf("cut at %d: sequence %d declared %q", cut, seq, got)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func TestAFlippedBitCostsAtMostItsRecord(t *testing.T) {
	name, data, boot := smallLog(t)
	for at := headerBytes; at < len(data); at++ {
		sick := bytes.Clone(data)
		sick[at] ^= 1 << (at % 8)
		f := reopened(t, name, sick, boot)
		f.accounted(t, 5)
		if kept := len(f.ended); kept < 2 {
			t.Errorf("flip at %d: only %d of 3 ended events are left", at, kept)
		}
		for seq, reason := range f.lost {
			if reason != ReasonDamaged && reason != ReasonKilled {
				t.Errorf("flip at %d: sequence %d lost with %q", at, seq, reason)
			}
		}
		if t.Failed() {
			return
		}
	}
}

func TestADamagedHeaderKeepsTheFrames(t *testing.T) {
	name, data, boot := smallLog(t)
	for _, at := range []int{0, 8, 16, 40} {
		sick := bytes.Clone(data)
		sick[at] ^= 0xff
		f := reopened(t, name, sick, boot)
		if len(f.ended) != 3 || len(f.lost) != 1 || len(f.declared) != 1 {
			t.Errorf("header damaged at %d: %+v", at, f)
		}
	}
}

func TestTailsOfZeroesAndGarbageAreCutOff(t *testing.T) {
	name, data, boot := smallLog(t)
	half := data[:len(data)-20] // 5's event is torn
	garbage := bytes.Repeat([]byte{'G' ^ 'x', 'N', 'G', 0xff, 0xff, 0xff, 0x7f}, 3000)
	for what, tail := range map[string][]byte{
		"zeroes":                  make([]byte, 9000),
		"garbage":                 garbage,
		"a marker and huge sizes": bytes.Repeat([]byte{0x47, 0x4e, 2, 0, 0xff, 0xff, 0xff, 0x7f}, 3000),
		"nothing":                 nil,
	} {
		f := reopened(t, name, append(bytes.Clone(half), tail...), boot)
		if f.ended[1] != 1 || f.ended[2] != 1 || f.ended[5] != 0 || f.lost[5] == "" || f.lost[4] == "" {
			t.Errorf("tail of %s: %+v", what, f)
		}
	}
}

func TestASegmentOfAnotherFormatIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	h := newHeader(77, 1, someTime, &state{generation: 1})
	h[8] = 9
	copy(h[40:], crcOf(h[:40]))
	name := filepath.Join(dir, filepath.Base(segmentPath(dir, 77, 1)))
	if err := os.WriteFile(name, h, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Dir: dir})
	closeSpool(t, s)
	if _, err := os.Stat(name); err != nil {
		t.Error("it was removed")
	}
}

func crcOf(b []byte) []byte { return binary.LittleEndian.AppendUint32(nil, checksum(b)) }

func TestStatesAreReadFromTheNewestWholeSlot(t *testing.T) {
	for _, c := range []struct {
		name string
		spot int64 // damaged
		want uint64
	}{
		{"both whole", -1, 8},
		{"the newer torn", slotOffsets[0] + 9, 7},
		{"the older torn", slotOffsets[1] + 9, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := make([]byte, headerBytes)
			for gen := uint64(7); gen <= 8; gen++ {
				st := state{generation: gen, lastSeq: 100 + gen, freed: ranges{{1, 10}, {12, 90}}}
				slot, ok := st.encode()
				if !ok {
					t.Fatal("does not fit")
				}
				copy(h[slotOffsets[gen%2]:], slot)
			}
			if c.spot >= 0 {
				h[c.spot] ^= 1
			}
			st, ok := parseState(h)
			if !ok || st.generation != c.want || st.lastSeq != 100+c.want || st.freed.count() != 89 {
				t.Errorf("%v %+v", ok, st)
			}
		})
	}
}
