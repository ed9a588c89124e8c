package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Options say where the store is.
type Options struct {
	// DSN is http://user:password@host:8123/database or clickhouse://…:9000/….
	DSN string
	TLS *tls.Config // nil: as the address says (https, or secure=true)
	Log *slog.Logger
}

// Store is a connection pool to ClickHouse. It is safe for concurrent use.
type Store struct {
	conn    driver.Conn
	log     *slog.Logger
	timeout time.Duration // of one insert

	mu    sync.Mutex
	types map[string]map[string]string // of columns, by table, as they are sent
	asked bool                         // whether the user may write
	free  bool                         // and may

	failed map[time.Time]bool // hours that the last pass could not sum
}

// sendTimeout bounds one insert: a server that hangs is an error, and the batch
// is sent again.
const sendTimeout = 60 * time.Second

// Open connects and asks once, so that a wrong address is told now.
func Open(ctx context.Context, o Options) (*Store, error) {
	opts, err := clickhouse.ParseDSN(o.DSN)
	if err != nil {
		return nil, fmt.Errorf("store address: %w", withoutSecrets(err, o.DSN))
	}
	// The database may not exist before the first migration: names are written out.
	opts.Auth.Database = "default"
	if o.TLS != nil {
		opts.TLS = o.TLS
	}
	defaults(opts)
	if opts.Protocol == clickhouse.HTTP {
		opts.TransportFunc = func(t *http.Transport) (http.RoundTripper, error) { return exceptionOn200{t}, nil }
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("store: %w", withoutSecrets(err, o.DSN))
	}
	s := &Store{conn: conn, log: o.Log, timeout: sendTimeout, types: map[string]map[string]string{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	err = conn.Ping(ctx)
	if err == nil {
		err = s.consistently(ctx, opts)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", withoutSecrets(err, o.DSN)), s.conn.Close())
	}
	return s, nil
}

// defaults fills in what the address leaves open.
func defaults(o *clickhouse.Options) {
	if o.DialTimeout == 0 {
		o.DialTimeout = 5 * time.Second
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = 2 * time.Minute
	}
	if o.MaxOpenConns == 0 {
		o.MaxOpenConns = 8
	}
	if o.MaxIdleConns == 0 {
		o.MaxIdleConns = 4
	}
	if o.Compression == nil {
		o.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	}
}

// Ping asks whether the store answers a query.
func (s *Store) Ping(ctx context.Context) error {
	var one uint8
	return s.conn.QueryRow(ctx, "SELECT 1").Scan(&one)
}

// Close ends idle connections.
func (s *Store) Close() error { return s.conn.Close() }

// withoutSecrets keeps an address's password out of errors.
func withoutSecrets(err error, dsn string) error {
	if _, rest, ok := strings.Cut(dsn, "://"); ok {
		if userinfo, _, ok := strings.Cut(rest, "@"); ok && strings.Contains(err.Error(), userinfo) {
			return errors.New(strings.ReplaceAll(err.Error(), userinfo, "…"))
		}
	}
	return err
}

// exceptionOn200 turns an answer that says 200 and carries an exception into
// the error it is: the client counts an empty body as a successful insert.
type exceptionOn200 struct{ next http.RoundTripper }

func (t exceptionOn200) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusOK && resp.Header.Get("X-ClickHouse-Exception-Code") != "" {
		resp.StatusCode, resp.Status = http.StatusInternalServerError, "500 exception behind a 200"
	}
	return resp, err
}
