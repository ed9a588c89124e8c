package dashboards

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/whatif"
	"github.com/gnomon-llm/gnomon/schemas"
)

var fixedNow = time.Date(2026, 11, 21, 15, 4, 5, 0, time.UTC)

func newServer(t *testing.T, change func(*Config, *fake)) (http.Handler, *fake) {
	t.Helper()
	f := newFake(fixedNow)
	c := Config{Project: "acme", Data: f, Actions: f, Health: f, Simulated: true, Version: "test", Explain: explainFixture, Now: func() time.Time { return fixedNow }}
	if change != nil {
		change(&c, f)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h, f
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "localhost:8081"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEveryPageIsDrawnAndKeepsHostileTextAsText(t *testing.T) {
	h, f := newServer(t, nil)
	pages := []string{"/", "/workloads", "/requests", "/health", "/search?q=support", "/requests?workload=nothing", "/requests/" + f.requests[0].RequestID, "/requests/" + f.requests[len(f.requests)-1].RequestID,
		"/search?q=" + queryEscape(hostile), "/requests?user=" + queryEscape(hostile) + "&status=" + queryEscape(hostile)}
	for _, s := range f.shapes {
		pages = append(pages, workloadPath(s.name))
		if page := get(t, h, workloadPath(s.name)).Body.String(); s.readiness == schemas.Ready && !strings.Contains(page, "1,800 pairs 93 % was expected before they were graded, and 90 % came") {
			t.Errorf("%s does not hold forecasts against what came", s.name)
		}
	}
	for _, p := range pages {
		w := get(t, h, p)
		body := w.Body.String()
		if w.Code != 200 || !strings.Contains(body, "</html>") {
			t.Errorf("%s: status %d, whole page %v", p, w.Code, strings.Contains(body, "</html>"))
		}
		if !strings.Contains(body, "SIMULATED") {
			t.Errorf("%s does not say SIMULATED", p)
		}
		for _, bad := range []string{"<img src=x", `onerror="`, "<script>", " style=", "ZgotmplZ", "<no value>", "never to be seen"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s holds %q", p, bad)
			}
		}
	}
}

func TestFiguresAgreeAndWhatIsLeftOutIsSaid(t *testing.T) {
	h, _ := newServer(t, func(_ *Config, f *fake) {
		for i := range f.verdicts {
			if v := &f.verdicts[i]; v.Workload == "code/review" {
				v.Quality.Lower, v.Quality.Upper = -.1083, -.0416
			}
		}
	})
	for path, want := range map[string]string{
		"/":                      "without $1,441 a month of 2 workloads that are active already",
		"/workloads/code/review": "between −10.9 pp and −4.1 pp",
	} {
		if body := send(h, http.MethodGet, path, "").Body.String(); !strings.Contains(body, want) || path != "/" && !strings.Contains(body, "≤ −4.1 pp") {
			t.Errorf("%s: %q is missing", path, want)
		}
	}
}

func TestTheListOfRequestsShowsNothingThatListedLeavesOut(t *testing.T) {
	listed, _ := newServer(t, nil)
	whole, _ := newServer(t, func(_ *Config, f *fake) { f.whole = true })
	for _, path := range []string{"/requests?limit=200", "/requests?route=would", "/requests?status=provider_error"} {
		want, got := get(t, whole, path).Body.String(), get(t, listed, path).Body.String()
		if got != want || !strings.Contains(got, "<tbody id=\"request-rows\"><tr>") {
			t.Errorf("%s is drawn otherwise from what Listed leaves, or lists nothing", path)
		}
	}
}

func TestAReaderWhoHasGoneIsNoError(t *testing.T) {
	for name, row := range map[string]struct {
		gone  bool
		level string
	}{"a reader who has gone is told of at debug": {true, "DEBUG"}, "a store that is away is an error": {false, "ERROR"}} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h, err := New(Config{Project: "acme", Data: newFake(time.Now()), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
				WhatIf: func(ctx context.Context, _ WhatIf) (*whatif.Result, error) {
					return nil, errors.Join(errors.New("away"), ctx.Err())
				}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if row.gone {
				cancel()
			}
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "http://localhost:8081/fragments/whatif?workload=w", nil))
			if !strings.Contains(log.String(), "level="+row.level) || row.gone && strings.Contains(log.String(), "ERROR") {
				t.Errorf("%s", log.String())
			}
		})
	}
}

func TestTheFrontierIsDrawnWhereQualityIsKnownAndToldWhereNot(t *testing.T) {
	dollar := schemas.NanoUSD(1e9)
	known := whatif.Point{Threshold: .5, Routed: 10, RoutedShare: .4, SavingMonth: 30 * dollar, Quality: &schemas.Interval{Point: -.01, Lo: -.02, Hi: 0, Level: .95}, Evidence: whatif.Measured, Pairs: 900, Draft: true}
	unknown := whatif.Point{Threshold: 1, Routed: 20, RoutedShare: .8, SavingMonth: -71 * dollar, SavingWarm: 60 * dollar, Evidence: whatif.Partly}
	today := whatif.Point{Mode: schemas.ModeObserve, Quality: &schemas.Interval{Level: .95}, Evidence: whatif.Measured}
	for name, row := range map[string]struct {
		points []whatif.Point
		has    []string
		drawn  bool
	}{
		"measured":        {[]whatif.Point{known, unknown}, []string{"0.5 (draft)", "−1.0 pp", "900 pairs", "today (observe)", "not known", "no promise"}, true},
		"nothing graded":  {[]whatif.Point{unknown}, []string{"No pair is graded", "caches cold", "−$71.00", "Caches warm", "$60.00", "not known"}, false},
		"nothing to move": {nil, []string{"nothing to ask"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			h, err := New(Config{Project: "acme", Data: newFake(now), Log: slog.New(slog.DiscardHandler), WhatIf: func(_ context.Context, q WhatIf) (*whatif.Result, error) {
				r := &whatif.Result{}
				if row.points != nil && q.Workload == "a b&c" {
					r.Workloads = []whatif.Frontier{{Workload: q.Workload, Points: row.points, Today: today}}
				}
				return r, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			w := send(h, http.MethodGet, "/fragments/whatif?workload=a+b%26c", "")
			body := w.Body.String()
			for _, want := range row.has {
				if !strings.Contains(body, want) {
					t.Errorf("%d: %q is missing in %s", w.Code, want, body)
				}
			}
			if strings.Contains(body, "data-chart") != row.drawn {
				t.Errorf("drawn: %v", !row.drawn)
			}
		})
	}
}
