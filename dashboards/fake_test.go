package dashboards

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

// fake is a project as a demo leaves it: fourteen days, eight workloads of
// every verdict, one of them hostile. It keeps policies as the policy log does.
type fake struct {
	mu       sync.Mutex
	now      time.Time
	shapes   []shape
	traffic  []Traffic
	verdicts []schemas.Verdict
	policies map[string][]schemas.Policy // oldest first
	requests []schemas.RequestEvent      // newest first
	lives    []ProxyLife
	posted   []schemas.Evaluation
	err      error // what every read returns, when set
	empty    bool
	whole    bool // lists hold every field, whatever is asked
}

type shape struct {
	name, provider, model, candidate string
	perDay                           int
	usd, cheaper, routed             float64
	readiness                        schemas.Readiness
	pairs                            int
	lower, upper                     float64
	reason                           string
}

// hostile is text from outside that must never become markup.
const hostile = `</script><img src=x onerror="alert(1)">'"` + "`${7*7}{{7*7}}"

func newFake(now time.Time) *fake {
	f := &fake{now: now.UTC(), policies: map[string][]schemas.Policy{}}
	f.shapes = []shape{
		{"support/summary", "openai", "gpt-4o", "openai/gpt-4o-mini", 4200, 240, .82, .71, schemas.Ready, 1912, -.017, .006, "Quality is at most 1.7 pp worse, within the margin of 2 pp, and the saving is worth it."},
		{"docs/rag", "openai", "gpt-4o", "openai/gpt-4o-mini", 2600, 131, .55, .44, schemas.Collecting, 118, -.079, .041, "About 1,400 more pairs are needed, $18, 9 days."},
		{"code/review", "anthropic", "claude-opus-4-5", "anthropic/claude-haiku-4-5", 900, 156, .70, .38, schemas.Worse, 240, -.113, -.026, "Quality is at least 2.6 pp worse: beyond the margin of 2 pp."},
		{"chat/smalltalk", "openai", "gpt-4o-mini", "openai/gpt-4o-nano", 3100, .7, .6, .90, schemas.NotWorthwhile, 1640, -.019, .012, "The saving is below $50 a month."},
		{"extract/invoices", "openai", "gpt-4o", "openai/gpt-4o-mini", 1800, 62, .88, .95, schemas.Ready, 2210, -.011, .004, "Quality is at most 1.1 pp worse."},
		{"~triage-agent", "anthropic", "claude-sonnet-4-5", "anthropic/claude-haiku-4-5", 640, 88, .64, .21, schemas.Collecting, 0, -1, 1, "No grader fits the answers of this workload."},
		{"classify/tickets", "openai", "gpt-4o", "openai/gpt-4o-mini", 2300, 18, .9, .97, schemas.Ready, 1480, -.018, .009, "Quality is at most 1.8 pp worse."},
		{"batch/" + hostile, "openai", hostile, "openai/" + hostile, 20, .5, .3, .5, schemas.Collecting, 3, -.9, .5, hostile},
	}
	day0 := f.now.Truncate(24*time.Hour).AddDate(0, 0, -13)
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, s := range f.shapes {
		f.addShape(s, day0, rnd)
	}
	f.policies["classify/tickets"] = []schemas.Policy{{Project: "acme", Workload: "classify/tickets", Version: 1, Mode: schemas.ModeCanary, Candidate: "openai/gpt-4o-mini",
		RequestModel: "gpt-4o", Share: 2500, Control: 500, Threshold: .42, Salt: []byte("never to be seen"), Actor: "maria", Reason: "ready since Tuesday", At: f.now.Add(-26 * time.Hour)}}
	f.policies["code/review"] = []schemas.Policy{{Project: "acme", Workload: "code/review", Version: 1, Mode: schemas.ModeCanary, Candidate: "anthropic/claude-haiku-4-5",
		Share: 100, Control: 500, Threshold: 1, Override: true, OverrideReason: "worse: at least 2.6 pp", Actor: "jo", Reason: "we want to see it for ourselves " + hostile, At: f.now.Add(-5 * time.Hour)}}
	var total uint64
	for _, t := range f.traffic {
		total += t.Requests
	}
	f.lives = []ProxyLife{{BootID: 0xfeedfacecafebeef, Proxy: "edge-1 /var/lib/gnomon", First: day0, Last: f.now.Add(-time.Second), Accepted: total - 4000, Stored: total - 4003, InFlight: 3},
		{BootID: 0x1234, Proxy: "edge-2 /var/lib/gnomon", First: day0, Last: f.now.Add(-80 * time.Hour), Accepted: 4000, Stored: 3988, Declared: 12}}
	return f
}

