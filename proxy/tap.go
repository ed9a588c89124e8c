package proxy

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
)

// tap reads an answer beside its relay: the client gets the provider's bytes,
// the reader gets them decoded. A nil tap reads nothing.
type tap struct {
	reader *dialect.Reader
	kept   *bytes.Buffer // of a stream, where its bytes may be wanted for rehearsal
	bound  int
	over   bool
	closed *dialect.Answer

	packed   []byte // compressed bytes of a JSON body, decoded at the end
	encoding string
	pipe     *io.PipeWriter // of a compressed stream, to its decoder
	decoded  chan struct{}
	seen     int64

	heard heard // the text that passed, in case no usage comes

	room   gauge           // of what is kept
	failed func(fault any) // is told of a panic
	broken bool            // there was one, or there is no room: nothing is known of the answer
}

// guard takes a panic of a decoder or a reader: it costs this answer's reading, and
// neither its client nor anyone else.
func (t *tap) guard() {
	if fault := recover(); fault != nil {
		t.broken = true
		t.failed(fault)
	}
}

// unread notes that an answer could not be read for a fault of gnomon's own.
func (x *exchange) unread(fault any) {
	x.p.metrics.unread.Inc()
	x.p.log.Error("an answer could not be read, and is recorded without usage", "request_id", x.idText, "panic", fmt.Sprint(fault))
}

// newTap makes the tap for an answer. Where nothing is to be learnt (files,
// audio) there is none.
func (x *exchange) newTap(resp *http.Response, encoding string) *tap {
	bound := x.p.cfg.CaptureBytes
	contentType := resp.Header.Get("Content-Type")
	if !x.d.Readable {
		if resp.StatusCode < 400 {
			return nil
		}
		bound = min(bound, 64<<10)
	}
	stream, room := dialect.IsEventStream(contentType), gauge{x.hold, streamFree}
	if !stream {
		if room.has = 0; !room.fits(expected(resp, bound)) {
			return nil
		}
	}
	t := &tap{reader: x.d.NewReader(contentType, bound), bound: bound, failed: x.unread, room: room}
	x.listen(t)
	if stream && x.mayKeep() {
		t.kept = &bytes.Buffer{}
	}
	switch encoding = strings.ToLower(strings.TrimSpace(encoding)); encoding {
	case "", "identity":
	default:
		t.encoding = encoding
		if stream {
			t.startDecoder()
		}
	}
	return t
}

// mayKeep reports whether the bodies of this request may be wanted. Without a
// feature header the workload is known only from the prompt; it has been found
// by the time the provider answers.
func (x *exchange) mayKeep() bool {
	keep := x.p.cfg.KeepPayload
	if keep == nil || x.p.sink == nil || !x.whole || x.decision == nil {
		return false
	}
	x.await(x.decision)
	return keep(x.decision.d.Workload)
}

// write takes the next piece as the provider sent it.
func (t *tap) write(p []byte) {
	if t == nil || t.over {
		return
	}
	if t.pipe == nil {
		defer t.guard()
	}
	switch {
	case t.pipe != nil:
		t.seen += int64(len(p))
		if _, err := t.pipe.Write(p); err != nil { // the decoder has given up
			t.over = true
		}
	case t.encoding != "":
		if len(t.packed)+len(p) > t.bound {
			t.packed, t.over = nil, true
			return
		}
		if t.packed = append(t.packed, p...); !t.room.fits(cap(t.packed)) {
			t.packed, t.over, t.broken = nil, true, true
		}
	default:
		t.take(p)
	}
}

// take takes decoded bytes.
func (t *tap) take(p []byte) {
	if t.broken {
		return
	}
	_, _ = t.reader.Write(p)
	if t.kept != nil {
		if t.kept.Len()+len(p) > t.bound {
			t.kept = nil
		} else {
			t.kept.Write(p)
		}
	}
	if t.room.fits(t.held()) {
		return
	}
	if t.kept = nil; !t.room.fits(t.held()) { // keeping is given up first, then reading
		t.reader.Drop()
		t.packed, t.broken = nil, true
	}
}

// held is how much memory it takes.
func (t *tap) held() int {
	n := t.reader.Held() + cap(t.packed)
	if t.kept != nil {
		n += t.kept.Cap()
	}
	return n
}

// bomb bounds what a decoder may make of what came: event streams compress well,
// but not a thousand to one.
func (t *tap) bomb(in int64) int64 { return 8<<20 + 100*in }

// startDecoder decodes a compressed stream as it comes, in a goroutine that ends
// with the stream.
func (t *tap) startDecoder() {
	r, w := io.Pipe()
	t.pipe, t.decoded = w, make(chan struct{})
	go func() {
		defer close(t.decoded)
		counted := &countingReader{r: r}
		defer func() { _ = r.CloseWithError(io.ErrClosedPipe) }()
		defer t.guard()
		_ = t.decode(counted, func() int64 { return t.bomb(counted.n) })
	}()
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// decode feeds the reader with what src decodes to, up to a bound.
func (t *tap) decode(src io.Reader, bound func() int64) error {
	dec, closeDecoder, err := newDecoder(t.encoding, src)
	if err != nil {
		return err
	}
	defer closeDecoder()
	var total int64
	buf := make([]byte, 4<<10)
	for {
		n, err := dec.Read(buf)
		total += int64(n)
		t.take(buf[:n])
		if err != nil || total > bound() {
			return err
		}
	}
}

// newDecoder returns a decoder for a Content-Encoding; an unknown one is an
// error, and the answer goes unread.
func newDecoder(encoding string, src io.Reader) (io.Reader, func(), error) {
	none := func() {}
	switch encoding {
	case "gzip", "x-gzip":
		r, err := gzip.NewReader(src)
		return r, none, err
	case "br":
		return brotli.NewReader(src), none, nil
	case "zstd":
		r, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(16<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, none, err
		}
		return r, r.Close, nil
	case "deflate": // zlib by the letter, raw by the habit of some servers
		head := make([]byte, 2)
		n, _ := io.ReadFull(src, head)
		src = io.MultiReader(bytes.NewReader(head[:n]), src)
		if n == 2 && head[0]&0x0f == 8 && (uint16(head[0])<<8|uint16(head[1]))%31 == 0 {
			r, err := zlib.NewReader(src)
			return r, none, err
		}
		return flate.NewReader(src), none, nil
	}
	return nil, none, errUnknownEncoding
}

// close ends the tap and says what the answer was.
func (t *tap) close() *dialect.Answer {
	if t == nil {
		return &dialect.Answer{}
	}
	if t.closed != nil {
		return t.closed
	}
	if t.pipe != nil {
		_ = t.pipe.Close()
		<-t.decoded
	}
	t.settle()
	if t.broken {
		t.over, t.closed = true, &dialect.Answer{}
	}
	return t.closed
}

func (t *tap) settle() {
	defer t.guard()
	if t.broken {
		return
	}
	if t.pipe == nil && len(t.packed) > 0 {
		_ = t.decode(bytes.NewReader(t.packed), func() int64 { return int64(t.bound) })
	}
	t.closed = t.reader.Close()
}

// answer is what was kept of a JSON body.
func (t *tap) answer() []byte {
	if t == nil {
		return nil
	}
	return t.reader.Body()
}

// payload is the answer's decoded bytes, where all of them were kept.
func (t *tap) payload() []byte {
	switch {
	case t == nil || t.over:
		return nil
	case t.kept != nil:
		return t.kept.Bytes()
	}
	return t.reader.Body()
}
