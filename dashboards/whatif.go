package dashboards

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/whatif"
	"github.com/gnomon-llm/gnomon/classifier"
)

// WhatIf is a question about a policy that never ran.
type WhatIf struct {
	Project, Workload string // workload "": all
	From, To          time.Time
	Thresholds        []float64           // none: a grid
	Ladders           []classifier.Ladder // each replaces the ladder of its baseline
}

// whatIfSlots is how many questions read the log at a time: each reads all of it, and
// the store's memory is shared with ingest.
const whatIfSlots = 2

// whatIfPatience is how long a question waits for its turn.
const whatIfPatience = 15 * time.Second

func (s *server) askWhatIf(ctx context.Context, ask WhatIf) (*whatif.Result, error) {
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	select {
	case s.whatIfs <- struct{}{}:
		defer func() { <-s.whatIfs }()
		return s.WhatIf(ctx, ask)
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, &Error{Kind: Unavailable, Code: "busy", Message: fmt.Sprintf("%d questions are reading the log already.", whatIfSlots), Hint: "Ask again when they have their answers."}
	}
}

// maxThresholds bounds one question: each is a bound that every row is held against.
const maxThresholds = 200

func (s *server) apiWhatIf(r *http.Request) (any, error) {
	if s.WhatIf == nil {
		return nil, &Error{Kind: NotFound, Message: "This console does not score the log again."}
	}
	p, err := s.project(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	ask := WhatIf{Project: p, Workload: q.Get("workload")}
	for name, at := range map[string]*time.Time{"from": &ask.From, "to": &ask.To} {
		if v := q.Get(name); v != "" {
			if *at, err = time.Parse(time.RFC3339, v); err != nil {
				return nil, &Error{Code: "bad_time", Message: fmt.Sprintf("%s=%s is no moment.", name, v), Hint: "Like 2026-11-03T00:00:00Z."}
			}
		}
	}
	if n := len(q["threshold"]); n > maxThresholds {
		return nil, &Error{Code: "too_many_thresholds", Message: fmt.Sprintf("%d thresholds were asked for.", n), Hint: fmt.Sprintf("Ask for at most %d at once.", maxThresholds)}
	}
	for _, v := range q["threshold"] {
		t, err := strconv.ParseFloat(v, 64)
		if err != nil || !(t >= 0 && t <= 1) {
			return nil, &Error{Code: "bad_threshold", Message: fmt.Sprintf("threshold=%s is none.", v), Hint: "A score from 0 to 1: requests up to it are routed."}
		}
		ask.Thresholds = append(ask.Thresholds, t)
	}
	for _, v := range q["ladder"] {
		l, err := whatif.ParseLadder(v)
		if err != nil {
			return nil, &Error{Code: "bad_ladder", Message: err.Error()}
		}
		ask.Ladders = append(ask.Ladders, l)
	}
	return s.askWhatIf(r.Context(), ask)
}

// whatIfFragment is the frontier of one workload, loaded after its page: the log
// may be long.
func (s *server) whatIfFragment(w http.ResponseWriter, r *http.Request) {
	if s.WhatIf == nil {
		http.NotFound(w, r)
		return
	}
	answer, err := s.askWhatIf(r.Context(), WhatIf{Project: s.Project, Workload: r.URL.Query().Get("workload")})
	if err != nil {
		s.logFailure(r, "the log could not be scored again", err)
		status, body := statusOf(err)
		s.renderPart(w, status, "workload", "problem", body)
		return
	}
	var d struct {
		Frontier *whatif.Frontier
		Drawn    bool // some threshold that routes has a figure for quality
		Few      uint64
		Least    int
	}
	d.Least = whatif.MinRequests
	if len(answer.TooFew) > 0 {
		d.Few = answer.TooFew[0].Requests
	}
	if len(answer.Workloads) > 0 {
		d.Frontier = &answer.Workloads[0]
		for _, p := range d.Frontier.Points {
			d.Drawn = d.Drawn || p.Routed > 0 && p.Quality != nil
		}
	}
	s.renderPart(w, http.StatusOK, "workload", "whatif", d)
}