func (f *fake) addShape(s shape, day0 time.Time, rnd *rand.Rand) {
	v := schemas.Verdict{Version: schemas.SchemaVersion, Project: "acme", Workload: s.name, RequestModel: s.model, Provider: s.provider, Candidate: s.candidate, ComputedAt: f.now.Add(-9 * time.Minute),
		From: day0, To: f.now.Truncate(24*time.Hour).AddDate(0, 0, 1), Readiness: s.readiness, Reasons: []string{s.reason}, Warnings: []schemas.Warning{}, Threshold: .42, DaysObserved: 14, DaysPlanned: 14, Coverage: .998, Simulated: true}
	if s.readiness == schemas.Collecting {
		v.DaysObserved = 9
		v.Warnings = append(v.Warnings, schemas.Warning{Code: "thin_days", Text: "Nine days are few for a weekly rhythm."})
	}
	var base, would float64
	for d := range 14 {
		day := day0.AddDate(0, 0, d)
		w := 1 + .12*(rnd.Float64()-.5)
		if wd := day.Weekday(); wd == time.Saturday || wd == time.Sunday {
			w *= .45
		}
		n, b := float64(s.perDay)*w, s.usd*w
		wo := b * (1 - s.cheaper*s.routed*(1+.1*(rnd.Float64()-.5)))
		f.traffic = append(f.traffic, Traffic{Workload: s.name, Day: day, Requests: uint64(n), Failed: uint64(n * .004), Estimated: uint64(n * .002), Unpriced: uint64(n * map[bool]float64{true: .03}[s.name == "docs/rag"]),
			WouldRoute: uint64(n * s.routed), Cost: usd(b), Baseline: usd(b), Would: usd(wo)})
		base, would = base+b, would+wo
		date := day.Format(time.DateOnly)
		v.Savings.DailyDates = append(v.Savings.DailyDates, date)
		v.Savings.DailyBaseline, v.Savings.DailyWould = append(v.Savings.DailyBaseline, b), append(v.Savings.DailyWould, wo)
		v.Savings.Requests += uint64(n)
		if s.pairs > 0 {
			k := math.Sqrt(float64(d+1) / 14)
			mean := (s.lower + s.upper) / 2
			v.Quality.DailyDates = append(v.Quality.DailyDates, date)
			v.Quality.DailyMean = append(v.Quality.DailyMean, mean+.01*(rnd.Float64()-.5)/k)
			v.Quality.DailyLower = append(v.Quality.DailyLower, math.Max(-1, mean-(mean-s.lower)/k/k))
		}
	}
	sv := &v.Savings
	sv.Days, sv.BaselineMonth, sv.WouldMonth = 14, usd(base/14*30), usd(would/14*30)
	sv.SavingMonth = sv.BaselineMonth - sv.WouldMonth
	lo, hi := sv.SavingMonth*84/100, sv.SavingMonth*116/100
	sv.SavingMonthLo, sv.SavingMonthHi = &lo, &hi
	p := 1 - would/base
	sv.Share = &schemas.Interval{Point: p, Lo: p * .84, Hi: p * 1.16, Level: .95}
	sv.ShareNext = &schemas.Interval{Point: p, Lo: p * .75, Hi: p * 1.25, Level: .95}
	sv.RoutedShare, sv.RoutedRequests = s.routed, uint64(float64(sv.Requests)*s.routed)
	left := sv.Requests - sv.RoutedRequests
	sv.RejectRequests = []schemas.Count{{Name: "score", N: left * 7 / 10}, {Name: "tools", N: left / 5}, {Name: "context", N: left / 10}}
	sv.Method = "Ratio of daily sums, jackknife over days, t with 13 degrees of freedom; widened for the next 30 days."
	sv.EvidenceSummary = fmt.Sprintf("%d pairs, 14 of 14 days.", s.pairs)
	sv.RehearsalSpend = usd(float64(s.pairs) * .0093)
	q := &v.Quality
	q.Adequacy = &schemas.Calibration{Pairs: 1912, Level: 62_000, Lower: 61_000, Upper: 63_000}
	q.Forecast = &schemas.Forecast{Pairs: 1800, Sessions: 900, Said: .93, Came: .9}
	q.Pairs, q.Clusters, q.Mean, q.Lower, q.Upper, q.Margin, q.Alpha = s.pairs, s.pairs*9/10, (s.lower+s.upper)/2, s.lower, s.upper, .02, .05
	q.DayGate, q.Grader = "passed", "exact_match"
	if s.readiness == schemas.Collecting {
		q.PairsNeeded, q.DaysNeeded, q.USDNeeded, q.Ungraded = 1400, 9, usd(18), 40
	}
	f.verdicts = append(f.verdicts, v)
	for i := range 12 {
		f.requests = append(f.requests, f.event(s, i, rnd))
	}
}

func usd(v float64) schemas.NanoUSD { return schemas.NanoUSD(v * 1e9) }

