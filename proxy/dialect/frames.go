package dialect

import (
	"encoding/binary"
	"hash/crc32"
)

// Frames finds the messages of an application/vnd.amazon.eventstream (Bedrock's
// streams) in the bytes written to it, in pieces of any size. A message is
//
//	length uint32 · length of headers uint32 · CRC32 of these eight bytes
//	headers · payload · CRC32 of all before
//
// all big-endian; a header is a name (length in one byte), a type and a value.
// It keeps at most the message it is in; after one that is longer than Max, or
// whose first checksum fails, nothing more is read: there is no way back into
// step.
type Frames struct {
	Emit func(event, payload []byte) // both valid only until it returns
	Max  int                         // bytes of one message; 0 is DefaultEventBytes

	buf  []byte
	lost bool
}

const (
	preludeBytes = 12
	trailerBytes = 4
)

// Lost reports whether the stream could not be followed to its end.
func (f *Frames) Lost() bool { return f.lost }

// Write takes the next piece of the stream. It never fails.
func (f *Frames) Write(p []byte) (int, error) {
	if f.lost {
		return len(p), nil
	}
	f.buf = append(f.buf, p...)
	at := 0
	for len(f.buf)-at >= preludeBytes {
		b := f.buf[at:]
		size, ok := f.size(b)
		if !ok {
			f.lost, f.buf = true, nil
			return len(p), nil
		}
		if len(b) < size {
			break
		}
		f.message(b[:size])
		at += size
	}
	f.buf = f.buf[:copy(f.buf, f.buf[at:])]
	return len(p), nil
}

func (f *Frames) size(b []byte) (int, bool) {
	limit := f.Max
	if limit <= 0 {
		limit = DefaultEventBytes
	}
	size, headers := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	ok := crc32.ChecksumIEEE(b[:8]) == binary.BigEndian.Uint32(b[8:]) &&
		size >= preludeBytes+trailerBytes && size <= uint32(limit) && headers <= size-preludeBytes-trailerBytes
	return int(size), ok
}

func (f *Frames) message(b []byte) {
	end := len(b) - trailerBytes
	if crc32.ChecksumIEEE(b[:end]) != binary.BigEndian.Uint32(b[end:]) {
		return
	}
	split := preludeBytes + int(binary.BigEndian.Uint32(b[4:]))
	var event []byte
	for h := b[preludeBytes:split]; len(h) > 0; {
		name, value, rest, ok := header(h)
		if !ok {
			return
		}
		switch string(name) {
		case ":event-type", ":exception-type", ":error-code":
			event = value
		}
		h = rest
	}
	f.Emit(event, b[split:end])
}

// widths are the bytes of a header's value by its type: true, false, byte,
// short, integer, long, (6 bytes and 7 string say their own), timestamp, uuid.
var widths = [10]int{0, 0, 1, 2, 4, 8, -1, -1, 8, 16}

func header(h []byte) (name, value, rest []byte, ok bool) {
	n := int(h[0])
	if len(h) < 1+n+1 {
		return nil, nil, nil, false
	}
	name, kind, h := h[1:1+n], h[1+n], h[n+2:]
	if int(kind) >= len(widths) {
		return nil, nil, nil, false
	}
	size := widths[kind]
	if size < 0 {
		if len(h) < 2 {
			return nil, nil, nil, false
		}
		size, h = int(binary.BigEndian.Uint16(h)), h[2:]
	}
	if len(h) < size {
		return nil, nil, nil, false
	}
	return name, h[:size], h[size:], true
}
