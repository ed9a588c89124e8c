package embedded

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Bounds of the endpoint.
const (
	maxQueryBytes  = 1 << 20 // of a query's text; an insert's data are not counted
	writerSlots    = 8
	readerSlots    = 6
	slotWait       = 15 * time.Second
	defaultReader  = 60  // seconds a reader's query may run
	longestReader  = 600 // and at most
	killPatience   = 5 * time.Second
	headerReadTime = 10 * time.Second
)

// server answers ClickHouse's HTTP interface from one engine.
type server struct {
	lib            *library
	anchor         *session
	args           []string // the engine's start arguments
	tmp            string   // folder for bodies and pipes
	hosts          []string // permitted beside IP literals and localhost
	password       [32]byte // its hash
	lim            limits
	version        string
	timezone       string
	name           string
	tableFunctions map[string]bool
	writers        chan struct{}
	readers        chan struct{}
	serial         atomic.Uint64
	yielding       atomic.Bool // merges have been made less urgent
	log            *slog.Logger
}

// newServer opens the engine on a folder.
func newServer(lib *library, paths childPaths, cfg childConfig, log *slog.Logger) (*server, error) {
	s := &server{
		lib: lib, args: engineArgs(paths.Data, cfg.MemoryBytes), tmp: paths.Tmp, hosts: cfg.Hosts, log: log,
		password: sha256.Sum256([]byte(cfg.WriterPassword)),
		lim:      limits{memory: cfg.MemoryBytes * 2 / 3, threads: 2, readerTime: defaultReader, readerCap: longestReader},
		writers:  make(chan struct{}, writerSlots), readers: make(chan struct{}, readerSlots),
	}
	leftovers, err := filepath.Glob(filepath.Join(s.tmp, "*"))
	if err != nil {
		return nil, err
	}
	for _, path := range leftovers { // of an earlier life
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	first, err := lib.open(s.args)
	if err != nil {
		return nil, err
	}
	// Never closed: with its last session the library would close the tables too.
	s.anchor = first
	facts, err := first.text("SELECT version(), timezone(), displayName()")
	if err != nil {
		return nil, err
	}
	if parts := strings.Split(strings.TrimSpace(facts), "\t"); len(parts) == 3 {
		s.version, s.timezone, s.name = parts[0], parts[1], parts[2]
	}
	names, err := first.text("SELECT name FROM system.table_functions")
	if err != nil {
		return nil, err
	}
	s.tableFunctions = reachingFunctions(strings.Split(names, "\n"))
	return s, nil
}

// text runs a query and returns its answer as TSV.
func (s *session) text(query string) (string, error) {
	r, err := s.run(query, "TSV", nil)
	if err != nil {
		return "", err
	}
	defer r.free()
	return string(r.bytes()), nil
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := s.admit(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	w.Header().Set("X-ClickHouse-Server-Display-Name", s.name)
	w.Header().Set("X-ClickHouse-Timezone", s.timezone)
	switch r.URL.Path {
	case "/ping", "/replicas_status":
		_, _ = io.WriteString(w, "Ok.\n")
	case probePath:
		s.probe(w)
	case "/", "/query":
		if r.URL.Path == "/" && r.Method == http.MethodGet && r.URL.Query().Get("query") == "" {
			_, _ = io.WriteString(w, "Ok.\n")
			return
		}
		s.serveQuery(w, r)
	default:
		http.Error(w, "There is no such path; the ClickHouse HTTP interface is at / (try /?query=SELECT+1).", http.StatusNotFound)
	}
}

// probePath answers the parent: it goes through the engine, past the slots.
const probePath = "/.gnomon/probe"

func (s *server) probe(w http.ResponseWriter) {
	c, err := s.lib.open(s.args)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer c.close()
	one, err := c.text("SELECT 1")
	if err != nil || strings.TrimSpace(one) != "1" {
		http.Error(w, fmt.Sprintf("SELECT 1 gave %q, %v", one, err), http.StatusServiceUnavailable)
		return
	}
	if !s.yielding.Load() {
		s.yielding.Store(yieldMerges())
	}
	_, _ = io.WriteString(w, s.version+"\n")
}

// admit refuses a page of another origin, also one whose name was made to point
// here (DNS rebinding).
func (s *server) admit(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err != nil && !strings.EqualFold(host, "localhost") && !slices.ContainsFunc(s.hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return fmt.Errorf("the host %q is not one of this endpoint's: use an IP address or localhost, or name it in admin.hosts", host)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
			return fmt.Errorf("the origin %q may not use this endpoint", origin)
		}
	}
	return nil
}

// authenticate says whether the request is the writer's.
func (s *server) authenticate(r *http.Request) (writer bool, err error) {
	q := r.URL.Query()
	user, password := q.Get("user"), q.Get("password")
	if u := r.Header.Get("X-ClickHouse-User"); u != "" {
		user, password = u, r.Header.Get("X-ClickHouse-Key")
	} else if u, p, ok := r.BasicAuth(); ok {
		user, password = u, p
	} else if r.Header.Get("Authorization") != "" {
		return false, raise(codeAuthentication, "Authentication failed: only Basic is known here. (AUTHENTICATION_FAILED)")
	}
	switch {
	case (user == "" || user == "default") && password == "":
		return false, nil
	case user == writerUser:
		h := sha256.Sum256([]byte(password))
		if subtle.ConstantTimeCompare(h[:], s.password[:]) == 1 {
			return true, nil
		}
	}
	return false, raise(codeAuthentication, "%s: Authentication failed: password is incorrect, or there is no user with such name. (AUTHENTICATION_FAILED)", strconv.QuoteToASCII(user))
}

// writerUser is the one user with a password.
const writerUser = "gnomon"

// request is a query on its way.
type request struct {
	st       statement
	writer   bool
	settings []setting
	params   []param
	database string
	format   string // of the answer
	revision int    // of Native blocks that the client reads
	id       string
	data     io.Reader // an insert's data, nil without
}

func (s *server) serveQuery(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("query_id")
	if id == "" {
		id = newID()
	}
	w.Header().Set("X-ClickHouse-Query-Id", headerSafe(id))
	req, err := s.readRequest(r)
	if err != nil {
		writeException(w, asException(err))
		return
	}
	req.id = id
	release, err := s.slot(r.Context(), req.writer)
	if err != nil {
		writeException(w, asException(err))
		return
	}
	defer release()
	a, err := newAnswer(w, r, s.tmp)
	if err != nil {
		writeException(w, asException(err))
		return
	}
	defer a.close()
	if err := s.execute(r.Context(), w, a, req); err != nil {
		s.log.Debug("query failed", "query_id", id, "writer", req.writer, "error", err)
		a.fail(asException(err))
	}
}

// slot waits for its turn: the engine's memory is shared by all.
func (s *server) slot(ctx context.Context, writer bool) (release func(), err error) {
	slots := s.readers
	if writer {
		slots = s.writers
	}
	timer := time.NewTimer(slotWait)
	defer timer.Stop()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, raise(codeTooManyQueries, "Too many simultaneous queries for %s: %d run already; try again. (TOO_MANY_SIMULTANEOUS_QUERIES)", roleName(writer), cap(slots))
	}
}

