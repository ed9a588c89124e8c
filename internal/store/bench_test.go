package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

// traffic is n events of the shape real ones have: few words, many sessions,
// spread over days that end now.
func traffic(project string, n, days int, seed uint64) []schemas.RequestEvent {
	r := rand.New(rand.NewPCG(seed, 1))
	models := [][3]string{{"openai", "gpt-4o", "gpt-4o-mini"}, {"anthropic", "claude-opus", "claude-haiku"}, {"openai", "gpt-4.1", "gpt-4.1-mini"}}
	span := time.Duration(days) * 24 * time.Hour
	start := time.Now().UTC().Add(-span).Truncate(time.Millisecond)
	boot := r.Uint64() >> 1
	evs := make([]schemas.RequestEvent, n)
	for i := range evs {
		e := &evs[i]
		w := r.IntN(8)
		m := models[w%3]
		ttft := uint32(200 + r.IntN(900))
		cost := schemas.NanoUSD(1_000_000 + r.Int64N(40_000_000))
		*e = schemas.RequestEvent{
			Version: schemas.SchemaVersion, Project: project, Ts: start.Add(span / time.Duration(n) * time.Duration(i)).Truncate(time.Millisecond),
			RequestID: uuid.Must(uuid.NewV7()).String(), Revision: 1, BootID: boot, Seq: uint64(i + 1), Status: schemas.StatusOK,
			Workload: fmt.Sprintf("team%d/workload%d", w%3, w), Feature: fmt.Sprintf("team%d/workload%d", w%3, w), Team: fmt.Sprintf("team%d", w%3),
			UserID: fmt.Sprintf("user-%d", r.IntN(5000)), Session: fmt.Sprintf("%016x", r.Uint64N(uint64(n/4+1))*0x9e3779b97f4a7c15),
			Dialect: "openai.chat", Operation: "chat", Provider: m[0], RequestModel: m[1], ServedModel: m[1], ResponseModel: m[1] + "-2026-08-06",
			ResponseID: "chatcmpl-" + uuid.NewString()[:24], ServiceTier: "default", Mode: schemas.ModeObserve, Arm: schemas.ArmNone, Stream: r.IntN(2) == 0,
			HTTPStatus: 200, FinishReason: "stop", UsageSource: schemas.UsageProvider, PriceVersion: 20261101,
			Cost: schemas.KnownUSD(cost), ListCost: schemas.KnownUSD(cost), BaselineCost: schemas.KnownUSD(cost), WouldRoute: m[0] + "/" + m[1],
			WouldCost: schemas.KnownUSD(cost), WouldOutputCost: schemas.KnownUSD(cost / 3), ExpectedCost: schemas.KnownUSD(cost),
			TaskClass: "chat", Score: r.Float32(), EvidenceState: schemas.EvidenceCollecting, Candidates: []string{m[0] + "/" + m[2]}, Rejects: []schemas.Reject{schemas.RejectScore},
			Inputs: []byte(uuid.NewString()), ClassifierVer: 1, SnapshotHash: 77, PromptHash: r.Uint64(), RequestBytes: uint32(r.IntN(20000)), ResponseBytes: uint32(r.IntN(8000)),
			LatencyMS: 300 + uint32(r.IntN(9000)), TTFTMS: &ttft, OverheadUS: 40 + uint32(r.IntN(300)), Simulated: true,
		}
		e.InputTokens, e.OutputTokens = uint32(100+r.IntN(6000)), uint32(20+r.IntN(900))
		if e.Score < .6 {
			e.WouldRoute, e.Rejects[0] = m[0]+"/"+m[2], schemas.RejectNone
			e.WouldCost, e.ExpectedCost = schemas.KnownUSD(cost/16), schemas.KnownUSD(cost/16)
		}
		switch r.IntN(100) {
		case 0:
			e.Status, e.HTTPStatus, e.ErrorType, e.FinishReason = schemas.StatusProviderError, 429, "rate_limit", ""
		case 1:
			e.Cost, e.ListCost, e.BaselineCost, e.WouldCost, e.WouldOutputCost = schemas.OptUSD{}, schemas.OptUSD{}, schemas.OptUSD{}, schemas.OptUSD{}, schemas.OptUSD{}
		}
	}
	return evs
}

