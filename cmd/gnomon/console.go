package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/schemas"
)

// console is the whole admin plane. It is there from the start: a workload must be
// switched back also while the store is away.
func (n *node) console() (http.Handler, error) {
	return dashboards.New(dashboards.Config{
		Project: n.c.Project, Data: consoleData{n}, Health: n, Simulated: n.opts.simulated, Hosts: n.c.Admin.Hosts, Token: n.c.Admin.Token,
		Log: n.log, Metrics: n.metrics(), Version: version, Proxy: proxyURL(n.c),
		Actions: &actions{c: n.live.Load, keeper: n.keeper, book: n.book, publish: n.pub.Publish, verdicts: consoleData{n}.Verdicts, seen: n.workloadsSeen, snapshot: n.snapshots.get, called: n.nameActions().called},
		Keys:    keyActions{n.live.Load, n.keys},
		Names:   n.nameActions(),
		Explain: n.explainer().Explain,
		WhatIf:  n.whatIf,
		Report:  func(ctx context.Context, project string) (any, error) { return n.report(ctx, project) },
	})
}

// proxyURL is where an SDK on this machine finds the data plane.
func proxyURL(c *config.Config) string {
	scheme, addr := "http://", c.Proxy.Addr
	if c.Proxy.TLS.CertFile != "" {
		scheme = "https://"
	}
	if host, port, err := net.SplitHostPort(addr); err == nil {
		if ip := net.ParseIP(host); host == "" || ip != nil && (ip.IsUnspecified() || ip.IsLoopback()) {
			host = "localhost"
		}
		addr = net.JoinHostPort(host, port)
	}
	return scheme + addr
}

