package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/internal/sabotage"
	"github.com/gnomon-llm/gnomon/schemas"
)

const (
	magic         = "GNSPOOL\x01"
	formatVersion = 1
	headerBytes   = 16384
	slotBytes     = 7936
	slotFixed     = 40 // before the ranges

	frameHeader  = 12
	marker       = 0x4E47
	maxPayload   = 16 << 20
	begunFixed   = 32
	endedFixed   = 10
	declaredFix  = 24
	flagClosed   = 1
	segmentExt   = ".seg"
	lockName     = "lock"
	maxBootID    = 1 << 53 // readers whose only number is a float64 must agree on it
	projectLimit = 256     // bytes of a project kept in a begun record
)

var slotOffsets = [2]int64{512, 8448}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type kind byte

const (
	kindBegun    kind = 1
	kindEnded    kind = 2
	kindDeclared kind = 3
)

// begun is what is known of a request before it ended.
type begun struct {
	seq     uint64
	ts      int64 // nanoseconds since 1970
	id      [16]byte
	project string
}

// state is the part of a life that is rewritten in place.
type state struct {
	generation uint64
	lastSeq    uint64
	ended      uint64
	dropped    uint64
	closed     bool
	freed      ranges
}

// openFrame reserves a frame's header in b; closeFrame fills it.
func openFrame(b []byte) []byte { return append(b, make([]byte, frameHeader)...) }

func closeFrame(b []byte, at int, k kind) {
	f := b[at:]
	binary.LittleEndian.PutUint16(f, marker)
	f[2], f[3] = byte(k), 0
	binary.LittleEndian.PutUint32(f[4:], uint32(len(f)-frameHeader))
	binary.LittleEndian.PutUint32(f[8:], frameCRC(f))
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func frameCRC(f []byte) uint32 {
	return crc32.Update(crc32.Checksum(f[2:8], castagnoli), castagnoli, f[frameHeader:])
}

func appendBegun(b []byte, g *begun) []byte {
	at := len(b)
	b = openFrame(b)
	b = binary.LittleEndian.AppendUint64(b, g.seq)
	b = binary.LittleEndian.AppendUint64(b, uint64(g.ts))
	b = append(b, g.id[:]...)
	b = append(b, g.project...)
	closeFrame(b, at, kindBegun)
	return b
}

func appendEnded(b []byte, ev *schemas.RequestEvent) ([]byte, error) {
	at := len(b)
	key := ev.RequestID[:min(len(ev.RequestID), 1<<16-1)]
	b = openFrame(b)
	b = binary.LittleEndian.AppendUint64(b, ev.Seq)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(key)))
	b = append(b, key...)
	b, err := ev.AppendJSON(b)
	if err == nil {
		closeFrame(b, at, kindEnded)
	}
	return b, err
}

func appendDeclared(b []byte, lo, hi uint64, at time.Time, reason string) []byte {
	start := len(b)
	b = openFrame(b)
	b = binary.LittleEndian.AppendUint64(b, lo)
	b = binary.LittleEndian.AppendUint64(b, hi)
	b = binary.LittleEndian.AppendUint64(b, uint64(at.UnixNano()))
	b = append(b, reason...)
	closeFrame(b, start, kindDeclared)
	return b
}

// frame is a decoded frame; its slices point into the scanned bytes.
type frame struct {
	kind   kind
	seq    uint64
	last   uint64 // declared: inclusive; else seq
	begun  begun  // begun only
	key    []byte // ended only
	event  []byte // ended only
	at     int64  // declared only
	reason string // declared only
}

// parseFrame reads the frame at the start of b. n is its size; 0 when b holds
// no whole, undamaged frame of a known type there.
func parseFrame(b []byte) (f frame, n int) {
	if len(b) < frameHeader || binary.LittleEndian.Uint16(b) != marker {
		return f, 0
	}
	length := binary.LittleEndian.Uint32(b[4:])
	if length > maxPayload || int64(length) > int64(len(b)-frameHeader) {
		return f, 0
	}
	n = frameHeader + int(length)
	if frameCRC(b[:n]) != binary.LittleEndian.Uint32(b[8:]) && !sabotage.Of(sabotage.FrameChecksum) {
		return f, 0
	}
	p := b[frameHeader:n]
	f.kind = kind(b[2])
	switch f.kind {
	case kindBegun:
		if len(p) < begunFixed {
			return f, 0
		}
		f.begun = begun{seq: binary.LittleEndian.Uint64(p), ts: int64(binary.LittleEndian.Uint64(p[8:])), project: string(p[begunFixed:])}
		copy(f.begun.id[:], p[16:])
		f.seq = f.begun.seq
	case kindEnded:
		if len(p) < endedFixed || len(p) < endedFixed+int(binary.LittleEndian.Uint16(p[8:])) {
			return f, 0
		}
		f.seq = binary.LittleEndian.Uint64(p)
		k := endedFixed + int(binary.LittleEndian.Uint16(p[8:]))
		f.key, f.event = p[endedFixed:k], p[k:]
	case kindDeclared:
		if len(p) < declaredFix {
			return f, 0
		}
		f.seq, f.last = binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
		f.at, f.reason = int64(binary.LittleEndian.Uint64(p[16:])), string(p[declaredFix:])
		return f, n
	default: // of a newer minor: passed over, not damage
	}
	f.last = f.seq
	return f, n
}

