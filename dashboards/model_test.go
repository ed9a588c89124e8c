package dashboards

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func verdict(workload, model, candidate string, r schemas.Readiness, saving float64) schemas.Verdict {
	v := schemas.Verdict{Workload: workload, RequestModel: model, Candidate: candidate, Readiness: r, Warnings: []schemas.Warning{}, DaysPlanned: 14, DaysObserved: 14}
	lo, hi := usd(saving*.8), usd(saving*1.2)
	v.Savings.SavingMonth, v.Savings.SavingMonthLo, v.Savings.SavingMonthHi = usd(saving), &lo, &hi
	v.Quality.Pairs = 100
	return v
}

func TestSavingsOfOneModelCountOnceAndOfSeveralAddUp(t *testing.T) {
	s := &server{Config: Config{Now: func() time.Time { return fixedNow }}}
	open := verdict("c", "m", "p/x", schemas.Collecting, 7)
	open.Savings.SavingMonthLo, open.Savings.SavingMonthHi = nil, nil
	ws := gather(nil, []schemas.Verdict{
		verdict("a", "big", "p/small", schemas.Ready, 100), verdict("a", "big", "p/smaller", schemas.Ready, 60), // two candidates for one model
		verdict("a", "other", "p/small", schemas.Ready, 10), // another model of the same workload
		verdict("b", "big", "p/small", schemas.Worse, 999),
		open, verdict("d", "m", "p/x", schemas.Collecting, 5),
		verdict("e", "m", "p/x", schemas.Ready, 1000),
	}, []schemas.Policy{{Workload: "e", Mode: schemas.ModeLive, Candidate: "p/x"}})
	got := s.totals(ws)
	if got.Ready.Workloads != 1 || got.Ready.Models != 2 || got.Ready.Saving != usd(110) || *got.Ready.Lo != usd(88) || *got.Ready.Hi != usd(132) {
		t.Errorf("ready: %+v", got.Ready)
	}
	if got.Collecting.Workloads != 2 || got.Collecting.Saving != usd(12) || got.Collecting.Lo != nil || got.Collecting.Hi != nil {
		t.Errorf("a sum with one interval missing must have none: %+v", got.Collecting)
	}
	if got.Active.Workloads != 1 || got.Active.Saving != usd(1000) {
		t.Errorf("active: %+v", got.Active)
	}
}

func TestSpendAMonthNeedsADay(t *testing.T) {
	s := &server{Config: Config{Now: func() time.Time { return fixedNow }}}
	today := fixedNow.Truncate(24 * time.Hour)
	if got := s.totals(gather([]Traffic{{Workload: "a", Day: today, Requests: 1, Cost: usd(1)}}, nil, nil)); got.SpendMonth != nil || got.Days != 1 {
		t.Errorf("%+v", got)
	}
	// 15 h 4 min 5 s of today and one whole day cost 2: 30 days cost about 36.9.
	got := s.totals(gather([]Traffic{{Workload: "a", Day: today, Cost: usd(1)}, {Workload: "a", Day: today.AddDate(0, 0, -1), Cost: usd(1)}}, nil, nil))
	if got.SpendMonth == nil || got.SpendMonth.USD() < 36.8 || got.SpendMonth.USD() > 36.9 {
		t.Errorf("%v", got.SpendMonth)
	}
}

