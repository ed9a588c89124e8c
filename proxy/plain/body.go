package plain

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// maxDiscard is how much of a body that nobody read is read to its end for the
// sake of the connection, as in net/http.
const maxDiscard = 256 << 10

// body is a request's body. Another goroutine than the handler's may read it,
// also when the handler is done.
type body struct {
	c      *conn
	mu     sync.Mutex
	left   int64 // bytes that have not been read
	closed bool
	err    error // what reading came to, but for the end
}

// Read implements io.Reader. With the last byte it says io.EOF.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.read(p)
}

func (b *body) read(p []byte) (n int, err error) {
	switch {
	case b.err != nil:
		return 0, b.err
	case b.left == 0:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	c := b.c
	p = p[:min(int64(len(p)), b.left)]
	if c.r < c.w {
		n = copy(p, c.buf[c.r:c.w])
		c.r += n
	} else if n, err = c.rwc.Read(p); err == io.EOF { //nolint:errorlint // readers return it bare
		err = io.ErrUnexpectedEOF
	}
	if b.left -= int64(n); b.left == 0 {
		c.settle()
		return n, io.EOF
	}
	b.err = err
	return n, err
}

// Close implements io.Closer. What has not been read stays on the wire.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// setDeadline bounds the next reads, if the body is still being read.
func (b *body) setDeadline(t time.Time) error {
	if b.c == nil || !b.mu.TryLock() {
		return nil // none, or a read is under way, which had its bound
	}
	defer b.mu.Unlock()
	if b.closed || b.left == 0 || b.left <= int64(b.c.w-b.c.r) { // no read will wait; with nothing left the buffer is the watcher's
		return nil
	}
	return b.c.rwc.SetReadDeadline(t)
}

// discard reads what is left, if that is little, and reports whether the
// connection stands at the next request.
func (b *body) discard() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.left == 0:
		return true
	case b.left >= maxDiscard || b.closed:
		return false
	}
	scratch := make([]byte, 2<<10)
	for b.left > 0 {
		if _, err := b.read(scratch); err != nil && err != io.EOF { //nolint:errorlint // readers return it bare
			return false
		}
	}
	return true
}