func (f *fake) event(s shape, i int, rnd *rand.Rand) schemas.RequestEvent {
	n := len(f.requests)
	ttft := uint32(300 + n)
	baseline := s.provider + "/" + s.model
	ev := schemas.RequestEvent{Version: schemas.SchemaVersion, Project: "acme", Ts: f.now.Add(-time.Duration(n) * 41 * time.Second).Truncate(time.Millisecond),
		RequestID: uuid.NewSHA1(uuid.Nil, []byte(strconv.Itoa(n))).String(), Revision: 1, BootID: 0xfeedfacecafebeef, Seq: uint64(n + 1), Status: schemas.StatusOK, Workload: s.name,
		Team: "platform", UserID: "u-" + strconv.Itoa(i%5), Session: "s-" + strconv.Itoa(i), Tags: map[string]string{"env": "prod", "note": hostile},
		Dialect: "openai.chat", Operation: "chat", Provider: s.provider, RequestModel: s.model, ServedModel: s.model, ResponseModel: s.model + "-2026-08-06", Mode: schemas.ModeObserve, Arm: schemas.ArmNone,
		Stream: i%2 == 0, HTTPStatus: 200, FinishReason: "stop", Usage: schemas.Usage{InputTokens: uint32(1200 + rnd.IntN(4000)), OutputTokens: uint32(100 + rnd.IntN(700)), CacheReadTokens: 600},
		UsageSource: schemas.UsageProvider, Cost: schemas.KnownUSD(usd(.0123)), BaselineCost: schemas.KnownUSD(usd(.0123)), ListCost: schemas.KnownUSD(usd(.0123)),
		WouldRoute: s.candidate, WouldCost: schemas.KnownUSD(usd(.00074)), ExpectedCost: schemas.KnownUSD(usd(.00069)), TaskClass: "summary", Score: .27, Novelty: .04, PAdequate: new(float32), Held: schemas.HeldNovel,
		EvidenceState: schemas.EvidenceReady, Candidates: []string{"openai/gpt-4o-nano", s.candidate}, Rejects: []schemas.Reject{schemas.RejectContextWindow, 0}, ClassifierVer: 1, PolicyVersion: 0,
		SnapshotHash: 0xabcdef, RequestBytes: 8123, ResponseBytes: 2210, LatencyMS: uint32(600 + rnd.IntN(2000)), TTFTMS: &ttft, OverheadUS: uint32(180 + rnd.IntN(200)), Gates: schemas.GateTools | schemas.GateJSONMode, Simulated: true}
	switch i {
	case 3:
		ev.WouldRoute, ev.WouldCost, ev.Rejects = baseline, ev.BaselineCost, []schemas.Reject{schemas.RejectContextWindow, schemas.RejectScore}
	case 5:
		ev.Status, ev.HTTPStatus, ev.ErrorType, ev.UsageSource = schemas.StatusProviderError, 429, "rate_limit_error "+hostile, schemas.UsageNone
		ev.Cost, ev.WouldCost, ev.BaselineCost = schemas.OptUSD{}, schemas.OptUSD{}, schemas.OptUSD{}
	}
	return ev
}

func (f *fake) Traffic(_ context.Context, project string, from, to time.Time) ([]Traffic, error) {
	if f.err != nil || f.empty || project != "acme" {
		return nil, f.err
	}
	var out []Traffic
	for _, t := range f.traffic {
		if !t.Day.Before(from) && t.Day.Before(to) {
			out = append(out, t)
		}
	}
	return out, nil
}

func (f *fake) Verdicts(_ context.Context, project string) ([]schemas.Verdict, error) {
	if f.err != nil || f.empty || project != "acme" {
		return nil, f.err
	}
	return f.verdicts, nil
}

func (f *fake) Policies(_ context.Context, project, workload string) ([]schemas.Policy, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil || f.empty || project != "acme" {
		return nil, f.err
	}
	var out []schemas.Policy
	for name, ps := range f.policies {
		if workload == "" {
			out = append(out, ps[len(ps)-1])
		} else if name == workload {
			for i := len(ps) - 1; i >= 0; i-- {
				out = append(out, ps[i])
			}
		}
	}
	return out, nil
}

