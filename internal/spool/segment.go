package spool

import (
	"io"
	"os"
	"time"
)

// file is what a segment needs of a file; tests put failing disks in its place.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Close() error
}

// disk finds, makes and removes segments.
type disk interface {
	list(dir string) (names []string, err error) // sorted
	create(path string) (file, error)
	open(path string) (file, error)
	remove(path string) error
	rename(from, to string) error
	syncDir(dir string) error
}

type osDisk struct{}

func (osDisk) list(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (osDisk) create(path string) (file, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

func (osDisk) open(path string) (file, error) { return os.OpenFile(path, os.O_RDWR, 0) }

func (osDisk) remove(path string) error { return os.Remove(path) }

func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// segment is one file of a life. Its fields are guarded by Spool.mu, but for f
// itself, which the writer and the janitor use without it.
type segment struct {
	life  *life
	index uint64
	path  string
	f     file  // nil once nothing is left to read or write
	size  int64 // bytes that count, header included

	made time.Time

	held   ranges // sequences that ended or are declared in it
	sealed bool   // no more appends
	dirty  bool   // written since the last fsync

	readPos   int64     // what Next has handed out
	published time.Time // when the last of it was taken by the broker
	resends   int       // how often it was sent again for want of an ack
	missing   bool      // damaged where Next read it: what is not found is declared
}

// life is one boot id: the current process, or an earlier one that left
// something behind.
type life struct {
	boot     uint64
	made     int64
	segments []*segment // oldest first
	acked    ranges     // the store has them
	st       state

	// Of earlier lives only: what was begun and never ended, and sequences of
	// which nothing is left.
	lost       []begun
	lostReason string
	holes      ranges
	handedOut  bool // lost and holes
	published  time.Time
	resends    int

	announced bool // its final counters are with the broker
}

// settled says whether the store has everything of the life.
func (l *life) settled() bool {
	for _, s := range l.segments {
		if !l.acked.covers(s.held) {
			return false
		}
	}
	for i := range l.lost {
		if !l.acked.contains(l.lost[i].seq) {
			return false
		}
	}
	return l.acked.covers(l.holes)
}

func (l *life) bytes() (n int64) {
	for _, s := range l.segments {
		n += s.size
	}
	return n
}
