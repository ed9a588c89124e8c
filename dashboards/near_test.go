package dashboards

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestTheNamesSomebodyMayHaveMeant(t *testing.T) {
	known := []string{"support/triage", "support/summary", "search", "~support-billing-2f3a91c", "mail", "e"}
	for _, tt := range []struct {
		name, asked string
		want        []string
	}{
		{"a letter too few", "suport/triage", []string{"support/triage"}},
		{"a part of several", "support", []string{"support/triage", "support/summary", "~support-billing-2f3a91c"}},
		{"capitals", "Mail", []string{"mail"}},
		{"itself is no help", "mail", nil},
		{"nothing near", "payroll", nil},
		{"nothing at all", "", nil},
		{"a name of one letter is near to no longer one", "extraction", nil},
	} {
		if got := Near(tt.asked, known); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	for _, p := range [][2]string{{"", "abc"}, {"kitten", "sitting"}, {"abc", "cba"}} {
		if a, b := distance(p[0], p[1]), distance(p[1], p[0]); a != b || a != map[string]int{"": 3, "kitten": 3, "abc": 2}[p[0]] {
			t.Errorf("%q: %d and %d", p, a, b)
		}
	}
}

func TestAnOldNameLeadsToTheNewOne(t *testing.T) {
	names := &fakeNames{names: []schemas.Naming{{Project: "acme", Workload: "~a-2000001", Name: "mail", Version: 1}, {Project: "acme", Workload: "~b-2000002", Name: "notes", Version: 1}}}
	h, _ := newServer(t, func(c *Config, k *fake) {
		c.Names = names
		day := fixedNow.Truncate(24 * time.Hour)
		k.traffic = append(k.traffic, Traffic{Workload: "mail", Day: day, Requests: 3}, Traffic{Workload: "~b-2000002", Day: day, Requests: 3}) // the store has not heard of the second name
	})
	if w := get(t, h, "/workloads/~a-2000001?candidate=x"); w.Code != http.StatusFound || w.Header().Get("Location") != "/workloads/mail?candidate=x" {
		t.Errorf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	for _, path := range []string{"/workloads/mail", "/workloads/notes", "/api/v1/workloads/~a-2000001", "/api/v1/workloads/~b-2000002", "/api/v1/requests?workload=~a-2000001"} {
		if w := get(t, h, path); w.Code != http.StatusOK {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	names.names[0].Name = "" // taken back
	if w := get(t, h, "/workloads/~a-2000001"); w.Code == http.StatusFound {
		t.Error("a name that was taken back still leads away")
	}
}
