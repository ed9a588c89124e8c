package main

import (
	"testing"
	"time"

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
			w := silence{}
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
