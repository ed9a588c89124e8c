package embedded

import (
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// requestBody undoes what the client did to its body: Content-Encoding first,
// then ClickHouse's own blocks (decompress=1).
func requestBody(r *http.Request) (io.Reader, error) {
	body, err := decoded(r.Header.Get("Content-Encoding"), r.Body)
	if err != nil {
		return nil, err
	}
	if isOne(r.URL.Query().Get("decompress")) {
		counted := &countingReader{in: body}
		return &blockDecoder{blocks: compress.NewReader(counted), in: counted}, nil
	}
	return body, nil
}

// blockDecoder reads ClickHouse's compressed blocks, and tells their end between
// two blocks from one within a block.
type blockDecoder struct {
	blocks *compress.Reader
	in     *countingReader
	whole  int64 // bytes of in that made whole blocks
}

func (d *blockDecoder) Read(p []byte) (int, error) {
	n, err := d.blocks.Read(p)
	switch {
	case err == nil:
		d.whole = d.in.n
	case errors.Is(err, io.EOF) && d.in.n == d.whole:
		err = io.EOF
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

type countingReader struct {
	in io.Reader
	n  int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.n += int64(n)
	return n, err
}

func decoded(encoding string, body io.Reader) (io.Reader, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		r, err := gzip.NewReader(body)
		if err != nil {
			return nil, raise(codeCannotDecompress, "The body is not gzip: %s. (CANNOT_DECOMPRESS)", err)
		}
		return r, nil
	case "deflate":
		r, err := zlib.NewReader(body)
		if err != nil {
			return nil, raise(codeCannotDecompress, "The body is not deflate: %s. (CANNOT_DECOMPRESS)", err)
		}
		return r, nil
	case "zstd":
		r, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
		if err != nil {
			return nil, raise(codeCannotDecompress, "The body is not zstd: %s. (CANNOT_DECOMPRESS)", err)
		}
		return r.IOReadCloser(), nil
	case "br":
		return brotli.NewReader(body), nil
	case "lz4":
		return lz4.NewReader(body), nil
	}
	return nil, raise(codeUnknownCompression, "Content-Encoding %s is not known here; gzip, deflate, zstd, br and lz4 are. (UNKNOWN_COMPRESSION_METHOD)", encoding)
}

func isOne(s string) bool { return s == "1" || strings.EqualFold(s, "true") }

// encoder compresses an answer. Flush makes what was written readable.
type encoder interface {
	io.WriteCloser
	Flush() error
}

// responseEncoding picks the encoding of the answer that the client asked for;
// "" is none. As in ClickHouse it also wants enable_http_compression=1.
func responseEncoding(r *http.Request) string {
	if !isOne(r.URL.Query().Get("enable_http_compression")) {
		return ""
	}
	accepted := strings.ToLower(r.Header.Get("Accept-Encoding"))
	for _, name := range []string{"zstd", "br", "lz4", "gzip", "deflate"} {
		for part := range strings.SplitSeq(accepted, ",") {
			word, q, _ := strings.Cut(strings.TrimSpace(part), ";")
			if strings.TrimSpace(word) == name && strings.ReplaceAll(q, " ", "") != "q=0" {
				return name
			}
		}
	}
	return ""
}

func newEncoder(name string, w io.Writer) (encoder, error) {
	switch name {
	case "gzip":
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case "deflate":
		return zlib.NewWriterLevel(w, flate.BestSpeed)
	case "zstd":
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	case "br":
		return brotli.NewWriterLevel(w, 1), nil
	case "lz4":
		return lz4.NewWriter(w), nil
	}
	return nil, errors.New("no such encoding: " + name)
}

// blockEncoder writes ClickHouse's own compressed blocks (compress=1).
type blockEncoder struct {
	w   io.Writer
	c   *compress.Writer
	buf []byte
}

// blockEncoderSize is what a block holds before compression, as in ClickHouse.
const blockEncoderSize = 1 << 20

func newBlockEncoder(method string, w io.Writer) *blockEncoder {
	m := compress.LZ4
	switch strings.ToUpper(method) {
	case "ZSTD":
		m = compress.ZSTD
	case "NONE":
		m = compress.None
	}
	return &blockEncoder{w: w, c: compress.NewWriter(compress.LevelZero, m)}
}

func (e *blockEncoder) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		take := min(len(p), blockEncoderSize-len(e.buf))
		e.buf = append(e.buf, p[:take]...)
		p = p[take:]
		if len(e.buf) == blockEncoderSize {
			if err := e.Flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (e *blockEncoder) Flush() error {
	if len(e.buf) == 0 {
		return nil
	}
	if err := e.c.Compress(e.buf); err != nil {
		return err
	}
	e.buf = e.buf[:0]
	_, err := e.w.Write(e.c.Data)
	return err
}

func (e *blockEncoder) Close() error { return e.Flush() }
