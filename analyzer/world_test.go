package analyzer_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// now is a Tuesday, shortly after midnight UTC.
var now = time.Date(2025, 11, 25, 0, 20, 0, 0, time.UTC)

// log is a Log of what a test wants there to be.
type log struct {
	cells   []analyzer.Cell
	evals   []schemas.Evaluation
	rejects []analyzer.RejectCount
	inputs  map[string][]byte
	members map[string][]analyzer.Member
	period  analyzer.Period
	err     error
}

func (l *log) Cells(_ context.Context, _ string, from, to time.Time) (out []analyzer.Cell, err error) {
	for _, c := range l.cells {
		if !c.Day.Before(from) && c.Day.Before(to) {
			out = append(out, c)
		}
	}
	return out, l.err
}

func (l *log) Evaluations(_ context.Context, _ string, from, to time.Time) (out []schemas.Evaluation, err error) {
	for _, e := range l.evals {
		if !e.RequestTs.Before(from) && e.RequestTs.Before(to) && e.GradedAt.Before(to) {
			out = append(out, e)
		}
	}
	return out, l.err
}

func (l *log) Members(context.Context, string) (map[string][]analyzer.Member, error) {
	return l.members, l.err
}

func (l *log) InputsOfGraded(context.Context, string, time.Time, time.Time) (map[string][]byte, error) {
	return l.inputs, l.err
}

func (l *log) Rejects(context.Context, string, time.Time, time.Time) ([]analyzer.RejectCount, error) {
	return l.rejects, l.err
}

func (l *log) Period(context.Context, string) (analyzer.Period, error) { return l.period, l.err }

// workload describes traffic and rehearsal of one workload with one candidate.
type workload struct {
	name       string
	days       int     // complete ones before now
	daily      float64 // USD a day at the baseline
	routed     float64 // share of requests and of cost
	price      float64 // the candidate's per baseline's
	pairs      int     // rehearsed a day
	worse      float64 // share of pairs in which the candidate is worse
	better     float64
	daySD      float64 // of the mean difference, from day to day
	ungraded   bool
	checks     int // of the baseline against itself, a day
	ratio      float64
	unpriced   uint64
	cost       float64 // USD of a rehearsal
	noProb     bool
	failures   float64 // share of pairs that fail
	length     int     // pairs of a session
	eachProb   func(i int) float64
	candidate2 string // snapshot from half of the days on
}

const (
	base      = "gpt-4o"
	candidate = "openai/gpt-4o-mini"
)

func today() time.Time { return now.Truncate(24 * time.Hour) }

// build makes a log of workloads, from a seed.
func build(seed uint64, ws ...workload) *log {
	l := &log{}
	most := 0
	for i, w := range ws {
		l.add(rand.New(rand.NewPCG(seed, uint64(i))), w)
		most = max(most, w.days)
	}
	first := today().AddDate(0, 0, -most)
	l.period = analyzer.Period{First: first.Add(5 * time.Minute), Last: now, Simulated: true}
	for d := range most {
		l.period.Days = append(l.period.Days, analyzer.DayCoverage{Day: first.AddDate(0, 0, d), Hours: 24})
	}
	for _, c := range l.cells {
		l.period.Accepted += c.Requests
	}
	l.period.Stored = l.period.Accepted
	return l
}