var (
	loadOnce sync.Once
	loaded   string
)

// fortnight loads 250,000 events of 14 days once, in batches as ingest sends
// them, the last of them twice under another token.
func fortnight(b *testing.B, s *Store) (project string) {
	b.Helper()
	loadOnce.Do(func() {
		const rows, batch = 250_000, 10_000
		loaded = "fortnight"
		evs := traffic(loaded, rows, 14, 3)
		for at := 0; at < rows; at += batch {
			if err := s.InsertRequests(b.Context(), fmt.Sprint("fortnight:", at), evs[at:at+batch]); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.InsertRequests(b.Context(), "fortnight:again", evs[rows-batch:]); err != nil {
			b.Fatal(err)
		}
		var vs []schemas.Verdict // a look an hour, of 20 candidates
		for look := range 14 * 24 {
			for w := range 20 {
				vs = append(vs, schemas.Verdict{Project: loaded, Workload: fmt.Sprint("workload", w), RequestModel: "gpt-4o", Provider: "openai", Candidate: "openai/gpt-4o-mini",
					ComputedAt: time.Now().UTC().Truncate(time.Hour).Add(-time.Duration(look) * time.Hour), Readiness: schemas.Collecting, Reasons: []string{strings.Repeat("why ", 50)}})
			}
		}
		if err := s.InsertVerdicts(b.Context(), "", vs); err != nil {
			b.Fatal(err)
		}
	})
	return loaded
}

func BenchmarkInsertRequests(b *testing.B) {
	for _, rows := range []int{500, 5_000, 20_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			s, project := open(b)
			evs := traffic(project, rows, 1, 2)
			for b.Loop() {
				if err := s.InsertRequests(b.Context(), uuid.NewString(), evs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkReaders is what screens and the analyzer wait for, over 250,000
// requests of 14 days.
func BenchmarkReaders(b *testing.B) {
	s, _ := open(b)
	project := fortnight(b, s)
	to := time.Now().UTC()
	from := to.AddDate(0, 0, -15)
	middle := to.AddDate(0, 0, -7)
	page, err := s.Requests(b.Context(), dashboards.RequestFilter{Project: project, To: middle, Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	id := page.Requests[0].RequestID
	for _, c := range []struct {
		name string
		read func(ctx context.Context) error
	}{
		{"cells", func(ctx context.Context) error { _, err := s.Cells(ctx, project, from, to); return err }},
		{"rejects", func(ctx context.Context) error { _, err := s.Rejects(ctx, project, from, to); return err }},
		{"period", func(ctx context.Context) error { _, err := s.Period(ctx, project); return err }},
		{"traffic", func(ctx context.Context) error { _, err := s.Traffic(ctx, project, from, to); return err }},
		{"completeness", func(ctx context.Context) error { _, err := s.Completeness(ctx, project); return err }},
		{"verdicts", func(ctx context.Context) error { _, err := s.Verdicts(ctx, project); return err }},
		{"request", func(ctx context.Context) error { _, err := s.Request(ctx, project, id); return err }},
		{"newest 50", func(ctx context.Context) error {
			_, err := s.Requests(ctx, dashboards.RequestFilter{Project: project, Limit: 50})
			return err
		}},
		{"50 failed of a workload", func(ctx context.Context) error {
			_, err := s.Requests(ctx, dashboards.RequestFilter{Project: project, Workload: "team1/workload1", Status: schemas.StatusProviderError, Limit: 50})
			return err
		}},
		{"one session", func(ctx context.Context) error {
			_, err := s.Requests(ctx, dashboards.RequestFilter{Project: project, Session: page.Requests[0].Session, Limit: 50})
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := c.read(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms")
		})
	}
	for _, view := range views {
		b.Run("view "+view, func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Query(b.Context(), "SELECT * FROM gnomon."+view+" LIMIT 1000"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms")
		})
	}
}
