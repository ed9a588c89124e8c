package dashboards

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func request(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestForeignHostsAndOriginsAreRefused(t *testing.T) {
	h, _ := newServer(t, func(c *Config, _ *fake) {
		c.Hosts = []string{"gnomon.intern"}
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("m 1\n")) })
	})
	for _, c := range []struct {
		name   string
		r      *http.Request
		status int
	}{
		{"an IPv4 literal is at home", request("GET", "/", "Host", "127.0.0.1:8081"), 200},
		{"an IPv6 literal is at home", request("GET", "/", "Host", "[::1]:8081"), 200},
		{"localhost is at home", request("GET", "/", "Host", "LocalHost:8081"), 200},
		{"a configured host is at home", request("GET", "/", "Host", "gnomon.intern"), 200},
		{"a rebound name is refused", request("GET", "/", "Host", "evil.example:8081"), 403},
		{"a rebound name is refused by the API too", request("GET", "/api/v1/status", "Host", "evil.example"), 403},
		{"a name that begins with localhost is refused", request("GET", "/", "Host", "localhost.evil.example"), 403},
		{"no host at all is refused", request("GET", "/", "Host", ""), 403},
		{"our own origin may read", request("GET", "/api/v1/status", "Host", "localhost:8081", "Origin", "http://localhost:8081"), 200},
		{"another origin may not read", request("GET", "/api/v1/status", "Host", "localhost:8081", "Origin", "https://evil.example"), 403},
		{"another port is another origin", request("GET", "/api/v1/status", "Host", "localhost:8081", "Origin", "http://localhost:3000"), 403},
		{"the null origin of a sandbox is refused", request("GET", "/api/v1/status", "Host", "localhost:8081", "Origin", "null"), 403},
		{"a link from another site opens the page", request("GET", "/", "Host", "localhost:8081", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"), 200},
		{"an image of another site does not", request("GET", "/api/v1/status", "Host", "localhost:8081", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"), 403},
		{"a form of another site is refused", request("POST", "/workloads/support/summary", "Host", "localhost:8081", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"), 403},
		{"a form without any origin is refused", request("POST", "/workloads/support/summary", "Host", "localhost:8081", "Content-Type", "application/x-www-form-urlencoded"), 403},
		{"metrics are exempt", request("GET", "/metrics", "Host", "scraper.example", "Origin", "https://evil.example"), 200},
		{"healthz is exempt", request("GET", "/healthz", "Host", "kubelet"), 200},
		{"readyz is exempt", request("GET", "/readyz", "Host", "kubelet"), 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, c.r)
			if w.Code != c.status {
				t.Errorf("status %d, want %d: %.200s", w.Code, c.status, w.Body)
			}
			for _, name := range []string{"Content-Security-Policy", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cross-Origin-Resource-Policy"} {
				if w.Header().Get(name) == "" {
					t.Errorf("%s is missing", name)
				}
			}
		})
	}
}

func TestPolicyAllowsNothingInline(t *testing.T) {
	if strings.Contains(contentSecurityPolicy, "unsafe") || strings.Contains(contentSecurityPolicy, "http") || strings.Contains(contentSecurityPolicy, "*") {
		t.Error(contentSecurityPolicy)
	}
	entries, err := templates.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := templates.ReadFile("templates/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{" style=", " onclick", " onload", " onchange", "hx-on", "hx-vals='js", "javascript:"} {
			if strings.Contains(string(b), bad) {
				t.Errorf("%s holds %q", e.Name(), bad)
			}
		}
	}
}

func TestTokenGuardsEverythingButProbes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("a-token-of-enough-length\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := fixedNow
	h, _ := newServer(t, func(c *Config, _ *fake) { c.TokenFile, c.Now = file, func() time.Time { return now } })
	try := func(r *http.Request) *httptest.ResponseRecorder {
		r.Host = "localhost:8081"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	if w := try(request("GET", "/api/v1/status")); w.Code != 401 || !strings.Contains(w.Body.String(), "admin.token_file") {
		t.Errorf("API without a token: %d %s", w.Code, w.Body)
	}
	if w := try(request("GET", "/api/v1/status", "Authorization", "Bearer wrong")); w.Code != 401 {
		t.Errorf("API with a wrong token: %d", w.Code)
	}
	if w := try(request("GET", "/api/v1/status", "Authorization", "Bearer a-token-of-enough-length")); w.Code != 200 {
		t.Errorf("API with the token: %d", w.Code)
	}
	if w := try(request("GET", "/requests?status=ok")); w.Code != 303 || w.Header().Get("Location") != "/login?next=%2Frequests%3Fstatus%3Dok" {
		t.Errorf("a page without a token: %d %s", w.Code, w.Header().Get("Location"))
	}
	for _, p := range []string{"/healthz", "/readyz", "/login", "/assets/console.css"} {
		if w := try(request("GET", p)); w.Code != 200 {
			t.Errorf("%s without a token: %d", p, w.Code)
		}
	}
	login := func(token, next string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/login", strings.NewReader(url.Values{"token": {token}, "next": {next}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		return try(r)
	}
	if w := login("guess", "/"); w.Code != 401 || len(w.Result().Cookies()) != 0 {
		t.Errorf("login with a guess: %d", w.Code)
	}
	for next, want := range map[string]string{"/requests?a=b": "/requests?a=b", "https://evil.example": "/", "//evil.example": "/", `/\evil.example`: "/", "": "/"} {
		if w := login("a-token-of-enough-length", next); w.Code != 303 || w.Header().Get("Location") != want {
			t.Errorf("next %q leads to %q with %d", next, w.Header().Get("Location"), w.Code)
		}
	}
	c := login("a-token-of-enough-length", "/").Result().Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || strings.Contains(c.Value, "a-token") {
		t.Errorf("cookie %+v", c)
	}
	if w := try(request("GET", "/", "Cookie", c.Name+"="+c.Value)); w.Code != 200 {
		t.Errorf("page with the cookie: %d", w.Code)
	}
	if w := try(request("GET", "/", "Cookie", c.Name+"=9"+c.Value)); w.Code != 303 {
		t.Errorf("page with a stretched cookie: %d", w.Code)
	}
	now = now.Add(cookieLife + time.Second)
	if w := try(request("GET", "/", "Cookie", c.Name+"="+c.Value)); w.Code != 303 {
		t.Errorf("page with an old cookie: %d", w.Code)
	}
}

func TestATokenFileThatGuardsNothingIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{
		"an empty token file": {Data: newFake(fixedNow), TokenFile: file},
		"a missing one":       {Data: newFake(fixedNow), TokenFile: file + "2"},
		"no data":             {},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