func (l *log) add(r *rand.Rand, w workload) {
	if w.ratio == 0 {
		w.ratio = 1
	}
	const requests = 1000
	for d := w.days; d > 0; d-- {
		date := today().AddDate(0, 0, -d)
		usd := w.daily * math.Exp(.08*r.NormFloat64())
		usdOf := func(f float64) schemas.NanoUSD { return schemas.NanoUSD(f * 1e9) }
		n := uint64(requests * w.routed)
		kept := analyzer.Cell{Workload: w.name, Provider: "openai", RequestModel: base, WouldRoute: "openai/" + base, Day: date,
			Requests: requests - n + w.unpriced, Unpriced: w.unpriced, Baseline: usdOf(usd * (1 - w.routed)), Would: usdOf(usd * (1 - w.routed)), Cost: usdOf(usd * (1 - w.routed))}
		gone := kept
		gone.WouldRoute, gone.Requests, gone.Unpriced = candidate, n, 0
		heavy := 1 + .05*r.NormFloat64() // routed requests are not the same every day
		gone.Baseline, gone.Would, gone.Cost = usdOf(usd*w.routed*heavy), usdOf(usd*w.routed*w.price*heavy), usdOf(usd*w.routed*heavy)
		gone.WouldOutput = gone.Would / 2
		l.cells = append(l.cells, kept)
		if n > 0 {
			l.cells = append(l.cells, gone)
		}
		l.rehearse(r, w, date, d)
	}
}

func (l *log) rehearse(r *rand.Rand, w workload, date time.Time, left int) {
	weather := w.daySD * r.NormFloat64()
	length := max(1, w.length)
	for i := range w.pairs + w.checks {
		at := date.Add(time.Duration(float64(24*time.Hour-time.Minute) * float64(i) / float64(w.pairs+w.checks)))
		p := .1
		if w.eachProb != nil {
			p = w.eachProb(i)
		}
		e := schemas.Evaluation{
			Version: schemas.SchemaVersion, Project: "acme", Workload: w.name, Recorded: w.name, Scorer: classifier.Builtin().Scorer(), Provider: "openai", RequestModel: base, Candidate: candidate, WouldRoute: candidate,
			RequestTs: at, GradedAt: at.Add(30 * time.Second), RequestID: fmt.Sprintf("%s-%d-%d", w.name, left, i), EvaluationID: fmt.Sprintf("e-%s-%d-%d", w.name, left, i),
			Cluster: fmt.Sprintf("s%d-%d", left, i/length), Grader: "exact_match", GraderVersion: "1", BaselineSnapshot: "gpt-4o-2024-11-20", CandidateSnapshot: "gpt-4o-mini-2024-07-18", PromptVersion: 9,
			SamplingProbability: &p, QualityBaseline: 1, QualityCandidate: 1, Outcome: schemas.OutcomeGraded, CandidateCost: schemas.KnownUSD(schemas.NanoUSD(w.cost * 1e9)),
			BaselineOutputTokens: 100, OutputTokens: uint32(100 * w.ratio * (1 + .1*r.NormFloat64())),
		}
		if w.candidate2 != "" && left <= w.days/2 {
			e.CandidateSnapshot = w.candidate2
		}
		switch u := r.Float64(); {
		case u < w.worse+weather:
			e.QualityCandidate = 0
		case u > 1-w.better:
			e.QualityBaseline, e.QualityCandidate = 0, 1
		}
		if i >= w.pairs {
			e.Candidate, e.CandidateSnapshot = "openai/"+base, e.BaselineSnapshot
		} else if w.ungraded {
			e.Outcome, e.Grader, e.GraderVersion = schemas.OutcomeUngraded, "", ""
		}
		if r.Float64() < w.failures && i < w.pairs {
			e.Outcome, e.QualityCandidate, e.CandidateSnapshot, e.OutputTokens = schemas.OutcomeFailed, 0, "", 0
		}
		if w.noProb {
			e.SamplingProbability = nil
		}
		l.evals = append(l.evals, e)
	}
}

// fine is a workload whose candidate is as good and saves much.
func fine(name string) workload {
	return workload{name: name, days: 14, daily: 100, routed: .7, price: .1, pairs: 250, worse: .02, better: .02, cost: .001, ratio: 1.1}
}

func settings() analyzer.Settings { return analyzer.DefaultSettings() }

func analyze(t *testing.T, l *log, s analyzer.Settings) []schemas.Verdict {
	t.Helper()
	vs, err := analyzer.Analyze(context.Background(), l, "acme", s, now)
	if err != nil {
		t.Fatal(err)
	}
	return vs
}
