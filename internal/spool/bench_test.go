package spool

import (
	"bytes"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/schemas"
)

// benchEvent is an event of about 1.5 KB of JSON.
func benchEvent(boot, seq uint64) *schemas.RequestEvent {
	return &schemas.RequestEvent{
		Version: schemas.SchemaVersion, Project: "acme", Ts: someTime, RequestID: uuid.UUID(idOf(seq)).String(), Revision: 1, BootID: boot, Seq: seq,
		Status: schemas.StatusOK, Workload: "support-chat", Feature: "support-chat", Team: "support", UserID: "user-123456", Session: "0193-session-of-a-customer",
		Provider: "openai", RequestModel: "gpt-4o", ServedModel: "gpt-4o", ResponseModel: "gpt-4o-2024-11-20", ResponseID: "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz",
		Candidates: []string{"openai/gpt-4o-mini", "openai/gpt-4.1-nano"}, Rejects: []schemas.Reject{0, 26}, Inputs: bytes.Repeat([]byte{7}, 96),
		Tags: map[string]string{"region": "eu-central", "tier": "gold"}, WouldRoute: "openai/gpt-4o-mini",
	}
}

// BenchmarkBeginEnd is what a request pays: with one caller, and with many.
func BenchmarkBeginEnd(b *testing.B) {
	for _, parallel := range []int{1, 16} {
		b.Run(map[int]string{1: "one caller", 16: "many callers"}[parallel], func(b *testing.B) {
			s := open(b, Config{Dir: b.TempDir(), MaxBytes: 8 << 30})
			took := make(chan []time.Duration, 1024)
			b.SetParallelism(parallel)
			start := time.Now()
			run := func(next func() bool) {
				var mine []time.Duration
				for next() {
					t := time.Now()
					seq := s.Begin("acme", someTime, idOf(1))
					ev := benchEvent(s.BootID(), seq)
					s.End(ev)
					mine = append(mine, time.Since(t))
				}
				took <- mine
			}
			if parallel == 1 {
				run(b.Loop)
			} else {
				b.RunParallel(func(pb *testing.PB) { run(pb.Next) })
			}
			elapsed := time.Since(start)
			close(took)
			var all []time.Duration
			for m := range took {
				all = append(all, m...)
			}
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2])/1e3, "p50_µs")
			b.ReportMetric(float64(all[len(all)*99/100])/1e3, "p99_µs")
			st := s.Stats()
			b.ReportMetric(float64(st.Bytes)/1e6/elapsed.Seconds(), "MB/s")
			if st.Dropped > 0 {
				b.Fatalf("%+v", st)
			}
		})
	}
}

// BenchmarkAppend is the log alone: one event from 64 callers.
func BenchmarkAppend(b *testing.B) {
	s := open(b, Config{Dir: b.TempDir(), MaxBytes: 16 << 30})
	ev := benchEvent(1, 1)
	once, err := appendEnded(nil, ev)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(once)))
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.mu.Lock()
			at := len(s.pend.buf)
			s.pend.buf, _ = appendEnded(s.pend.buf, ev)
			batch, stall := s.queued(entry{kind: kindEnded, lo: 1, hi: 1, at: at})
			s.mu.Unlock()
			s.wait(batch, stall)
		}
	})
}

// BenchmarkRecover opens a folder with 1 GB of another life.
func BenchmarkRecover(b *testing.B) {
	dir := b.TempDir()
	s := open(b, Config{Dir: dir, MaxBytes: 2 << 30})
	for s.Stats().Bytes < 1<<30 {
		for range 1000 {
			s.End(benchEvent(s.BootID(), s.Begin("acme", someTime, idOf(1))))
		}
	}
	closeSpool(b, s)
	info, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		again := open(b, Config{Dir: dir, MaxBytes: 2 << 30})
		closeSpool(b, again)
	}
	b.ReportMetric(float64(len(info)), "files")
}
