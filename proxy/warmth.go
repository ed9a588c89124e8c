package proxy

import (
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"
)

const (
	maxWorkloads = 10_000  // distinct names; what comes past them is "other"
	maxTeams     = 1_000   // the same of teams
	maxSessions  = 100_000 // conversations whose last route is remembered
	cacheSeconds = 300     // providers keep a prompt's prefix about five minutes

	overflow = "other"    // the workload, or the team, of names past the bound
	unnamed  = "~unnamed" // no feature was sent and no system prompt names one
)

// warmth remembers of each conversation what the caches of its routes hold: how
// long the prompt was when each was last asked. A conversation that is moved has
// what really served it; of any other it is what the would-be routes would hold.
// Two generations bound it: when the younger is full the older one is forgotten.
type warmth struct {
	max        int
	mu         sync.Mutex
	young, old map[uint64]prefixes
}

// prefixes are of the routes that a conversation used last.
type prefixes [3]prefix

type prefix struct {
	route  uint64
	at     int64 // Unix seconds
	tokens uint32
}

// of returns how many tokens a route's cache holds at now; false when none.
func (p *prefixes) of(route uint64, now int64) (uint32, bool) {
	for _, x := range p {
		if x.route == route && now-x.at <= cacheSeconds {
			return x.tokens, true
		}
	}
	return 0, false
}

// held is what was noted of a route, however long ago; zero: nothing.
func (p *prefixes) held(route uint64) prefix {
	for _, x := range p {
		if x.route == route {
			return x
		}
	}
	return prefix{}
}

func warmKey(workload, session string) uint64 {
	return xxhash.Sum64String(workload + "\x00" + session)
}

func routeHash(route string) uint64 { return xxhash.Sum64String(route) }

func (w *warmth) last(key uint64) prefixes {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.young[key]
	if !ok {
		l = w.old[key]
	}
	return l
}

func (w *warmth) note(key, route uint64, at int64, tokens uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.young == nil {
		w.young = make(map[uint64]prefixes)
	}
	l, known := w.young[key]
	if !known {
		l = w.old[key]
		if len(w.young) >= w.max/2 {
			w.young, w.old = make(map[uint64]prefixes, w.max/2), w.young
		}
	}
	slot := 0
	for i := range l {
		if l[i].route == route {
			slot = i
			break
		}
		if l[i].at < l[slot].at {
			slot = i
		}
	}
	l[slot] = prefix{route, at, tokens}
	w.young[key] = l
}

// names bounds how many workloads, or teams, exist: the header is the client's, and
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
