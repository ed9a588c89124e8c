package dialect

import (
	"bytes"
	"mime"
	"strings"
)

// Reader reads one answer from its decoded bytes as they pass: a JSON body
// (kept up to a bound) or an event stream (never kept). It does not fail: what
// it cannot read it leaves out.
type Reader struct {
	d      *Dialect
	max    int
	sse    *Scanner
	frames *Frames
	buf    []byte
	over   bool // together with closed: every request has a Reader
	closed bool
	answer Answer
}

// NewReader makes a reader of one answer. contentType is the answer's header;
// max bounds what is kept of a JSON body, and of one event of a stream.
func (d *Dialect) NewReader(contentType string, max int) *Reader {
	r := &Reader{d: d, max: max}
	switch {
	case IsEventStream(contentType):
		r.sse = &Scanner{Max: max, Emit: r.emit}
	case contentType == "application/vnd.amazon.eventstream":
		r.frames = &Frames{Max: max, Emit: r.emit}
	}
	return r
}

// IsEventStream reports whether a Content-Type is text/event-stream.
func IsEventStream(contentType string) bool {
	const stream = "text/event-stream"
	if contentType == stream {
		return true
	}
	// Most are something else at first sight: parsing one costs a microsecond.
	if start := strings.TrimSpace(contentType); len(start) < len(stream) || !strings.EqualFold(start[:len(stream)], stream) {
		return false
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && kind == stream
}

// Listen has the text of a stream told to h as it passes. That of a JSON body is
// kept anyway: Retell tells it.
func (r *Reader) Listen(h Hearer) {
	if r.sse != nil || r.frames != nil {
		r.answer.hear = h
	}
}

// Retell tells h the text of a JSON body that was kept.
func (r *Reader) Retell(h Hearer) {
	if len(r.buf) > 0 {
		r.d.body(&Answer{hear: h}, r.buf)
	}
}

func (r *Reader) emit(event, data []byte) {
	r.answer.Events++
	r.d.event(&r.answer, event, data)
}

// Write takes the next piece of the answer. It never fails.
func (r *Reader) Write(p []byte) (int, error) {
	r.answer.Bytes += len(p)
	switch {
	case r.sse != nil:
		return r.sse.Write(p)
	case r.frames != nil:
		return r.frames.Write(p)
	case r.over:
	case len(r.buf)+len(p) > r.max:
		r.buf, r.over = nil, true
	default:
		r.buf = append(r.buf, p...)
	}
	return len(p), nil
}

// Failed reports whether an error has been seen in the stream so far.
func (r *Reader) Failed() bool { return r.answer.Failed }

// Held is how much memory is taken by what is kept.
func (r *Reader) Held() int {
	switch {
	case r.sse != nil:
		return r.sse.Held()
	case r.frames != nil:
		return cap(r.frames.buf)
	}
	return cap(r.buf)
}

// Drop lets go what is kept: no more of the answer is read.
func (r *Reader) Drop() { r.sse, r.frames, r.buf, r.over = nil, nil, nil, true }

// Body is what was kept of a JSON body; nil for a stream or past the bound.
func (r *Reader) Body() []byte { return r.buf }

// Close ends the answer and says what it was. Further calls repeat it.
func (r *Reader) Close() *Answer {
	if r.closed {
		return &r.answer
	}
	r.closed = true
	switch {
	case r.sse != nil:
		r.sse.Close()
		r.answer.Odd = r.answer.Odd || r.sse.Skipped() > 0
	case r.frames != nil:
		r.answer.Odd = r.answer.Odd || r.frames.Lost()
	case r.over:
		r.answer.OutputBytes = r.answer.Bytes // longer than can be looked at: an estimate is all there is
	case len(r.buf) > 0:
		r.d.body(&r.answer, r.buf)
		at := blank(r.buf, 0)
		r.answer.Foreign = at == len(r.buf) || (r.buf[at] != '{' && r.buf[at] != '[')
		if r.answer.OutputBytes == 0 && !r.answer.HasUsage {
			r.answer.OutputBytes = len(r.buf) // broken off: about what had been said
		}
	}
	if r.d.settle != nil {
		r.d.settle(&r.answer)
	}
	return &r.answer
}

// Read reads a whole answer that was kept: a JSON body or the bytes of a stream.
func (d *Dialect) Read(body []byte) *Answer {
	contentType := ""
	if looksLikeEvents(body) {
		contentType = "text/event-stream"
	}
	r := d.NewReader(contentType, len(body)+1)
	_, _ = r.Write(body)
	return r.Close()
}

func looksLikeEvents(body []byte) bool {
	body = bytes.TrimLeft(bytes.TrimPrefix(body, bom), "\r\n")
	for _, field := range []string{"data:", "event:", ":", "id:", "retry:"} {
		if bytes.HasPrefix(body, []byte(field)) {
			return true
		}
	}
	return false
}
