package main

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/schemas"
)

// settings are the analyzer's, from the configuration.
func (n *node) settings() analyzer.Settings {
	c, s := n.live.Load(), analyzer.DefaultSettings()
	s.Margin, s.Alpha, s.PlannedDays = c.Quality.Margin, c.Quality.Alpha, c.Observe.Days
	s.DraftThreshold, s.Scorer = c.Proxy.DraftThreshold, n.snapshots.get().Scorer()
	s.Rehearses = c.RehearsalPermitted
	s.Threshold = func(workload string) float64 {
		// What was gathered under the draft reaches no further than the draft, also
		// where a policy under an override admits more: a verdict must not claim it.
		if p := n.keeper.Accepted(c.Project + "/" + workload); p != nil && p.Candidate != "" {
			return min(p.Threshold, c.Proxy.DraftThreshold)
		}
		return c.Proxy.DraftThreshold
	}
	return s
}

// firstLooks is how often the analyzer looks while it has found nothing to say, or
// what it found speaks of nothing any more: of the names before a merge.
const firstLooks = 30 * time.Second

// lookLinger is how long a look waits that a merge or other weights have called
// for: the store is told of names by the same topic as this process.
const lookLinger = 2 * time.Second

// lookAgain calls for a look.
func (n *node) lookAgain() {
	select {
	case n.look <- struct{}{}:
	default: // it is called for
	}
}

// analyzeLoop looks now and at every interval; looking often costs nothing in
// error (the evidence is anytime-valid). Until there is a first verdict it looks
// more often: somebody has just sent their first request, and waits.
func (n *node) analyzeLoop(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.storeUp:
	}
	for {
		verdicts, err := n.analyze(ctx)
		if err != nil && ctx.Err() == nil {
			n.log.Error("the analyzer could not look; it looks again at its next turn", "err", err)
		}
		pause := n.c.Observe.Every
		now := n.snapshots.get()
		outdated := func(v schemas.Verdict) bool { return now.Outdated(v.Workload, v.Scorer, v.Members) != schemas.HeldNot }
		if len(verdicts) == 0 || slices.ContainsFunc(verdicts, outdated) {
			pause = min(pause, firstLooks)
		}
		turn := time.NewTimer(pause)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				turn.Stop()
				return nil
			case <-n.look:
				turn.Reset(lookLinger)
			case <-turn.C:
				waiting = false
			}
		}
	}
}

// analyze looks once and publishes what it found: verdicts for the store,
// evidence for the proxies.
func (n *node) analyze(ctx context.Context) ([]schemas.Verdict, error) {
	now := time.Now().UTC()
	verdicts, err := analyzer.Analyze(ctx, n.reader.Load(), n.c.Project, n.settings(), now)
	if err != nil {
		return nil, err
	}
	var found, told []pipeline.Message
	for i := range verdicts {
		v := &verdicts[i]
		key := []byte(v.Project + "/" + v.Workload)
		value, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		found = append(found, pipeline.Message{Key: key, Value: value})
		value, err = json.Marshal(evidenceOf(v))
		if err != nil {
			return nil, err
		}
		told = append(told, pipeline.Message{Key: key, Value: value})
	}
	if len(found) == 0 {
		return nil, nil
	}
	if err := n.pub.Publish(ctx, schemas.TopicVerdicts, found...); err != nil {
		return nil, err
	}
	return verdicts, n.pub.Publish(ctx, schemas.TopicEvidence, told...)
}

// evidenceOf is what proxies are told of a verdict.
func evidenceOf(v *schemas.Verdict) *schemas.EvidenceRecord {
	r := &schemas.EvidenceRecord{Version: schemas.SchemaVersion, Project: v.Project, Workload: v.Workload, Provider: v.Provider, RequestModel: v.RequestModel, Candidate: v.Candidate,
		At: v.ComputedAt, Scorer: v.Scorer, Members: v.Members}
	switch v.Readiness {
	case schemas.Ready:
		r.State = schemas.EvidenceReady
	case schemas.Worse:
		r.State = schemas.EvidenceWorse
	default:
		r.State = schemas.EvidenceCollecting
	}
	r.Adequacy, r.Profile = v.Quality.Adequacy, v.Quality.Profile
	if o := v.Savings.OutputRatio; o != nil {
		r.OutputRatio = o.Point
	}
	return r
}
