package embedded

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

// answerBuffer is how much of an answer is held back before its head is sent:
// until then an error still has its own status, and the summary is complete. A
// client that sends wait_end_of_query=1 wants that for all of it: what does not
// fit is kept in a file.
const answerBuffer = 256 << 10

// answer writes one response: encoded as asked, its head held back at first,
// and with ClickHouse's exception block where it fails in the middle.
type answer struct {
	w    http.ResponseWriter
	enc  encoder // nil: as it is
	head bool    // sent
	held []byte
	tag  string

	wait  bool
	tmp   string
	spill *os.File

	// summary is what the head says, filled in before it is sent.
	summary func() string
}

func newAnswer(w http.ResponseWriter, r *http.Request, tmp string) (*answer, error) {
	a := &answer{w: w, tmp: tmp, wait: isOne(r.URL.Query().Get("wait_end_of_query"))}
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
	if a.wait && !a.head {
		return a.keep(p)
	}
	if err := a.sendHead(); err != nil {
		return 0, err
	}
	return a.w.Write(p)
}

func (a *answer) keep(p []byte) (n int, err error) {
	if a.spill == nil {
		if a.spill, err = os.CreateTemp(a.tmp, "answer-*"); err != nil {
			return 0, raise(codeCannotWriteFile, "the answer cannot be kept: %s. (CANNOT_WRITE_TO_FILE)", err)
		}
		_ = os.Remove(a.spill.Name()) // it goes when it is closed
	}
	return a.spill.Write(p)
}

// close frees what is kept.
func (a *answer) close() {
	if a.spill != nil {
		_ = a.spill.Close()
	}
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
	if a.spill != nil && err == nil {
		if _, err = a.spill.Seek(0, io.SeekStart); err == nil {
			_, err = io.Copy(a.w, a.spill)
		}
	}
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
