package main

import (
	"context"
	"errors"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// relay stands between the other ingester and the store. While it is deaf what is
// asked reaches the store and is done there, and the connection ends before the
// answer of an insert: whoever asked cannot know.
type relay struct {
	*httptest.Server
	deaf atomic.Bool
	gone atomic.Bool  // nothing comes through
	cut  atomic.Int64 // answers
}

func newRelay(store string) *relay {
	r := &relay{}
	to := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: store})
	to.ErrorLog = log.New(discard{}, "", 0)
	to.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) } // as the store itself would
	to.ModifyResponse = func(resp *http.Response) error {
		if r.deaf.Load() && resp.StatusCode == http.StatusOK && strings.HasPrefix(resp.Request.URL.Query().Get("query"), "INSERT") {
			r.cut.Add(1)
			return context.Canceled
		}
		return nil
	}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.gone.Load() {
			panic(http.ErrAbortHandler)
		}
		to.ServeHTTP(w, req)
	}))
	return r
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

var relayFaults = []fault{
	{name: "answers of the store to an ingester are lost", once: true, do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.relay.deaf.Store(true)
		time.Sleep(time.Duration(500+rnd.IntN(1500)) * time.Millisecond)
		w.relay.deaf.Store(false)
		if w.relay.cut.Load() == 0 {
			return errors.New("no insert passed that could lose its answer: the fault was none")
		}
		return nil
	}},
	{name: "an ingester is cut off from the store", once: true, do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.relay.gone.Store(true)
		w.relay.CloseClientConnections()
		time.Sleep(time.Duration(500+rnd.IntN(2500)) * time.Millisecond)
		w.relay.gone.Store(false)
		return nil
	}},
}

// watchTable looks, until it is asked, how many rows the requests' table holds
// besides the first of each id: what FINAL hides. Where the plan has nothing but
// inserts that were done and not answered, the token of each makes that none. What
// it returns says the most that was seen: merges take them away again.
func (w *world) watchTable(ctx context.Context, plan []fault) (most func() int) {
	if slices.ContainsFunc(plan, func(f fault) bool { return !f.once }) {
		return func() int { return 0 }
	}
	ctx, end := context.WithCancel(ctx)
	n, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			got, err := w.back.rows("SELECT count() - uniqExact(request_id, revision) FROM gnomon.requests")
			if err == nil {
				more, _ := strconv.Atoi(got[0][0])
				n = max(n, more)
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() int { end(); <-done; return n }
}
