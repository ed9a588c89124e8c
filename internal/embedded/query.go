package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// openFor makes a session with the request's settings, database and rights.
func (s *server) openFor(req *request, mark string) (*session, error) {
	c, err := s.lib.open(s.args)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*session, error) {
		c.close()
		return nil, err
	}
	all := append(baseSettings(req.writer, s.lim), req.settings...)
	all = append(all, setting{"log_comment", mark}) // KILL QUERY finds it by this
	if err := c.exec(setStatement(all)); err != nil {
		return fail(err)
	}
	if req.database != "" && req.database != "default" {
		if err := c.exec("USE " + quoteName(req.database)); err != nil {
			return fail(err)
		}
	}
	if !req.writer {
		if err := c.exec("SET readonly = 1"); err != nil {
			return fail(err)
		}
	}
	return c, nil
}

// execute runs a request and writes its answer. An error before the head was
// sent and after it is told apart by the answer.
func (s *server) execute(ctx context.Context, w http.ResponseWriter, a *answer, req *request) error {
	mark := fmt.Sprintf("gnomon-%d-%s", s.serial.Add(1), req.id)
	var data string
	if req.st.kind == kindInsert {
		var err error
		if data, err = s.keepBody(req.data); err != nil {
			return err
		}
		defer func() { _ = os.Remove(data) }()
	}
	c, err := s.openFor(req, mark)
	if err != nil {
		return err
	}
	defer c.close()
	watched := s.watch(ctx, mark)
	defer watched()
	started := time.Now()
	var done progress
	a.summary = func() string { return done.String(time.Since(started)) }
	switch {
	case req.st.kind == kindInsert:
		done, err = s.insert(c, req, data)
	case req.st.kind == kindAnswer:
		setFormat(w, req.format)
		switch native := strings.EqualFold(req.format, "Native"); {
		case !streams(req.st.text):
			done, err = s.answerWhole(c, a, req, native)
		case native:
			err = s.answerNative(c, a, req, &done)
		default:
			err = s.answerPiped(c, a, req, &done)
		}
	default:
		done, err = s.other(c, req)
	}
	if err != nil {
		return err
	}
	return a.finish()
}

// streams is true for statements that the library streams.
func streams(query string) bool {
	l := &lexer{src: query}
	t := l.next()
	for t.punct("(") {
		t = l.next()
	}
	return t.is("SELECT") || t.is("WITH") || t.is("FROM")
}

// progress is what X-ClickHouse-Summary tells.
type progress struct {
	readRows, readBytes, writtenRows, writtenBytes uint64
}

func (p progress) String(took time.Duration) string {
	return fmt.Sprintf(`{"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d","total_rows_to_read":"0","result_rows":"0","result_bytes":"0","elapsed_ns":"%d"}`,
		p.readRows, p.readBytes, p.writtenRows, p.writtenBytes, took.Nanoseconds())
}

func (p *progress) add(q progress) {
	p.readRows += q.readRows
	p.readBytes += q.readBytes
	p.writtenRows += q.writtenRows
	p.writtenBytes += q.writtenBytes
}

func (r result) progress() progress {
	return progress{readRows: r.lib.rowsRead(r.handle), readBytes: r.lib.bytesRead(r.handle), writtenRows: r.lib.rowsWritten(r.handle), writtenBytes: r.lib.bytesWritten(r.handle)}
}

