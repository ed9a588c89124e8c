package main

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestAKeyIsNewEachTimeAndNamesItsID(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		text, id, err := newKey()
		if err != nil || !strings.HasPrefix(text, "gk_"+id+"_") || len(text) != len("gk_")+16+1+43 || seen[text] || seen[id] {
			t.Fatalf("%s %s %v", text, id, err)
		}
		seen[text], seen[id] = true, true
	}
}

func TestTheKeyringHoldsTheProjectsKeys(t *testing.T) {
	sum := func(text string) []byte { s := sha256.Sum256([]byte(text)); return s[:] }
	r := keyring{project: "acme"}
	r.set([]schemas.Key{{Project: "acme", ID: "a", SHA256: sum("a")}, {Project: "other", ID: "b", SHA256: sum("b")}, {Project: "acme", ID: "c", SHA256: []byte("short")}})
	if k := r.find(sha256.Sum256([]byte("a"))); k == nil || k.ID != "a" {
		t.Errorf("found %+v", k)
	}
	if k := r.find(sha256.Sum256([]byte("b"))); k != nil {
		t.Errorf("another project's key is known: %+v", k)
	}
	r.set([]schemas.Key{{Project: "acme", ID: "a", SHA256: sum("a"), Revoked: true}})
	if k := r.find(sha256.Sum256([]byte("a"))); k == nil || !k.Revoked {
		t.Errorf("found %+v", k)
	}
}

func TestAnExpiryIsReadInDaysHoursOrAsADay(t *testing.T) {
	now := time.Date(2026, 11, 20, 10, 30, 0, 0, time.UTC)
	for in, want := range map[string]string{"": "", "90d": "2027-02-18T10:30:00Z", "12h": "2026-11-20T22:30:00Z", "2027-03-31": "2027-04-01T00:00:00Z"} {
		got, err := parseExpiry(in, now)
		if err != nil || (want != "" && got.Format(time.RFC3339) != want) || (want == "" && !got.IsZero()) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"0d", "-5h", "soon", "31.3.2027", "d"} {
		if got, err := parseExpiry(in, now); err == nil {
			t.Errorf("%q is read as %v", in, got)
		}
	}
}