func (f *fake) Requests(_ context.Context, q RequestFilter) (RequestPage, error) {
	if f.err != nil || f.empty || q.Project != "acme" {
		return RequestPage{}, f.err
	}
	skip, _ := strconv.Atoi(q.Cursor)
	var hits []schemas.RequestEvent
	for _, ev := range f.requests {
		moved := ev.WouldRoute != ev.Provider+"/"+ev.RequestModel
		if (q.Workload == "" || ev.Workload == q.Workload) && (q.Status == "" || ev.Status == q.Status) && (q.RequestModel == "" || ev.RequestModel == q.RequestModel) &&
			(q.User == "" || ev.UserID == q.User) && (q.Route == "" || (q.Route == "would") == moved) {
			hits = append(hits, ev)
		}
	}
	p := RequestPage{}
	if skip < len(hits) {
		hits = hits[skip:]
		if len(hits) > q.Limit {
			hits, p.Next = hits[:q.Limit], strconv.Itoa(skip+q.Limit)
		}
		p.Requests = slices.Clone(hits)
	}
	for i := range p.Requests {
		if q.Listed && !f.whole {
			p.Requests[i] = Listed(p.Requests[i])
		}
	}
	return p, nil
}

func (f *fake) Request(_ context.Context, project, id string) (schemas.RequestEvent, error) {
	for _, ev := range f.requests {
		if ev.RequestID == id && project == "acme" && f.err == nil {
			return ev, nil
		}
	}
	if f.err != nil {
		return schemas.RequestEvent{}, f.err
	}
	return schemas.RequestEvent{}, &Error{Kind: NotFound, Code: "unknown_request", Message: "There is no request " + id + ".", Hint: "Requests are kept for 400 days."}
}

func (f *fake) Completeness(_ context.Context, project string) (Completeness, error) {
	if f.err != nil || f.empty || project != "acme" {
		return Completeness{At: f.now}, f.err
	}
	p50, p99 := uint32(212), uint32(1480)
	return Completeness{At: f.now, Lives: f.lives, LastEvent: f.now.Add(-2 * time.Second), OverheadP50US: &p50, OverheadP99US: &p99}, nil
}

func (f *fake) Activate(_ context.Context, r ActivateRequest) (Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ready := false
	for _, v := range f.verdicts {
		ready = ready || v.Workload == r.Workload && v.Candidate == r.Candidate && v.Readiness == schemas.Ready
	}
	if !ready && !r.Override {
		return Result{}, &Error{Kind: Unsupported, Code: "verdict_not_ready", Message: "The verdict does not support " + r.Candidate + " for " + r.Workload + ".", Hint: "Wait for ready, or override with a reason."}
	}
	if r.Reason == "conflict" {
		return Result{}, &Error{Kind: Conflict, Code: "policy_conflict", Message: "Another policy was accepted first.", Hint: "Look at it, and try again."}
	}
	mode := schemas.ModeCanary
	if r.Share == 10000 {
		mode = schemas.ModeLive
	}
	return f.accept(schemas.Policy{Project: r.Project, Workload: r.Workload, Mode: mode, Candidate: r.Candidate, RequestModel: r.RequestModel, Share: r.Share, Control: 500, Threshold: .42,
		Salt: []byte("never to be seen"), Override: r.Override && !ready, Actor: r.Actor, Reason: r.Reason}), nil
}

func (f *fake) Rollback(_ context.Context, r RollbackRequest) (Result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.policies[r.Workload]) == 0 {
		return Result{}, &Error{Kind: NotFound, Code: "no_policy", Message: r.Workload + " has no policy.", Hint: "It observes already."}
	}
	return f.accept(schemas.Policy{Project: r.Project, Workload: r.Workload, Mode: schemas.ModeObserve, Control: 500, Actor: r.Actor, Reason: r.Reason}), nil
}

func (f *fake) accept(p schemas.Policy) Result {
	ps := f.policies[p.Workload]
	res := Result{}
	if n := len(ps); n > 0 {
		prev := ps[n-1]
		res.Previous = &prev
		p.Replaces = prev.Version
	}
	p.SchemaVersion, p.Version, p.At = schemas.SchemaVersion, p.Replaces+1, f.now
	f.policies[p.Workload] = append(ps, p)
	res.Policy = p
	return res
}

func (f *fake) PostEvaluations(_ context.Context, _ string, evs []schemas.Evaluation) error {
	f.posted = append(f.posted, evs...)
	return nil
}

func (f *fake) Ready(context.Context, string) error { return f.err }

func (f *fake) Parts(context.Context) []Part {
	return []Part{
		{"engine", PartOK, "ClickHouse's engine answers on 127.0.0.1:18123.", []Figure{{"version", "26.5.3.1"}, {"memory", "412 MB"}, {"restarts", "0"}}},
		{"broker", PartOK, "The embedded broker answers on 127.0.0.1:19092.", []Figure{{"topics", "11"}}},
		{"ingest", PartDegraded, "Behind by more than a batch.", []Figure{{"lag", "1,204 messages"}, {"dead letters", "0"}}},
		{"spool", PartOK, "Events waiting on local disk.", []Figure{{"waiting", "1.2 MB of 1 GB"}, {"dropped", "0"}}},
		{"rehearsal", PartOff, "Not a role of this process.", nil},
	}
}
