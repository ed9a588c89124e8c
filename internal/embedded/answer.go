package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// answerBuffer is how much of an answer is held back before its head is sent:
// until then an error still has its own status, and the summary is complete.
const answerBuffer = 256 << 10

// answer writes one response: encoded as asked, its head held back at first,
// and with ClickHouse's exception block where it fails in the middle.
type answer struct {
	w    http.ResponseWriter
	enc  encoder // nil: as it is
	head bool    // sent
	held []byte
	tag  string

	// summary is what the head says, filled in before it is sent.
	summary func() string
}

func newAnswer(w http.ResponseWriter, r *http.Request) (*answer, error) {
	a := &answer{w: w}
	var tag [8]byte
	_, _ = rand.Read(tag[:])
	a.tag = hex.EncodeToString(tag[:])
	w.Header().Set("X-ClickHouse-Exception-Tag", a.tag)
	if isOne(r.URL.Query().Get("compress")) {
		a.enc = newBlockEncoder(r.URL.Query().Get("network_compression_method"), heldWriter{a})
		return a, nil
	}
	if name := responseEncoding(r); name != "" {
		enc, err := newEncoder(name, heldWriter{a})
		if err != nil {
			return nil, err
		}
		w.Header().Set("Content-Encoding", name)
		a.enc = enc
	}
	return a, nil
}

// heldWriter is the end of the encoder: bytes on their way to the client.
type heldWriter struct{ a *answer }

func (h heldWriter) Write(p []byte) (int, error) {
	a := h.a
	if !a.head && len(a.held)+len(p) <= answerBuffer {
		a.held = append(a.held, p...)
		return len(p), nil
	}
	if err := a.sendHead(); err != nil {
		return 0, err
	}
	return a.w.Write(p)
}

func (a *answer) sendHead() error {
	if a.head {
		return nil
	}
	a.head = true
	if a.summary != nil {
		a.w.Header().Set("X-ClickHouse-Summary", a.summary())
	}
	a.w.WriteHeader(http.StatusOK)
	_, err := a.w.Write(a.held)
	a.held = nil
	return err
}

func (a *answer) Write(p []byte) (int, error) {
	if a.enc != nil {
		return a.enc.Write(p)
	}
	return heldWriter{a}.Write(p)
}

// finish sends what is held and ends the answer.
func (a *answer) finish() error {
	if a.enc != nil {
		if err := a.enc.Close(); err != nil {
			return err
		}
	}
	return a.sendHead()
}

// fail tells the client of e: with its own status when nothing was sent yet,
// else by the block that ends a broken answer, and a connection cut off.
func (a *answer) fail(e *exception) {
	if !a.head {
		a.head = true
		a.w.Header().Del("Content-Encoding")
		writeException(a.w, e)
		return
	}
	text := strings.TrimRight(e.text, "\n") + "\n"
	_, _ = fmt.Fprintf(a, "\r\n__exception__\r\n%s\r\n%s%d %s\r\n__exception__\r\n", a.tag, text, len(text), a.tag)
	if a.enc != nil {
		_ = a.enc.Flush()
	}
	if f, ok := a.w.(http.Flusher); ok {
		f.Flush()
	}
	panic(http.ErrAbortHandler)
}

// writeException answers with an error before anything else was sent.
func writeException(w http.ResponseWriter, e *exception) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-ClickHouse-Exception-Code", fmt.Sprint(e.code))
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(e.status())
	_, _ = io.WriteString(w, strings.TrimRight(e.text, "\n")+"\n")
}
