package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// proposeTimeout bounds how long a person waits for the broker.
const proposeTimeout = 15 * time.Second

// maxGradeAge is how old a graded request may be: as long as requests are kept.
const maxGradeAge = 400 * 24 * time.Hour

// actions are what a person may do through console, API and CLI.
type actions struct {
	c        func() *config.Config // as it is in force
	keeper   *activation.Keeper[schemas.Policy]
	book     *savings.Book
	publish  func(ctx context.Context, topic string, msgs ...pipeline.Message) error
	verdicts func(ctx context.Context, project string) ([]schemas.Verdict, error)
	snapshot func() *classifier.Snapshot                                 // what decisions are taken by
	called   func(project, workload string) string                       // what a person calls it; empty: nothing else
	seen     func(ctx context.Context, project string) ([]string, error) // workloads with a request in 30 days
}

// outdated says why a verdict speaks of nothing that is decided now.
func (a *actions) outdated(v *schemas.Verdict) schemas.Held {
	return a.snapshot().Outdated(v.Workload, v.Scorer, v.Members)
}

// Activate implements dashboards.Actions.
func (a *actions) Activate(ctx context.Context, r dashboards.ActivateRequest) (dashboards.Result, error) {
	all, err := a.verdicts(ctx, r.Project)
	if err != nil {
		return dashboards.Result{}, err
	}
	var verdicts []schemas.Verdict
	for _, v := range all {
		if v.Workload == r.Workload {
			verdicts = append(verdicts, v)
		}
	}
	if name := a.called(r.Project, r.Workload); name != "" {
		return dashboards.Result{}, &dashboards.Error{Kind: dashboards.Conflict, Code: "renamed", Message: r.Workload + " is called " + name + ", and its requests go by that name.", Hint: "Activate " + name + "."}
	}
	current := a.keeper.Accepted(r.Project + "/" + r.Workload)
	p, err := activation.Activate(activation.Request{
		Project: r.Project, Workload: r.Workload, Candidate: r.Candidate, RequestModel: r.RequestModel, Share: r.Share,
		Threshold: r.Threshold, Override: r.Override, Actor: r.Actor, Reason: r.Reason,
	}, activation.Facts{
		Current: current, Verdicts: verdicts, Now: time.Now(),
		Provider: func(name string) bool { _, ok := a.c().Providers[name]; return ok },
		Priced:   a.priced,
		InLadder: a.inLadder,
		Outdated: a.outdated,
	})
	// A misspelt name is told before its want of a verdict: --override would be no way out.
	if current == nil && len(verdicts) == 0 && !r.Unseen && (err == nil || errors.Is(err, activation.ErrUnsupported)) {
		known, away := a.seen(ctx, r.Project)
		if away != nil {
			return dashboards.Result{}, away
		}
		if !slices.Contains(known, r.Workload) {
			return dashboards.Result{}, unseen(r.Workload, known)
		}
	}
	if err != nil {
		return dashboards.Result{}, refusal(err)
	}
	return a.propose(ctx, p, current)
}

// Rollback implements dashboards.Actions.
func (a *actions) Rollback(ctx context.Context, r dashboards.RollbackRequest) (dashboards.Result, error) {
	current := a.keeper.Accepted(r.Project + "/" + r.Workload)
	p, err := activation.Rollback(current, r.Actor, r.Reason)
	if errors.Is(err, activation.ErrNothing) {
		return dashboards.Result{}, a.nothing(r.Project, r.Workload, current)
	}
	if err != nil {
		return dashboards.Result{}, refusal(err)
	}
	return a.propose(ctx, p, current)
}

// nothing refuses a rollback of what is not live, and names what is: who rolls
// back is in a hurry, and may have mistyped.
func (a *actions) nothing(project, workload string, current *schemas.Policy) error {
	var live []string
	for _, p := range a.keeper.Latest() {
		if p.Project == project && p.Mode != schemas.ModeObserve {
			live = append(live, p.Workload)
		}
	}
	e := &dashboards.Error{Kind: dashboards.Conflict, Message: "Nothing to roll back: " + workload + " observes already.", Hint: "No workload of project " + project + " is live."}
	if current == nil {
		e.Kind, e.Code, e.Message = dashboards.NotFound, "no_policy", fmt.Sprintf("Nothing to roll back: no workload %q was ever activated in project %s.", workload, project)
	}
	if len(live) > 0 {
		slices.Sort(live)
		e.Hint = "Live now: " + strings.Join(live, ", ") + "."
	}
	return e
}

