package proxy

import (
	"sync"
	"time"
)

// A candidate that fails this often in a row is left alone for a while, so that
// not every treated request waits for it to fail.
const (
	failuresInRow = 3
	leftAlone     = 30 * time.Second
)

// health remembers which candidates are failing. Only candidates of live
// traffic get here: a baseline is never withheld from its caller.
type health struct {
	mu     sync.Mutex
	states map[string]*healthState
}

type healthState struct {
	failures int
	until    time.Time
}

// unhealthy reports whether a candidate is to be left alone at a moment.
func (h *health) unhealthy(candidate string, at time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.states[candidate]
	return s != nil && at.Before(s.until)
}

// note says how a request to a candidate went. After the pause one request is
// let through; a single failure then starts the next pause.
func (h *health) note(candidate string, ok bool, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ok {
		delete(h.states, candidate)
		return
	}
	if h.states == nil {
		h.states = map[string]*healthState{}
	}
	s := h.states[candidate]
	if s == nil {
		s = &healthState{}
		h.states[candidate] = s
	}
	if s.failures++; s.failures >= failuresInRow {
		s.until = at.Add(leftAlone)
	}
}
