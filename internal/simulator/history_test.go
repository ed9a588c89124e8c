package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/rehearsal"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// configuration is that of a newcomer with both providers.
func configuration(t testing.TB, days int) HistoryConfig {
	t.Helper()
	book, err := savings.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	s := classifier.NewSnapshot(classifier.Parts{
		Project: "acme", Prices: book, DraftThreshold: DraftThreshold, Ladders: classifier.BuiltinLadders(), Capabilities: classifier.BuiltinCapabilities(),
		Providers: []classifier.Provider{{Name: openAI, Dialects: []string{dialectOpenAI}, Credential: true}, {Name: anthropic, Dialects: []string{dialectAnthropic}, Credential: true}},
	})
	return HistoryConfig{Project: "acme", From: monday, To: monday.AddDate(0, 0, days), Margin: .02, Prices: book, Snapshot: s, Rehearse: true}
}

// kept is a Sink that keeps everything.
type kept struct {
	events []schemas.RequestEvent
	beats  []schemas.Heartbeat
	evals  []schemas.Evaluation
}

func (k *kept) Requests(_ context.Context, evs []schemas.RequestEvent) error {
	k.events = append(k.events, evs...)
	return nil
}
func (k *kept) Heartbeats(_ context.Context, b []schemas.Heartbeat) error {
	k.beats = append(k.beats, b...)
	return nil
}
func (k *kept) Evaluations(_ context.Context, evs []schemas.Evaluation) error {
	k.evals = append(k.evals, evs...)
	return nil
}

func record(t testing.TB, w *World, cfg HistoryConfig) (*kept, Summary) {
	t.Helper()
	k := &kept{}
	sum, err := w.History(context.Background(), cfg, k)
	if err != nil {
		t.Fatal(err)
	}
	return k, sum
}

