package proxy

import (
	"sync"
	"sync/atomic"
)

// Bounds of the text that is kept of streams, in case no usage comes: of one,
// of all together, and how much memory is taken at a time. A usual answer fits
// one chunk.
const (
	maxHeard   = 64 << 10
	maxTexts   = 16 << 20
	chunkBytes = 2<<10 - 16
)

type chunk struct {
	next *chunk
	n    int
	b    [chunkBytes]byte
}

// texts bounds the chunks in use over all requests, those that wait to be
// counted among them.
type texts struct {
	pool  sync.Pool
	bytes atomic.Int64
}

func (t *texts) take() *chunk {
	if t.bytes.Add(chunkBytes) > maxTexts {
		t.bytes.Add(-chunkBytes)
		return nil
	}
	if c, ok := t.pool.Get().(*chunk); ok {
		c.next, c.n = nil, 0
		return c
	}
	return new(chunk)
}

// heard is the beginning of a stream's text, as its JSON strings have it.
type heard struct {
	texts       *texts
	first, last *chunk
	kept        int
	all         int  // bytes that were said
	refused     bool // for want of memory, not of its own length
}

// Hear implements dialect.Hearer. Nothing is allocated where a chunk is free.
func (h *heard) Hear(raw []byte) {
	h.all += len(raw)
	for len(raw) > 0 && h.kept < maxHeard && !h.refused {
		if h.last == nil || h.last.n == chunkBytes {
			c := h.texts.take()
			if h.refused = c == nil; h.refused {
				return
			}
			if h.last == nil {
				h.first = c
			} else {
				h.last.next = c
			}
			h.last = c
		}
		n := copy(h.last.b[h.last.n:], raw[:min(len(raw), maxHeard-h.kept)])
		h.last.n += n
		h.kept += n
		raw = raw[n:]
	}
}

// appendTo appends what was kept.
func (h *heard) appendTo(b []byte) []byte {
	for c := h.first; c != nil; c = c.next {
		b = append(b, c.b[:c.n]...)
	}
	return b
}

// held is how much memory it takes, in bytes.
func (h *heard) held() int64 {
	return int64((h.kept + chunkBytes - 1) / chunkBytes * chunkBytes)
}

// free gives the memory back.
func (h *heard) free() {
	for c := h.first; c != nil; {
		next := c.next
		h.texts.bytes.Add(-chunkBytes)
		h.texts.pool.Put(c)
		c = next
	}
	h.first, h.last = nil, nil
}
