package dashboards

import (
	"context"
	"net/http"
	"os"
	"os/signal"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// TestPreview serves the fixture for people and for the browser tests:
//
//	GNOMON_PREVIEW=127.0.0.1:8089 go test ./dashboards -run TestPreview -timeout 0
func TestPreview(t *testing.T) {
	addr := os.Getenv("GNOMON_PREVIEW")
	if addr == "" {
		t.Skip("set GNOMON_PREVIEW=127.0.0.1:8089 to look at the console with a fixture")
	}
	f := newFake(time.Now())
	f.empty = os.Getenv("GNOMON_PREVIEW_EMPTY") != ""
	h, err := New(Config{Project: "acme", Data: f, Actions: f, Health: f, Simulated: true, Version: "preview", Token: os.Getenv("GNOMON_PREVIEW_TOKEN"), Explain: explainFixture})
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Addr: addr, Handler: h, ReadHeaderTimeout: time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	go func() { <-ctx.Done(); _ = srv.Close() }()
	if err := srv.ListenAndServe(); err != http.ErrServerClosed {
		t.Fatal(err)
	}
}

func explainFixture(_ context.Context, ev schemas.RequestEvent) (Explanation, error) {
	th := .42
	x := Explanation{Candidates: linesOf(&ev), Threshold: &th, Contributions: []Contribution{
		{"turns", "2", -.11}, {"prompt tokens", "3,412", .07}, {"asks for code", "0", -.05}, {"tools", "1", .031}, {hostile, hostile, .02}}}
	for i := range x.Candidates {
		if !x.Candidates[i].Expected.Known {
			x.Candidates[i].Expected = schemas.KnownUSD(usd(.002 * float64(i+1)))
		}
	}
	return x, nil
}
