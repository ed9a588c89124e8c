package dashboards

import (
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
	return s.WhatIf(r.Context(), ask)
}