func TestLifeOpensThePresentStep(t *testing.T) {
	collecting := verdict("w", "m", "p/x", schemas.Collecting, 1)
	few := collecting
	few.DaysObserved = 3
	none := collecting
	none.Quality.Pairs = 0
	for _, c := range []struct {
		name    string
		v       *schemas.Verdict
		mode    schemas.Mode
		present string
	}{
		{"without a verdict it is observed", nil, schemas.ModeObserve, "observed"},
		{"before the period's end it is observed", &few, schemas.ModeObserve, "observed"},
		{"observed enough, without pairs, it waits for rehearsal", &none, schemas.ModeObserve, "rehearsed"},
		{"with pairs it is being proven", &collecting, schemas.ModeObserve, "proven"},
		{"ready, it waits for a person to activate it", ptr(verdict("w", "m", "p/x", schemas.Ready, 1)), schemas.ModeObserve, "activated"},
		{"worse, it ends at proven", ptr(verdict("w", "m", "p/x", schemas.Worse, 1)), schemas.ModeObserve, "proven"},
		{"in canary it is being activated", &collecting, schemas.ModeCanary, "activated"},
		{"live, it is being verified", &collecting, schemas.ModeLive, "verified"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &workload{Workload: "w", Mode: c.mode}
			if c.v != nil {
				w.Verdicts = []schemas.Verdict{*c.v}
			}
			if c.mode != schemas.ModeObserve {
				w.Policy = &schemas.Policy{Mode: c.mode, Candidate: "p/x", Share: 500}
			}
			var present []string
			for _, s := range life(w) {
				if s.Present {
					present = append(present, s.ID)
				}
				if s.Line == "" {
					t.Errorf("%s says nothing", s.ID)
				}
			}
			if len(present) != 1 || present[0] != c.present {
				t.Errorf("present is %v, want %s", present, c.present)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

func TestPlanMultipliesShareControlAndRoutedShare(t *testing.T) {
	v := verdict("w", "m", "p/x", schemas.Ready, 1000)
	v.Savings.Days, v.Savings.Requests, v.Savings.RoutedRequests, v.Savings.RoutedShare = 10, 100_000, 50_000, .5
	w := &workload{Workload: "w", Verdicts: []schemas.Verdict{v}}
	a := planOf(w, &v, activationForm{Share: "20"})
	if !a.Supported || a.PerDay != 10_000 || a.MovedPerDay != 950 || a.MovedShare < .0949 || a.MovedShare > .0951 || a.Saving != usd(190) || *a.Lo != usd(152) {
		t.Errorf("%+v", a)
	}
	if a := planOf(w, &v, activationForm{Share: "20", Candidate: "p/unknown"}); a.Supported || a.Verdict != nil || a.Why == "" {
		t.Errorf("a candidate without a verdict is not supported: %+v", a)
	}
	for _, share := range []string{"-5", "NaN", "1e9", ""} {
		if a := planOf(w, &v, activationForm{Share: share}); a.Saving != 0 {
			t.Errorf("share %q saves %v", share, a.Saving)
		}
	}
}

func TestWhatNeedsAPersonComesMostUrgentFirst(t *testing.T) {
	h, f := newServer(t, nil)
	f.lives[1].Dropped = 7
	body := get(t, h, "/").Body.String()
	order := []string{"7 events were dropped", "code/review is routed to", "support/summary is ready"}
	last := -1
	for _, o := range order {
		i := strings.Index(body, o)
		if i <= last {
			t.Errorf("%q stands at %d, after %d", o, i, last)
		}
		last = i
	}
}

// counting counts what a page asks of the store.
type counting struct {
	*fake
	traffic, verdicts, policies, completeness atomic.Int32
}

func (c *counting) Traffic(ctx context.Context, p string, from, to time.Time) ([]Traffic, error) {
	c.traffic.Add(1)
	return c.fake.Traffic(ctx, p, from, to)
}

func (c *counting) Verdicts(ctx context.Context, p string) ([]schemas.Verdict, error) {
	c.verdicts.Add(1)
	return c.fake.Verdicts(ctx, p)
}

func (c *counting) Policies(ctx context.Context, p, w string) ([]schemas.Policy, error) {
	c.policies.Add(1)
	return c.fake.Policies(ctx, p, w)
}

func (c *counting) Completeness(ctx context.Context, p string) (Completeness, error) {
	c.completeness.Add(1)
	return c.fake.Completeness(ctx, p)
}

func TestAPageAsksTheStoreForEachThingOnce(t *testing.T) {
	var c *counting
	h, _ := newServer(t, func(cfg *Config, f *fake) { c = &counting{fake: f}; cfg.Data = c })
	for _, p := range []string{"/", "/workloads", "/workloads/support/summary", "/health"} {
		c.traffic.Store(0)
		c.verdicts.Store(0)
		c.policies.Store(0)
		c.completeness.Store(0)
		get(t, h, p)
		if c.traffic.Load() > 1 || c.verdicts.Load() > 1 || c.policies.Load() > 2 || c.completeness.Load() != 1 {
			t.Errorf("%s asks traffic %d, verdicts %d, policies %d, completeness %d times", p, c.traffic.Load(), c.verdicts.Load(), c.policies.Load(), c.completeness.Load())
		}
	}
}

type panicking struct{ *fake }

func (panicking) Verdicts(context.Context, string) ([]schemas.Verdict, error) { panic("boom") }

func TestAPanicInAReadIsAPageThatSaysSo(t *testing.T) {
	h, _ := newServer(t, func(cfg *Config, f *fake) { cfg.Data = panicking{f} })
	if w := get(t, h, "/"); w.Code != 503 || !strings.Contains(w.Body.String(), "panic while reading: boom") {
		t.Errorf("%d", w.Code)
	}
}

func TestEmptyPagesSayWhatWouldBeThereAndWhatBringsIt(t *testing.T) {
	h, _ := newServer(t, func(_ *Config, f *fake) { f.empty = true })
	for path, want := range map[string][]string{
		"/": {"No request has come through yet", "base_url", "make demo"}, "/workloads": {"x-gnomon-feature"}, "/requests": {"No request yet", "make demo"},
		"/requests?status=ok": {"No request fits this filter"}, "/health": {"gnomon status"}, "/search?q=x": {"No workload"},
	} {
		w := get(t, h, path)
		for _, s := range want {
			if w.Code != 200 || !strings.Contains(w.Body.String(), s) {
				t.Errorf("%s (%d) does not say %q", path, w.Code, s)
			}
		}
	}
}

func TestAConsoleWithoutActionsOffersNone(t *testing.T) {
	h, _ := newServer(t, func(cfg *Config, _ *fake) { cfg.Actions = nil })
	body := get(t, h, "/workloads/classify/tickets").Body.String()
	if strings.Contains(body, "<form method=\"post\"") || strings.Contains(body, `class="activate"`) || !strings.Contains(body, "gnomon activate classify/tickets") {
		t.Error("a form that cannot work is offered, or the command is not")
	}
	if status, b := call(t, h, "POST", "/api/v1/workloads/x/rollback", `{"reason":"r"}`); status != 503 || !strings.Contains(b, "read_only") {
		t.Errorf("%d %s", status, b)
	}
}