// watch kills the marked query when its client leaves. The returned function
// ends the watch, and waits for it.
func (s *server) watch(ctx context.Context, mark string) (end func()) {
	finished, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		select {
		case <-finished:
			return
		case <-ctx.Done():
		}
		for { // a query that has not begun yet is not there to be killed
			s.kill(mark)
			select {
			case <-finished:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return func() {
		close(finished)
		<-gone
	}
}

func (s *server) kill(mark string) {
	c, err := s.lib.open(s.args)
	if err != nil {
		return
	}
	defer c.close()
	if err := c.exec("KILL QUERY WHERE Settings['log_comment'] = " + quote(mark) + " ASYNC"); err != nil {
		s.log.Warn("a query whose client left could not be ended", "error", err)
	}
}

// notKept tells data that cannot be read from a disk that takes none: the first is
// the sender's fault and ends there, the second is to be tried again.
func notKept(err error) error {
	var disk *fs.PathError
	if errors.As(err, &disk) {
		return raise(codeCannotWriteFile, "the insert's data cannot be kept: %s. (CANNOT_WRITE_TO_FILE)", err)
	}
	return raise(codeIncorrectData, "the insert's data were not read to their end: %s. (INCORRECT_DATA)", err)
}

// keepBody writes an insert's data to a file of its own, so that a client that
// leaves half-way inserts nothing, and a large body is not held in memory.
func (s *server) keepBody(body io.Reader) (path string, err error) {
	f, err := os.CreateTemp(s.tmp, "insert-*")
	if err != nil {
		return "", raise(codeCannotWriteFile, "the insert's data cannot be kept: %s. (CANNOT_WRITE_TO_FILE)", err)
	}
	_, err = io.Copy(f, body)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", notKept(err)
	}
	return f.Name(), nil
}

func (s *server) insert(c *session, req *request, data string) (progress, error) {
	query := req.st.target + "\nFROM INFILE " + quote(data) + " COMPRESSION 'none' " + req.st.settings + "\nFORMAT " + req.st.format // lines, for either may end in a comment
	r, err := c.run(query, "Null", req.params)
	if e := (*exception)(nil); errors.As(err, &e) && e.code == codeNoDataToInsert {
		return progress{}, nil // over HTTP no data are no error
	}
	if err != nil {
		return progress{}, err
	}
	defer r.free()
	return r.progress(), nil
}

// other runs what answers nothing: DDL, INSERT … SELECT, SYSTEM and the like.
func (s *server) other(c *session, req *request) (progress, error) {
	t := (&lexer{src: req.st.text}).next()
	if livesInSession(req.st.text) {
		return progress{}, raise(codeNotImplemented, "%s changes a session, and sessions are not kept by the embedded engine: send settings and database with each query. (NOT_IMPLEMENTED)", strings.ToUpper(t.text))
	}
	r, err := c.run(req.st.text, "Null", req.params)
	if err != nil {
		return progress{}, err
	}
	defer r.free()
	return r.progress(), nil
}

func setFormat(w http.ResponseWriter, format string) {
	w.Header().Set("X-ClickHouse-Format", headerSafe(format))
	w.Header().Set("Content-Type", contentType(format))
}

func contentType(format string) string {
	switch f := strings.ToLower(format); {
	case strings.HasPrefix(f, "json") && strings.HasSuffix(f, "eachrow"):
		return "application/x-ndjson; charset=UTF-8"
	case strings.HasPrefix(f, "json"):
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(f, "csv"):
		return "text/csv; charset=UTF-8; header=" + map[bool]string{true: "present", false: "absent"}[strings.Contains(f, "withnames")]
	case strings.HasPrefix(f, "tabseparated"), strings.HasPrefix(f, "tsv"):
		return "text/tab-separated-values; charset=UTF-8"
	case f == "xml":
		return "application/xml; charset=UTF-8"
	case f == "native", strings.HasPrefix(f, "rowbinary"), f == "parquet", strings.HasPrefix(f, "arrow"), f == "orc", f == "avro", f == "msgpack", f == "npy":
		return "application/octet-stream"
	}
	return "text/plain; charset=UTF-8"
}

// answerWhole runs what the library does not stream and what is never large:
// SHOW, DESCRIBE, EXPLAIN and their like.
func (s *server) answerWhole(c *session, a *answer, req *request, native bool) (progress, error) {
	r, err := c.run(req.st.text, req.format, req.params)
	if err != nil {
		return progress{}, err
	}
	defer r.free()
	out := r.bytes()
	if native && req.revision > 0 {
		if out, err = reviseNative(nil, out, req.revision); err != nil {
			return progress{}, err
		}
	}
	_, err = a.Write(out)
	return r.progress(), err
}

// answerNative streams blocks, written anew at the client's revision.
func (s *server) answerNative(c *session, a *answer, req *request, done *progress) error {
	st, err := c.stream(req.st.text, "Native", req.params)
	if err != nil {
		return err
	}
	defer st.close()
	var buf []byte
	for {
		r, ok, err := st.next()
		if err != nil || !ok {
			return err
		}
		out := r.bytes()
		done.add(r.progress())
		if req.revision > 0 {
			if buf, err = reviseNative(buf[:0], out, req.revision); err != nil {
				r.free()
				return err
			}
			out = buf
		}
		_, err = a.Write(out)
		r.free()
		if err != nil {
			return raise(codeCancelled, "the client left: %s. (QUERY_WAS_CANCELLED)", err)
		}
	}
}

// answerPiped lets the engine write the answer into a pipe, in any format, so
// that it is never in memory whole; what comes out is copied to the client.
func (s *server) answerPiped(c *session, a *answer, req *request, done *progress) error {
	path := filepath.Join(s.tmp, "answer-"+strconv.FormatUint(s.serial.Add(1), 10))
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return raise(codeCannotWriteFile, "no pipe for the answer: %s. (CANNOT_WRITE_TO_FILE)", err)
	}
	defer func() { _ = os.Remove(path) }()
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	ours, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0) // keeps the pipe open until the query has ended
	if err != nil {
		return err
	}
	type outcome struct {
		progress
		err error
	}
	ran := make(chan outcome, 1)
	go func() {
		query := req.st.text + "\nINTO OUTFILE " + quote(path) + " TRUNCATE COMPRESSION 'none' FORMAT " + req.format
		r, err := c.run(query, "Null", req.params)
		o := outcome{err: err}
		if err == nil {
			o.progress = r.progress()
			r.free()
		}
		_ = ours.Close()
		ran <- o
	}()
	copied := s.copyPiped(a, reader)
	o := <-ran
	*done = o.progress
	return errors.Join(o.err, copied)
}

// copyPiped copies until the pipe's end, and goes on reading into nothing when
// the client is gone: the engine must not wait on a full pipe.
func (s *server) copyPiped(a *answer, reader io.Reader) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{a}, struct{ io.Reader }{reader}, make([]byte, 64<<10))
	if err != nil {
		_, _ = io.Copy(io.Discard, reader)
		return raise(codeCancelled, "the client left: %s. (QUERY_WAS_CANCELLED)", err)
	}
	return nil
}
