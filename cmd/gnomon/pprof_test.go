package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestProfilesAreForThisMachineAlone(t *testing.T) {
	h := withProfiles(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, row := range []struct {
		name, path, from, host, origin string
		want                           int
	}{
		{"a caller on this machine gets them", "/debug/pprof/", "127.0.0.1:5000", "127.0.0.1:8081", "", 200},
		{"over IPv6 as well", "/debug/pprof/heap?debug=1", "[::1]:5000", "localhost:8081", "", 200},
		{"a caller elsewhere gets nothing", "/debug/pprof/heap", "10.0.0.9:5000", "127.0.0.1:8081", "", 404},
		{"a name that was made to point here gets nothing", "/debug/pprof/heap", "127.0.0.1:5000", "evil.example:8081", "", 404},
		{"a page in a browser gets nothing", "/debug/pprof/heap", "127.0.0.1:5000", "127.0.0.1:8081", "http://evil.example", 404},
		{"all else is the admin plane's", "/api/v1/status", "10.0.0.9:5000", "gnomon:8081", "", http.StatusTeapot},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, row.path, nil)
			r.RemoteAddr, r.Host = row.from, row.host
			if row.origin != "" {
				r.Header.Set("Origin", row.origin)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != row.want {
				t.Errorf("answered %d, want %d", w.Code, row.want)
			}
		})
	}
}