// seen says whether the workload had a request in the last 30 days.
// workloadsSeen are those of which a request is stored of the last 30 days.
func (n *node) workloadsSeen(ctx context.Context, project string) ([]string, error) {
	now := time.Now().UTC()
	days, err := consoleData{n}.Traffic(ctx, project, now.AddDate(0, 0, -30), now)
	var names []string
	for _, t := range days {
		if t.Requests > 0 {
			names = append(names, t.Workload)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// unseen is the error that no request of a workload is stored.
func unseen(workload string, known []string) error {
	e := dashboards.Unknown("", workload, known)
	e.Kind, e.Code = dashboards.Invalid, "workload_unseen"
	e.Message = "No request of a workload " + workload + " is stored of the last 30 days."
	e.Hint = strings.TrimPrefix(e.Hint+" If its requests are still to come, say so: --unseen (unseen: true).", " ")
	return e
}

func (n *node) nameActions() nameActions {
	return nameActions{c: n.live.Load, keeper: n.names, policies: n.keeper, seen: n.workloadsSeen}
}

// explainer takes recorded decisions apart.
func (n *node) explainer() *dashboards.Explainer {
	return &dashboards.Explainer{
		Prices: n.book, Threshold: n.threshold,
		Expected: func(in *classifier.Inputs, candidates []string) (schemas.OptUSD, []schemas.OptUSD) {
			return classifier.Expected(in, n.book, candidates)
		},
		// By the weights in force: of a request assessed by earlier ones it is no more than a hint.
		Contributions: func(in *classifier.Inputs) []dashboards.Contribution {
			var list []dashboards.Contribution
			for _, c := range n.snapshots.get().Model().Contributions(&in.Features, &in.Assessment) {
				feature, value := dashboards.FeatureValue(c.Text)
				list = append(list, dashboards.Contribution{Feature: feature, Value: value, Effect: c.Share})
			}
			return list
		},
	}
}

// consoleData implements dashboards.Data: the store, but for policies. Those are
// taken from the Keeper, which knows what was accepted at once, not after ingest,
// and without a store.
type consoleData struct{ n *node }

func (d consoleData) Traffic(ctx context.Context, project string, from, to time.Time) ([]dashboards.Traffic, error) {
	s, err := d.n.storeNow()
	if err != nil {
		return nil, err
	}
	return s.Traffic(ctx, project, from, to)
}

func (d consoleData) Verdicts(ctx context.Context, project string) ([]schemas.Verdict, error) {
	s, err := d.n.storeNow()
	if err != nil {
		return nil, err
	}
	return s.Verdicts(ctx, project)
}

func (d consoleData) Requests(ctx context.Context, f dashboards.RequestFilter) (dashboards.RequestPage, error) {
	s, err := d.n.storeNow()
	if err != nil {
		return dashboards.RequestPage{}, err
	}
	return s.Requests(ctx, f)
}

func (d consoleData) Request(ctx context.Context, project, id string) (schemas.RequestEvent, error) {
	s, err := d.n.storeNow()
	if err != nil {
		return schemas.RequestEvent{}, err
	}
	return s.Request(ctx, project, id)
}

func (d consoleData) Completeness(ctx context.Context, project string) (dashboards.Completeness, error) {
	s, err := d.n.storeNow()
	if err != nil {
		return dashboards.Completeness{}, err
	}
	return s.Completeness(ctx, project)
}

func (d consoleData) Policies(_ context.Context, project, workload string) ([]schemas.Policy, error) {
	if workload != "" {
		history := d.n.keeper.History(project + "/" + workload)
		slices.Reverse(history)
		return history, nil
	}
	return slices.DeleteFunc(d.n.keeper.Latest(), func(p schemas.Policy) bool { return p.Project != project }), nil
}

// threshold is what an event was decided by: its policy version's, or the
// draft's.
func (n *node) threshold(ev *schemas.RequestEvent) *float64 {
	t := n.live.Load().Proxy.DraftThreshold
	if ev.PolicyVersion > 0 {
		history := n.keeper.History(ev.Project + "/" + ev.Workload)
		if int(ev.PolicyVersion) > len(history) {
			return nil
		}
		t = history[ev.PolicyVersion-1].Threshold
	}
	return &t
}

// Parts implements dashboards.Health.
func (n *node) Parts(context.Context) []dashboards.Part {
	var parts []dashboards.Part
	add := func(name string, state dashboards.PartState, detail string, figures ...dashboards.Figure) {
		parts = append(parts, dashboards.Part{Name: name, State: state, Detail: detail, Figures: figures})
	}
	if n.spool == nil {
		add("proxy", dashboards.PartOff, "not run by this process")
	} else {
		st := n.spool.Stats()
		state, detail := dashboards.PartOK, "records requests on disk before their answers end"
		if st.Broken || st.Stalled {
			state, detail = dashboards.PartDegraded, "the disk does not take records: traffic flows, events are dropped and counted"
		}
		add("spool", state, detail, figure("waiting for the store", st.Unacked, "events"), figure("dropped", st.Dropped, "events"),
			dashboards.Figure{Name: "on disk", Value: fmt.Sprintf("%.1f of %d MB", float64(st.Bytes)/1e6, st.MaxBytes/1e6)})
	}
	kept := func(name string, at activation.Standing, f dashboards.Figure) {
		switch {
		case at.Alarm != "":
			add(name, dashboards.PartDegraded, at.Alarm)
		case !at.Current:
			add(name, dashboards.PartDegraded, "their topic has not been read to its end: the snapshot holds")
		default:
			add(name, dashboards.PartOK, "equal the topic's end", f)
		}
	}
	kept("policies", n.keeper.Standing(), figure("in force", len(n.keeper.Latest()), "workloads"))
	kept("names", n.names.Standing(), figure("known", len(n.names.Latest()), "workloads"))
	kept("keys", n.keys.Standing(), figure("known", len(n.keys.Latest()), "keys"))
	add(evidencePart(n.snapshots.get()))
	where := "embedded at " + n.c.Kafka.Listen
	if len(n.c.Kafka.Brokers) > 0 {
		where = fmt.Sprint("cluster at ", n.c.Kafka.Brokers)
	}
	if err := n.brokerIs.away(); err == nil {
		add("broker", dashboards.PartOK, where)
	} else {
		add("broker", dashboards.PartDown, where+", "+err.Error()+"; events wait in the spool")
	}
	if err := n.storeIs.away(); err == nil {
		add("store", dashboards.PartOK, "answers queries")
	} else if n.roles.store() {
		add("store", dashboards.PartDown, err.Error()+"; events wait in the broker")
	}
	if isClosed(n.storeUp) && n.engine != nil { // set before that
		add("engine", dashboards.PartOK, "ClickHouse "+n.engine.Version()+" in a child process at "+n.engine.Addr(), figure("restarts", n.engine.Restarts(), ""))
	}
	return parts
}

// evidencePart says which evidence holds no more, in words: what a policy would
// act on by it stays where it was sent.
func evidencePart(s *classifier.Snapshot) (name string, state dashboards.PartState, detail string) {
	var acts, waits []string
	for _, e := range s.Stale() {
		about := fmt.Sprintf("%s (%s/%s to %s)", e.Workload, e.Provider, e.RequestModel, e.Candidate)
		if e.Acts {
			acts = append(acts, about+": "+e.Why.Sentence())
		} else {
			waits = append(waits, about)
		}
	}
	switch {
	case len(acts) > 0:
		return "evidence", dashboards.PartDegraded, "nothing is acted on in " + strings.Join(acts, "; in ")
	case len(waits) > 0:
		return "evidence", dashboards.PartOK, "of other scores, or of other workloads than go by the name, and begun anew: " + strings.Join(waits, ", ")
	}
	return "evidence", dashboards.PartOK, "speaks of what is decided: scores by weights " + s.Scorer().ScorerName()
}

func figure[T int | uint64](name string, v T, unit string) dashboards.Figure {
	s := fmt.Sprint(v)
	if unit != "" {
		s += " " + unit
	}
	return dashboards.Figure{Name: name, Value: s}
}
