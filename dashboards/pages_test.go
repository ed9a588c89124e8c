package dashboards

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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
