package proxy

import (
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
)

const (
	maxWorkloads = 10_000  // distinct names; what comes past them is "other"
	maxSessions  = 100_000 // conversations whose last route is remembered
	cacheSeconds = 300     // providers keep a prompt's prefix about five minutes

	overflow = "other"    // the workload of names past the bound
	unnamed  = "~unnamed" // no feature was sent and no system prompt names one
)

// warmth remembers for each conversation the last would-be route: the model
// whose cache would hold its prefix. Two generations bound it: when the younger
// is full the older one is forgotten.
type warmth struct {
	max        int
	mu         sync.Mutex
	young, old map[uint64]lastRoute
}

type lastRoute struct {
	route uint64
	at    int64 // Unix seconds
}

func warmKey(workload, session string) uint64 {
	return xxhash.Sum64String(workload + "\x00" + session)
}

func routeHash(route string) uint64 { return xxhash.Sum64String(route) }

func (w *warmth) last(key uint64) (route uint64, at int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.young[key]
	if !ok {
		l, ok = w.old[key]
	}
	return l.route, l.at, ok
}

func (w *warmth) note(key, route uint64, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.young == nil {
		w.young = make(map[uint64]lastRoute)
	}
	if _, known := w.young[key]; !known && len(w.young) >= w.max/2 {
		w.young, w.old = make(map[uint64]lastRoute, w.max/2), w.young
	}
	w.young[key] = lastRoute{route, at}
}

// names bounds how many workloads exist: a feature header is the client's, and
// a million distinct ones must not become a million rows in every view.
type names struct {
	max  int
	mu   sync.RWMutex
	seen map[string]struct{}
}

func (n *names) bound(name string, kept func(string) bool) string {
	n.mu.RLock()
	_, ok := n.seen[name]
	n.mu.RUnlock()
	if ok || kept(name) {
		return name
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen == nil {
		n.seen = make(map[string]struct{})
	}
	if _, ok := n.seen[name]; !ok && len(n.seen) >= n.max {
		return overflow
	}
	n.seen[strings.Clone(name)] = struct{}{}
	return name
}

func cutRoute(route string) (provider, model string, ok bool) {
	provider, model, ok = strings.Cut(route, "/")
	return provider, model, ok && provider != "" && model != ""
}