// readRequest reads all of a request but an insert's data.
func (s *server) readRequest(r *http.Request) (*request, error) {
	q := r.URL.Query()
	writer, err := s.authenticate(r)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return nil, raise(codeNotImplemented, "The method %s is not known here: GET and POST are. (NOT_IMPLEMENTED)", r.Method)
	case q.Get("session_id") != "" && isOne(q.Get("session_check")):
		return nil, raise(codeSessionNotFound, "Session %q not found: the embedded engine keeps none. (SESSION_NOT_FOUND)", q.Get("session_id"))
	case !writer && isOne(q.Get("decompress")):
		return nil, raise(codeNotImplemented, "A read-only user has nothing to send in compressed blocks: leave decompress out. (NOT_IMPLEMENTED)")
	case strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/"):
		return nil, raise(codeNotImplemented, "External tables are not taken by the embedded engine. (NOT_IMPLEMENTED)")
	}
	req := &request{writer: writer, database: firstOf(q.Get("database"), r.Header.Get("X-ClickHouse-Database")), params: queryParams(q)}
	req.revision, _ = strconv.Atoi(q.Get("client_protocol_version"))
	if req.settings, err = requestSettings(q, writer, s.lim); err != nil {
		return nil, err
	}
	if err := req.readStatement(r, q.Get("query")); err != nil {
		return nil, err
	}
	req.format = firstOf(req.st.format, q.Get("default_format"), r.Header.Get("X-ClickHouse-Format"), "TabSeparated")
	if strings.ContainsFunc(req.format, func(r rune) bool { return r >= 0x80 || !isWordByte(byte(r)) }) {
		return nil, raise(codeUnknownFormat, "Unknown format %q. (UNKNOWN_FORMAT)", req.format)
	}
	if writer {
		return req, nil
	}
	if err := gateParams(req.params); err != nil {
		return nil, err
	}
	var more []setting
	req.st.text, more = cutSettings(req.st.text)
	for _, m := range more {
		if !slices.Contains(anyoneSettings, m.name) {
			return nil, raise(codeReadonly, "Cannot modify '%s' setting in readonly mode. (READONLY)", m.name)
		}
		checked, err := requestSettings(url.Values{m.name: {m.value}}, writer, s.lim)
		if err != nil {
			return nil, err
		}
		req.settings = append(req.settings, checked...)
	}
	return req, gate(req.st.text, s.tableFunctions)
}

// readStatement takes the query from the address, the body, or both: as in
// ClickHouse the body follows what the address says.
func (req *request) readStatement(r *http.Request, query string) error {
	body, err := requestBody(r)
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(body, 64<<10)
	if query != "" {
		if req.st, err = parseStatement(query); err != nil {
			return err
		}
		if req.st.kind == kindInsert {
			req.data = io.MultiReader(strings.NewReader(query[req.st.dataAt:]), in)
			return nil
		}
		query += "\n"
	}
	head := make([]byte, maxQueryBytes+1-min(len(query), maxQueryBytes))
	n, err := io.ReadFull(in, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return raise(codeCannotDecompress, "The body cannot be read: %s. (CANNOT_READ_ALL_DATA)", err)
	}
	ended, whole := err != nil, query+string(head[:n])
	if req.st, err = parseStatement(whole); err != nil {
		return err
	}
	if req.st.kind == kindInsert {
		req.data = strings.NewReader(whole[req.st.dataAt:])
		if !ended { // a decoder that has ended is not to be asked again
			req.data = io.MultiReader(req.data, in)
		}
		req.st.text = whole[:req.st.dataAt]
		return nil
	}
	if len(whole) > maxQueryBytes {
		return raise(codeQueryTooLarge, "Query is too large: more than %d bytes. (QUERY_IS_TOO_LARGE)", maxQueryBytes)
	}
	return nil
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// headerSafe keeps what may stand in a header.
func headerSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f {
			return '?'
		}
		return r
	}, s[:min(len(s), 200)])
}
