package embedded

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is libchdb's C interface, as much of it as is used. It is bound here
// and not through a wrapper because a wrapper that opens the library when its
// package is initialised would open it in the parent too, and would panic where
// it is missing.
type library struct {
	connect      func(argc int32, argv **byte) *uintptr
	closeConn    func(conn *uintptr)
	query        func(conn uintptr, q *byte, qn uintptr, f *byte, fn uintptr) uintptr
	queryParams  func(conn uintptr, q *byte, qn uintptr, f *byte, fn uintptr, names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, n uintptr) uintptr
	streamParams func(conn uintptr, q *byte, qn uintptr, f *byte, fn uintptr, names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, n uintptr) uintptr
	fetch        func(conn uintptr, stream uintptr) uintptr
	cancel       func(conn uintptr, stream uintptr)
	destroy      func(result uintptr)
	buffer       func(result uintptr) *byte
	length       func(result uintptr) uintptr
	failure      func(result uintptr) string
	rowsRead     func(result uintptr) uint64
	bytesRead    func(result uintptr) uint64
	rowsWritten  func(result uintptr) uint64
	bytesWritten func(result uintptr) uint64
	signals      func(enabled int32)
}

// openLibrary loads libchdb into this process. It does so once a process: the
// engine cannot be unloaded.
func openLibrary(path string) (lib *library, err error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("the library %s cannot be loaded: %w", path, err)
	}
	lib = &library{}
	for name, fn := range map[string]any{
		"chdb_connect":                     &lib.connect,
		"chdb_close_conn":                  &lib.closeConn,
		"chdb_query_n":                     &lib.query,
		"chdb_query_with_params_n":         &lib.queryParams,
		"chdb_stream_query_with_params_n":  &lib.streamParams,
		"chdb_stream_fetch_result":         &lib.fetch,
		"chdb_stream_cancel_query":         &lib.cancel,
		"chdb_destroy_query_result":        &lib.destroy,
		"chdb_result_buffer":               &lib.buffer,
		"chdb_result_length":               &lib.length,
		"chdb_result_error":                &lib.failure,
		"chdb_result_storage_rows_read":    &lib.rowsRead,
		"chdb_result_storage_bytes_read":   &lib.bytesRead,
		"chdb_result_rows_written":         &lib.rowsWritten,
		"chdb_result_bytes_written":        &lib.bytesWritten,
		"chdb_set_signal_handlers_enabled": &lib.signals,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("the library %s is no libchdb %s or newer: it has no %s", path, LibraryVersion, name)
		}
		purego.RegisterFunc(fn, symbol)
	}
	return lib, nil
}

// session is one connection to the engine with settings of its own. The library
// lets a connection do one thing at a time, so a session has one owner.
type session struct {
	lib  *library
	conn *uintptr
}

// open makes a session; args are the engine's start arguments, which the first
// session of a process decides for all.
func (l *library) open(args []string) (*session, error) {
	argv := make([]*byte, 0, len(args)+2)
	keep := make([][]byte, 0, len(args)+1)
	for _, a := range append([]string{"clickhouse"}, args...) {
		b := append([]byte(a), 0)
		keep = append(keep, b)
		argv = append(argv, &b[0])
	}
	argc := int32(len(argv))
	argv = append(argv, nil)
	conn := l.connect(argc, &argv[0])
	runtime.KeepAlive(keep)
	if conn == nil || *conn == 0 {
		return nil, errors.New("the engine did not open its data folder (its own words are above, on stderr)")
	}
	return &session{lib: l, conn: conn}, nil
}

func (s *session) close() {
	if s.conn != nil {
		s.lib.closeConn(s.conn)
		s.conn = nil
	}
}

// param is one value of a {name:Type} placeholder.
type param struct{ name, value string }

// cparams are params as the library takes them; keep them alive over the call.
type cparams struct {
	names, values       []*byte
	nameLens, valueLens []uintptr
}

func bytesOf(s string) *byte {
	// A pointer to nothing must not be nil: the library refuses nil values.
	b := append([]byte(s), 0)
	return &b[0]
}

func newCParams(ps []param) *cparams {
	c := &cparams{}
	for _, p := range ps {
		c.names, c.nameLens = append(c.names, bytesOf(p.name)), append(c.nameLens, uintptr(len(p.name)))
		c.values, c.valueLens = append(c.values, bytesOf(p.value)), append(c.valueLens, uintptr(len(p.value)))
	}
	return c
}

func (c *cparams) pointers() (**byte, *uintptr, **byte, *uintptr, uintptr) {
	if len(c.names) == 0 {
		return nil, nil, nil, nil, 0
	}
	return &c.names[0], &c.nameLens[0], &c.values[0], &c.valueLens[0], uintptr(len(c.names))
}

// result is an answer in the library's memory. Bytes is valid until free.
type result struct {
	lib    *library
	handle uintptr
}

func (r result) bytes() []byte {
	n := r.lib.length(r.handle)
	if p := r.lib.buffer(r.handle); p != nil && n > 0 {
		return unsafe.Slice(p, n)
	}
	return nil
}

func (r result) free() { r.lib.destroy(r.handle) }

// run executes a statement whole and returns its answer, which the caller frees.
func (s *session) run(query, format string, ps []param) (result, error) {
	q, f, c := bytesOf(query), bytesOf(format), newCParams(ps)
	names, nameLens, values, valueLens, n := c.pointers()
	h := s.lib.queryParams(*s.conn, q, uintptr(len(query)), f, uintptr(len(format)), names, nameLens, values, valueLens, n)
	runtime.KeepAlive(c)
	return s.checked(h)
}

// exec runs a statement and forgets its answer.
func (s *session) exec(query string) error {
	r, err := s.run(query, "Null", nil)
	if err == nil {
		r.free()
	}
	return err
}

func (s *session) checked(h uintptr) (result, error) {
	if h == 0 {
		return result{}, raise(codeStdException, "the engine gave no answer. (STD_EXCEPTION)")
	}
	r := result{s.lib, h}
	if msg := s.lib.failure(h); msg != "" {
		r.free()
		return result{}, parseException(msg)
	}
	return r, nil
}

// stream is an answer that comes in pieces.
type stream struct {
	s      *session
	handle uintptr
	ended  bool
}

// stream starts a query whose answer is fetched piece by piece, so that it is
// never in memory whole.
func (s *session) stream(query, format string, ps []param) (*stream, error) {
	q, f, c := bytesOf(query), bytesOf(format), newCParams(ps)
	names, nameLens, values, valueLens, n := c.pointers()
	h := s.lib.streamParams(*s.conn, q, uintptr(len(query)), f, uintptr(len(format)), names, nameLens, values, valueLens, n)
	runtime.KeepAlive(c)
	r, err := s.checked(h)
	if err != nil {
		return nil, err
	}
	return &stream{s: s, handle: r.handle}, nil
}

// next returns the next piece; ok is false at the end. The caller frees it.
func (st *stream) next() (r result, ok bool, err error) {
	h := st.s.lib.fetch(*st.s.conn, st.handle)
	r, err = st.s.checked(h)
	if err != nil {
		st.ended = true
		if strings.Contains(err.Error(), "No active streaming query") { // its word for an end it has told already
			err = nil
		}
		return result{}, false, err
	}
	if st.s.lib.length(r.handle) == 0 {
		st.ended = true
		r.free()
		return result{}, false, nil
	}
	return r, true, nil
}

// close ends the query when it has not ended and frees it.
func (st *stream) close() {
	if !st.ended {
		st.s.lib.cancel(*st.s.conn, st.handle)
	}
	st.s.lib.destroy(st.handle)
}
