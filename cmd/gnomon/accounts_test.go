package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/store"
)

func TestOnlyALifeOfWhichNothingComesAnyMoreIsMissingSomething(t *testing.T) {
	began := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	old := began.AddDate(0, 0, -14)
	for _, tt := range []struct {
		name  string
		at    func(minute int) []store.Life // what the store says then
		alarm int                           // the minute from which it alarms; 0: never
	}{
		{"a history of two weeks ago comes in, its rows last", func(m int) []store.Life {
			if m >= 30 {
				return nil
			}
			return []store.Life{{BootID: 1, LastHeard: old, Missing: int64(3000 - 100*m)}}
		}, 0},
		{"it was silent before we looked, and nothing comes", func(int) []store.Life {
			return []store.Life{{BootID: 1, LastHeard: old, Missing: 4}}
		}, 10},
		{"it falls silent while others go on", func(m int) []store.Life {
			return []store.Life{{BootID: 1, LastHeard: began.Add(time.Duration(min(m, 5)) * time.Minute), Missing: 4}, {BootID: 2, LastHeard: began.Add(time.Duration(m) * time.Minute), Missing: 9}}
		}, 15},
		{"its clock is a day ahead, and it falls silent", func(m int) []store.Life {
			return []store.Life{{BootID: 1, LastHeard: began.Add(24 * time.Hour), Missing: 4}}
		}, 10},
		{"what it owes comes after all, and then it owes again", func(m int) []store.Life {
			if m == 9 {
				return nil
			}
			return []store.Life{{BootID: 1, LastHeard: old, Missing: 4}}
		}, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &silence{}
			for m := range 60 {
				want := int64(0)
				if tt.alarm > 0 && m >= tt.alarm {
					want = 4
				}
				if got := w.missing(tt.at(m), began.Add(time.Duration(m)*time.Minute)); got != want {
					t.Fatalf("minute %d: %d are missing, want %d", m, got, want)
				}
			}
		})
	}
}

func TestASilenceOutlivesARestartAndCountsWatchedTimeAlone(t *testing.T) {
	began := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	lives := []store.Life{{BootID: 1 << 63, LastHeard: began, Missing: 4}}
	file := filepath.Join(t.TempDir(), "silence.json")
	watch := func(w *silence, from time.Time, minutes int) (n int64) {
		for m := range minutes {
			n = w.missing(lives, from.Add(time.Duration(m)*time.Minute))
		}
		return n
	}
	if w := readSilence(file); watch(w, began, 7) != 0 || w.keep(file) != nil {
		t.Fatal("it alarms after six minutes, or is not kept")
	}
	later := began.Add(3 * time.Hour) // ingest was away, and so was whoever would have come
	if n := watch(readSilence(file), later, 4); n != 0 {
		t.Errorf("%d are missing after nine watched minutes", n)
	}
	if n := watch(readSilence(file), later, 5); n != 4 {
		t.Errorf("%d are missing after ten watched minutes, six of them before the restart", n)
	}
	lives[0].Missing = 3 // something came meanwhile
	if n := watch(readSilence(file), later, 10); n != 0 {
		t.Errorf("%d are missing of a life of which something came", n)
	}
	if err := os.WriteFile(file, []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := watch(readSilence(file), later, 10); n != 0 {
		t.Errorf("%d are missing by a file that cannot be read", n)
	}
}

func TestWhatIsBeingReadBackIsNoFailure(t *testing.T) {
	for _, tt := range []struct {
		name   string
		a      store.Accounts
		alarm  int64
		mark   string
		says   []string
		denies string
	}{
		{"nothing is owed", store.Accounts{Accepted: 9, Stored: 9}, 0, "●", []string{"9 stored"}, "missing"},
		{"some are on their way", store.Accounts{Accepted: 9, Stored: 6, Difference: 3}, 0, "●", []string{"3 on their way"}, "missing"},
		{"a history is coming in", store.Accounts{Accepted: 9, Stored: 4, Difference: 5, Missing: 5}, 0, "▲", []string{"5 were accepted over ten minutes ago", "being read back", "while the number falls"}, "start them"},
		{"nothing comes any more", store.Accounts{Accepted: 9, Stored: 4, Difference: 5, Missing: 5}, 4, "✕", []string{"5 missing", "4 belong to proxies of which nothing comes"}, "read back"},
	} {
		var out strings.Builder
		printFindings(&app{stdout: &out}, []finding{accountsFinding(tt.a, tt.alarm)})
		for _, want := range append(tt.says, tt.mark) {
			if !strings.Contains(out.String(), want) || strings.Contains(out.String(), tt.denies) {
				t.Errorf("%s: %s", tt.name, out.String())
			}
		}
	}
}

func TestTheAlarmIsThatOfTheGnomonThatWatches(t *testing.T) {
	metrics := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			fmt.Fprint(w, metrics)
		}
	}))
	c := config.Default()
	c.Admin.Addr = strings.TrimPrefix(srv.URL, "http://")
	for _, tt := range []struct {
		metrics string
		missing int64
		known   bool
	}{
		{"# TYPE gnomon_accounts_missing gauge\ngnomon_accounts_missing 1.2e+06\n", 1_200_000, true},
		{"gnomon_accounts_missing 0\n", 0, true},
		{"gnomon_other 3\n", 0, false},
	} {
		metrics = tt.metrics
		if missing, known := alarmOf(t.Context(), &c); missing != tt.missing || known != tt.known {
			t.Errorf("%q: %d, %t", tt.metrics, missing, known)
		}
	}
	srv.Close()
	if _, known := alarmOf(t.Context(), &c); known {
		t.Error("known of a gnomon that does not answer")
	}
}
