package main

import (
	"context"
	"errors"
	"fmt"
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
		query := resp.Request.URL.Query().Get("query")
		if r.deaf.Load() && resp.StatusCode == http.StatusOK && strings.HasPrefix(query, "INSERT") {
			if strings.HasPrefix(query, "INSERT INTO gnomon.requests ") {
				r.cut.Add(1)
			}
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

// errNone says that a fault came to nothing: it is told, and no failure.
var errNone = errors.New("it came to nothing")

var relayFaults = []fault{
	{name: "answers of the store to an ingester are lost", once: true, do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.relay.deaf.Store(true)
		defer w.relay.deaf.Store(false)
		before, until := w.relay.cut.Load(), time.Now().Add(10*time.Second)
		time.Sleep(time.Duration(500+rnd.IntN(1500)) * time.Millisecond)
		for w.relay.cut.Load() == before {
			if time.Now().After(until) {
				return fmt.Errorf("%w: no request was inserted meanwhile", errNone)
			}
			time.Sleep(20 * time.Millisecond)
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

// watchTable counts, when it is asked, the rows that the requests' table holds
// beside the first of each id and revision: what FINAL hides, and the token of each
// insert makes none of. It counts only where the plan has nothing but inserts that
// were done and not answered: else ingest may rightly cut a batch anew. The table is
// not merged meanwhile, since a merge takes away what is to be seen.
func (w *world) watchTable(plan []fault) (count func() (int, error), err error) {
	if slices.ContainsFunc(plan, func(f fault) bool { return !f.once }) {
		return func() (int, error) { return 0, nil }, nil
	}
	if err := w.back.write("SYSTEM STOP MERGES gnomon.requests"); err != nil {
		return nil, err
	}
	return func() (int, error) {
		got, err := w.back.rows("SELECT count() - uniqExact(request_id, revision) FROM gnomon.requests")
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(got[0][0])
	}, nil
}
