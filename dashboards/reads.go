package dashboards

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// reads is Data as one HTTP request sees it: what the frame, the page and its
// tables all need is asked once. It lives no longer than the request, so that
// nothing shown is older than the click.
type reads struct {
	Data
	mu    sync.Mutex
	calls map[string]func() (any, error)
}

type readsKey struct{}

// patience is how long a store that hangs may hold a page.
const patience = 30 * time.Second

// withReads gives each request its own reads.
func (s *server) withReads(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		rd := &reads{Data: s.Data, calls: map[string]func() (any, error){}}
		next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, readsKey{}, rd)))
	})
}

// data returns the request's reads.
func (s *server) data(ctx context.Context) Data {
	if rd, ok := ctx.Value(readsKey{}).(*reads); ok {
		return rd
	}
	return s.Data
}

// forget makes the next reads fresh: after an action they must show it.
func forget(ctx context.Context) {
	if rd, ok := ctx.Value(readsKey{}).(*reads); ok {
		rd.mu.Lock()
		clear(rd.calls)
		rd.mu.Unlock()
	}
}

// safely turns a panic into an error. The reads of a page run in goroutines of
// their own, where a panic would end the process, and the proxy with it.
func safely(f func() error) func() error {
	return func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("panic while reading: %v", p)
			}
		}()
		return f()
	}
}

func once[T any](rd *reads, key string, f func() (T, error)) (T, error) {
	rd.mu.Lock()
	call, ok := rd.calls[key]
	if !ok {
		call = sync.OnceValues(func() (any, error) { return f() })
		rd.calls[key] = call
	}
	rd.mu.Unlock()
	v, err := call()
	t, _ := v.(T)
	return t, err
}

func (rd *reads) Traffic(ctx context.Context, project string, from, to time.Time) ([]Traffic, error) {
	return once(rd, fmt.Sprint("traffic ", project, from, to), func() ([]Traffic, error) { return rd.Data.Traffic(ctx, project, from, to) })
}

func (rd *reads) Verdicts(ctx context.Context, project string) ([]schemas.Verdict, error) {
	return once(rd, "verdicts "+project, func() ([]schemas.Verdict, error) { return rd.Data.Verdicts(ctx, project) })
}

func (rd *reads) Policies(ctx context.Context, project, workload string) ([]schemas.Policy, error) {
	return once(rd, "policies "+project+" "+workload, func() ([]schemas.Policy, error) { return rd.Data.Policies(ctx, project, workload) })
}

func (rd *reads) Completeness(ctx context.Context, project string) (Completeness, error) {
	return once(rd, "completeness "+project, func() (Completeness, error) { return rd.Data.Completeness(ctx, project) })
}