// nextFrame returns where, from b[from:] on, the next whole frame begins; −1
// when there is none.
func nextFrame(b []byte, from int) int {
	for i := from; i+frameHeader <= len(b); i++ {
		if binary.LittleEndian.Uint16(b[i:]) != marker {
			continue
		}
		if _, n := parseFrame(b[i:]); n > 0 {
			return i
		}
	}
	return -1
}

// scan calls fn for every whole frame in b. good is where the last one ends;
// damaged counts the places in the middle that had to be skipped.
func scan(b []byte, fn func(f *frame, at int)) (good, damaged int) {
	for at := 0; at < len(b); {
		f, n := parseFrame(b[at:])
		if n == 0 {
			next := nextFrame(b, at+1)
			if next < 0 {
				return good, damaged
			}
			damaged++
			at = next
			continue
		}
		fn(&f, at)
		at += n
		good = at
	}
	return good, damaged
}

// newHeader is a segment's first page, with the life's state.
func newHeader(boot, index uint64, made time.Time, st *state) []byte {
	h := make([]byte, headerBytes)
	copy(h, magic)
	binary.LittleEndian.PutUint32(h[8:], formatVersion)
	binary.LittleEndian.PutUint32(h[12:], headerBytes)
	binary.LittleEndian.PutUint64(h[16:], boot)
	binary.LittleEndian.PutUint64(h[24:], index)
	binary.LittleEndian.PutUint64(h[32:], uint64(made.UnixNano()))
	binary.LittleEndian.PutUint32(h[40:], checksum(h[:40]))
	if slot, ok := st.encode(); ok {
		copy(h[slotOffsets[st.generation%2]:], slot)
	}
	return h
}

// header is what a segment says of itself.
type header struct {
	version uint32
	boot    uint64
	index   uint64
	made    int64
}

func parseHeader(h []byte) (header, bool) {
	if len(h) < 44 || string(h[:8]) != magic || checksum(h[:40]) != binary.LittleEndian.Uint32(h[40:]) {
		return header{}, false
	}
	return header{
		version: binary.LittleEndian.Uint32(h[8:]), boot: binary.LittleEndian.Uint64(h[16:]),
		index: binary.LittleEndian.Uint64(h[24:]), made: int64(binary.LittleEndian.Uint64(h[32:])),
	}, true
}

// encode returns the state's slot; false when its ranges do not fit.
func (st *state) encode() ([]byte, bool) {
	b := make([]byte, slotFixed, 256)
	binary.LittleEndian.PutUint64(b, st.generation)
	binary.LittleEndian.PutUint64(b[8:], st.lastSeq)
	binary.LittleEndian.PutUint64(b[16:], st.ended)
	binary.LittleEndian.PutUint64(b[24:], st.dropped)
	if st.closed {
		binary.LittleEndian.PutUint32(b[32:], flagClosed)
	}
	b = st.freed.encode(b)
	binary.LittleEndian.PutUint32(b[36:], uint32(len(b)-slotFixed))
	b = binary.LittleEndian.AppendUint32(b, checksum(b))
	return b, len(b) <= slotBytes
}

// parseState returns the newest valid state of a header page.
func parseState(h []byte) (best state, found bool) {
	for _, off := range slotOffsets {
		if int64(len(h)) < off+slotBytes {
			continue
		}
		b := h[off : off+slotBytes]
		n := int64(slotFixed) + int64(binary.LittleEndian.Uint32(b[36:]))
		if n+4 > slotBytes || checksum(b[:n]) != binary.LittleEndian.Uint32(b[n:]) {
			continue
		}
		freed, err := decodeRanges(b[slotFixed:n])
		gen := binary.LittleEndian.Uint64(b)
		if err != nil || gen == 0 || found && gen < best.generation {
			continue
		}
		found = true
		best = state{
			generation: gen, lastSeq: binary.LittleEndian.Uint64(b[8:]), ended: binary.LittleEndian.Uint64(b[16:]),
			dropped: binary.LittleEndian.Uint64(b[24:]), closed: binary.LittleEndian.Uint32(b[32:])&flagClosed != 0, freed: freed,
		}
	}
	return best, found
}

func segmentPath(dir string, boot, index uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%014x-%08x%s", boot, index, segmentExt))
}

// parseName reads boot id and index from a segment's file name.
func parseName(name string) (boot, index uint64, ok bool) {
	base, isSegment := strings.CutSuffix(name, segmentExt)
	b, i, found := strings.Cut(base, "-")
	if !isSegment || !found {
		return 0, 0, false
	}
	boot, err1 := strconv.ParseUint(b, 16, 64)
	index, err2 := strconv.ParseUint(i, 16, 64)
	return boot, index, err1 == nil && err2 == nil
}