func TestAHistoryIsAFunctionOfItsSeed(t *testing.T) {
	cfg := configuration(t, 2)
	text := func(seed uint64, processors int) string {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		k, _ := record(t, NewWorld(seed, .02), cfg)
		b, err := json.Marshal([]any{k.events, k.beats, k.evals})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	one := text(5, 1)
	if text(5, 4) != one {
		t.Error("the number of processors changes the history")
	}
	if text(6, 1) == one {
		t.Error("the seed changes nothing")
	}
}

func TestEveryRequestIsAccountedFor(t *testing.T) {
	cfg := configuration(t, 3)
	cfg.To = cfg.To.Add(-10 * time.Hour) // "now" is in the middle of a day
	k, sum := record(t, NewWorld(2, .05), cfg)
	if int64(len(k.events)) != sum.Requests || int64(len(k.evals)) != sum.Evaluations || len(sum.BootIDs) != 3 {
		t.Fatalf("%d events, %d evaluations, %+v", len(k.events), len(k.evals), sum)
	}
	ids, last := map[string]bool{}, map[uint64]uint64{}
	statuses := map[schemas.Status]int{}
	for i := range k.events {
		ev := &k.events[i]
		if ev.Seq != last[ev.BootID]+1 {
			t.Fatalf("boot %d: sequence %d after %d", ev.BootID, ev.Seq, last[ev.BootID])
		}
		last[ev.BootID] = ev.Seq
		id, err := uuid.Parse(ev.RequestID)
		if err != nil || id.Version() != 7 || ids[ev.RequestID] {
			t.Fatalf("request id %q", ev.RequestID)
		}
		if sec, ns := id.Time().UnixTime(); !time.Unix(sec, ns).Equal(ev.Ts) {
			t.Fatalf("id of %v, request of %v", time.Unix(sec, ns).UTC(), ev.Ts)
		}
		ids[ev.RequestID] = true
		statuses[ev.Status]++
		if ev.Ts.Before(cfg.From) || !ev.Ts.Before(cfg.To) || !ev.Simulated || ev.Project != "acme" || ev.Revision != 1 || ev.Version == "" {
			t.Fatalf("%+v", ev)
		}
		if (ev.Status == schemas.StatusOK) != (ev.UsageSource == schemas.UsageProvider) || !ev.BaselineCost.Known || !ev.WouldCost.Known {
			t.Fatalf("usage or cost: %+v", ev)
		}
	}
	beaten := map[uint64]uint64{}
	for _, b := range k.beats {
		if b.Accepted < beaten[b.BootID] || b.Accepted != b.LastSeq || b.At.After(cfg.To) {
			t.Fatalf("heartbeat %+v after %d", b, beaten[b.BootID])
		}
		beaten[b.BootID] = b.Accepted
	}
	for boot, n := range last {
		if beaten[boot] != n {
			t.Errorf("boot %d: %d said to be accepted, %d events", boot, beaten[boot], n)
		}
	}
	for _, s := range []schemas.Status{schemas.StatusOK, schemas.StatusProviderError, schemas.StatusClientAbort} {
		if statuses[s] == 0 {
			t.Errorf("no request is %s: %v", s, statuses)
		}
	}
}

func TestTheDemosHistoryIsLargeEnough(t *testing.T) {
	for seed := range uint64(20) {
		w := NewWorld(seed, 1)
		// Seven days after a Monday begins, whatever day "now" is: two whole weeks.
		if n := w.expected(dayOf(monday), dayOf(monday)+13, monday.AddDate(0, 0, 14)); n < 205_000 {
			t.Errorf("seed %d: %d requests expected in 14 days", seed, n)
		}
	}
}

func TestEveryLadderOfTheCompanyIsBuiltIn(t *testing.T) {
	cfg := configuration(t, 1)
	first := map[string]string{}
	for _, l := range classifier.BuiltinLadders() {
		first[l.Baseline] = l.Candidates[0]
	}
	for _, wl := range company() {
		if got := first[wl.Provider+"/"+wl.Model]; got != wl.Provider+"/"+wl.Candidate {
			t.Errorf("%s: the ladder of %s begins with %q, not %s", wl.Name, wl.Model, got, wl.Candidate)
		}
		for _, m := range []string{wl.Model, wl.Candidate} {
			if _, _, err := cfg.Prices.Cost(wl.Provider, m, "", schemas.Usage{InputTokens: 1}, monday); err != nil {
				t.Errorf("%s: %v", wl.Name, err)
			}
			if models[m].snapshot == "" {
				t.Errorf("%s is not served by the simulated providers", m)
			}
		}
	}
}

func TestTheSampleStandsForTheWhole(t *testing.T) {
	// Inverse probabilities of the drawn requests must add up to those that
	// could be drawn, whatever the pace of the budget.
	cfg := configuration(t, 4)
	w := NewWorld(3, .15)
	for n := range w.Workloads {
		w.Workloads[n].rehearse /= 4 // the budget must bite
	}
	k, sum := record(t, w, cfg)
	offered, weights, variance := map[string]float64{}, map[string]float64{}, map[string]float64{}
	for i := range k.events {
		if rehearsal.Eligible(&k.events[i]) {
			offered[k.events[i].Workload]++
		}
	}
	paced, seen := false, map[string]bool{}
	for _, e := range k.evals {
		if e.Candidate != e.WouldRoute || seen[e.EvaluationID] {
			continue // a check, or a pair that waited for its grade
		}
		seen[e.EvaluationID] = true
		p := *e.SamplingProbability
		if p < rehearsal.Floor || p > 1 {
			t.Fatalf("%s: probability %v", e.Workload, p)
		}
		paced = paced || p < .09
		weights[e.Workload] += 1 / p
		variance[e.Workload] += (1 - p) / p / p
	}
	for name, n := range offered {
		if z := (weights[name] - n) / math.Sqrt(variance[name]); math.Abs(z) > 4.5 {
			t.Errorf("%s: %.0f weighed, %.0f offered (z %.1f)", name, weights[name], n, z)
		}
	}
	if !paced {
		t.Error("the budget did not bite: this check proves less than it says")
	}
	for name, c := range sum.Rehearsal {
		// The first day's rhythm is not known, and a tiny budget is coarse.
		if c.OverBudget > c.Seen/5 {
			t.Errorf("%s: %d of %d met an empty budget", name, c.OverBudget, c.Seen)
		}
	}
}

// broken is a Sink that fails on its second day.
type broken struct {
	kept
	days int
}

var errBroken = errors.New("no broker")

func (b *broken) Requests(ctx context.Context, evs []schemas.RequestEvent) error {
	if b.days++; b.days > 1 {
		return errBroken
	}
	return b.kept.Requests(ctx, evs)
}

func TestAHistoryEndsWithItsSinkOrItsContext(t *testing.T) {
	cfg := configuration(t, 5)
	if _, err := NewWorld(1, .01).History(context.Background(), cfg, &broken{}); !errors.Is(err, errBroken) {
		t.Errorf("a failing sink: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var last int64
	cfg.Progress = func(done, total int64) {
		if done < last || done > total {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
		cancel()
	}
	if _, err := NewWorld(1, .01).History(ctx, cfg, &kept{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	cfg.To = cfg.From
	if _, err := NewWorld(1, .01).History(context.Background(), cfg, &kept{}); err == nil {
		t.Error("a history without time is made")
	}
}

func TestTopicsCarryWhatWasMade(t *testing.T) {
	cfg := configuration(t, 1)
	got := map[string][]Record{}
	sum, err := NewWorld(1, .02).History(context.Background(), cfg, Topics(func(_ context.Context, topic string, rs []Record) error {
		got[topic] = append(got[topic], rs...)
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if len(got[schemas.TopicRequests]) != int(sum.Requests) || len(got[schemas.TopicEvaluations]) != int(sum.Evaluations) || len(got[schemas.TopicHeartbeats]) < 24*6 {
		t.Errorf("%d requests, %d evaluations, %d heartbeats; %+v", len(got[schemas.TopicRequests]), len(got[schemas.TopicEvaluations]), len(got[schemas.TopicHeartbeats]), sum)
	}
	for _, r := range got[schemas.TopicRequests] {
		var ev schemas.RequestEvent
		if err := json.Unmarshal(r.Value, &ev); err != nil || ev.RequestID != string(r.Key) || r.ID != ev.RequestID {
			t.Fatalf("%v: %s", err, r.Value)
		}
	}
}

func TestPlansNameEveryWorkloadAsEventsDo(t *testing.T) {
	w := NewWorld(1, .02)
	k, _ := record(t, w, configuration(t, 1))
	plans := w.Plans()
	for i := range k.events {
		if p, ok := plans[k.events[i].Workload]; !ok || p.Daily <= 0 {
			t.Fatalf("%q has no plan: %v", k.events[i].Workload, plans)
		}
	}
	if len(plans) != len(w.Workloads) {
		t.Errorf("%d plans of %d workloads", len(plans), len(w.Workloads))
	}
}

func BenchmarkHistory(b *testing.B) {
	cfg := configuration(b, 14)
	for b.Loop() {
		sum, err := NewWorld(1, 1).History(context.Background(), cfg, Topics(func(context.Context, string, []Record) error { return nil }))
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(sum.Requests), "requests")
		b.ReportMetric(float64(sum.Evaluations), "evaluations")
	}
}
