package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

func bootKey(boot uint64) string { return strconv.FormatUint(boot, 10) }

// recover reads what earlier lives left in the folder.
func (s *Spool) recover() error {
	names, err := s.disk.list(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("spool: folder: %w", err)
	}
	lives := map[uint64]*life{}
	gather := map[uint64]*gathered{}
	for _, name := range names { // by name: a life's segments in order
		boot, index, ok := parseName(name)
		if !ok {
			continue
		}
		l := lives[boot]
		if l == nil {
			l = &life{boot: boot}
			lives[boot], gather[boot] = l, &gathered{open: map[uint64]begun{}}
		}
		seg := &segment{life: l, index: index, path: filepath.Join(s.cfg.Dir, name), sealed: true, readPos: headerBytes}
		if err := s.readBack(seg, gather[boot]); err != nil {
			return err
		}
	}
	for boot, l := range lives {
		g := gather[boot]
		l.conclude(g)
		s.errs.Damaged += uint64(g.damaged)
		if g.foreign {
			for _, seg := range l.segments {
				_ = seg.f.Close()
			}
			continue
		}
		if l.st.lastSeq == 0 { // began and ended without a request
			for _, seg := range l.segments {
				s.unlink(seg)
			}
			continue
		}
		s.used += l.bytes()
		s.lives = append(s.lives, l)
		s.log.Info("an earlier life left events in the spool", "boot_id", boot, "accepted", l.st.lastSeq,
			"begun_never_ended", len(l.lost), "missing", l.holes.count(), "damaged_places", g.damaged, "bytes", l.bytes())
	}
	s.scratch = nil
	slices.SortFunc(s.lives, func(a, b *life) int {
		return cmp.Or(cmp.Compare(a.made, b.made), cmp.Compare(a.boot, b.boot))
	})
	return nil
}

// gathered is what the segments of one life say together.
type gathered struct {
	open    map[uint64]begun
	held    ranges
	ended   ranges
	highest uint64
	damaged int
	states  int
	foreign bool // of a newer format: left alone
}

// readBack scans one segment of an earlier life. A file that cannot be read is
// kept and reported; it is no reason to refuse to start.
func (s *Spool) readBack(seg *segment, g *gathered) error {
	f, err := s.disk.open(seg.path)
	if err != nil {
		return fmt.Errorf("spool: segment of an earlier life: %w; mend its permissions, or move it away (its events are then missing)", err)
	}
	seg.f = f
	data, err := readWhole(f, s.scratch)
	s.scratch = data[:0]
	if err != nil {
		s.log.Error("a spool segment of an earlier life cannot be read whole", "segment", seg.path, "read", len(data), "err", err)
		g.damaged++
	}
	l := seg.life
	seg.size = int64(len(data))
	l.segments = append(l.segments, seg)
	if len(data) < headerBytes {
		return nil // killed while the file was being made: nothing is in it
	}
	if h, ok := parseHeader(data); !ok {
		g.damaged++
	} else if h.version != formatVersion {
		s.log.Error("a spool segment is of another format and is left alone; start the gnomon that wrote it to ship it", "segment", seg.path, "format", h.version)
		g.foreign = true
		return nil
	} else if l.made == 0 || h.made < l.made {
		l.made = h.made
	}
	if st, ok := parseState(data[:headerBytes]); ok {
		g.states++
		if st.generation > l.st.generation {
			l.st = st
		}
	}
	good, damaged := scan(data[headerBytes:], func(f *frame, _ int) { g.see(seg, f) })
	seg.size = headerBytes + int64(good)
	seg.missing = damaged > 0
	g.damaged += damaged
	return nil
}

func (g *gathered) see(seg *segment, f *frame) {
	switch f.kind {
	case kindBegun:
		if !g.held.contains(f.seq) {
			g.open[f.seq] = f.begun
		}
	case kindEnded, kindDeclared:
		if f.kind == kindEnded {
			delete(g.open, f.seq)
			g.ended.add(f.seq, f.seq)
		}
		seg.held.add(f.seq, f.last)
		g.held.add(f.seq, f.last)
	default:
		return
	}
	g.highest = max(g.highest, f.last)
}

// conclude works out what the life lost.
func (l *life) conclude(g *gathered) {
	if l.made == 0 {
		l.made = time.Now().UnixNano()
	}
	l.lostReason = ReasonKilled
	switch {
	case g.damaged > 0:
		l.lostReason = ReasonDamaged
	case l.st.closed:
		l.lostReason = ReasonStopped
	}
	l.st.lastSeq = max(l.st.lastSeq, g.highest)
	known := append(ranges(nil), l.st.freed...)
	known.addAll(g.held)
	for seq, b := range g.open {
		if !known.contains(seq) {
			l.lost = append(l.lost, b)
		}
	}
	slices.SortFunc(l.lost, func(a, b begun) int { return cmp.Compare(a.seq, b.seq) })
	for i := range l.lost {
		known.add(l.lost[i].seq, l.lost[i].seq)
	}
	if g.states > 0 && l.st.lastSeq > 0 { // without a state, freed and missing cannot be told apart
		l.holes = ranges{{1, l.st.lastSeq}}.minus(known)
	}
	l.st.ended = max(l.st.ended, l.st.lastSeq-uint64(len(l.lost))-l.holes.count())
}

// readWhole reads a file from its start into out, which it grows; what was read is returned with an error, too.
func readWhole(f io.ReaderAt, out []byte) ([]byte, error) {
	for {
		if cap(out)-len(out) < 1<<16 {
			out = slices.Grow(out, max(1<<17, len(out)))
		}
		n, err := f.ReadAt(out[len(out):cap(out)], int64(len(out)))
		out = out[:len(out)+n]
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}