func (a *actions) propose(ctx context.Context, p schemas.Policy, current *schemas.Policy) (dashboards.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	p, err := a.keeper.Propose(ctx, p)
	if err != nil {
		return dashboards.Result{}, refusal(err)
	}
	r := dashboards.Result{Policy: p, Previous: current}
	if alarm := a.keeper.Standing().Alarm; alarm != "" {
		r.Warnings = append(r.Warnings, schemas.Warning{Code: "policy_alarm", Text: alarm})
	}
	return r, nil
}

// PostEvaluations implements dashboards.Actions.
func (a *actions) PostEvaluations(ctx context.Context, project string, evs []schemas.Evaluation) error {
	msgs := make([]pipeline.Message, len(evs))
	for i := range evs {
		if evs[i].RequestTs.IsZero() {
			// The time in the request's own id: the same whenever it is sent again.
			id, err := uuid.Parse(evs[i].RequestID)
			if err != nil || id.Version() != 7 {
				return &dashboards.Error{Code: "request_ts_missing", Message: "An evaluation has no request_ts, and its request_id is not one of gnomon's.", Hint: "Give the time of the observed request."}
			}
			evs[i].RequestTs = time.Unix(id.Time().UnixTime()).UTC().Truncate(time.Millisecond)
		}
		if age := time.Since(evs[i].RequestTs); age > maxGradeAge || age < -24*time.Hour {
			return &dashboards.Error{Code: "request_ts_out_of_range", Message: fmt.Sprintf("An evaluation's request_ts is %s.", evs[i].RequestTs.Format(time.RFC3339)), Hint: "Requests are kept for 400 days; grade those."}
		}
		value, err := json.Marshal(&evs[i])
		if err != nil {
			return err
		}
		msgs[i] = pipeline.Message{Key: []byte(project + "/" + evs[i].Workload), Value: value, ID: evs[i].EvaluationID}
	}
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	if err := a.publish(ctx, schemas.TopicEvaluations, msgs...); err != nil {
		return &dashboards.Error{Kind: dashboards.Unavailable, Message: "The grades could not be written to the broker: " + err.Error() + ".", Hint: "Send them again: an evaluation_id of your own makes that harmless."}
	}
	return nil
}

func (a *actions) priced(provider, model string) bool { return priced(a.book, provider, model) }

func (a *actions) inLadder(baseline, candidate string) bool {
	for _, l := range ladders(a.c()) {
		if _, model, _ := strings.Cut(l.Baseline, "/"); baseline != "" && model != baseline && l.Baseline != baseline {
			continue
		}
		for _, c := range l.Candidates {
			if c == candidate {
				return true
			}
		}
	}
	return false
}

// refusal gives an error of the rules the kind the API answers with.
func refusal(err error) error {
	kind, hint := dashboards.Unavailable, "gnomon doctor says what is wrong with the broker."
	switch {
	case errors.Is(err, activation.ErrUnsupported):
		kind, hint = dashboards.Unsupported, "gnomon report shows what is known."
	case errors.Is(err, activation.ErrConflict):
		kind, hint = dashboards.Conflict, "Look at what holds now (gnomon workloads), and try again."
	case errors.Is(err, activation.ErrInvalid), errors.Is(err, activation.ErrName), errors.Is(err, activation.ErrUnnamed):
		kind, hint = dashboards.Invalid, ""
	case errors.Is(err, activation.ErrNothing):
		kind, hint = dashboards.Conflict, "The workload observes already."
	}
	text := err.Error()
	return &dashboards.Error{Kind: kind, Message: fmt.Sprintf("%s%s.", strings.ToUpper(text[:1]), strings.TrimSuffix(text[1:], ".")), Hint: hint}
}
