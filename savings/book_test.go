package savings

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestOwnPrices(t *testing.T) {
	b := book(t)
	price := Rates{Input: schemas.KnownUSD(schemas.Dollar), Output: schemas.KnownUSD(2 * schemas.Dollar)}
	own, err := b.With(Entry{Provider: "Garage", Model: "Llama-4", Match: []string{"llama-*"}, Rates: price})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Cost("garage", "llama-4", "", schemas.Usage{InputTokens: 1}, november); !errors.Is(err, ErrUnpriced) {
		t.Errorf("the book it was made from has changed: %v", err)
	}
	if total, _, err := own.Cost("garage", "llama-4-8b", "", schemas.Usage{InputTokens: 1_000_000}, november); err != nil || total != schemas.Dollar {
		t.Errorf("got %s, %v", total, err)
	}
	if own.Hash() == b.Hash() || own.Version() != b.Version() {
		t.Error("own prices change the hash, and not the version of the built-in lists")
	}
	if len(own.Entries()) != len(b.Entries())+1 || !own.Entries()[len(own.Entries())-1].Own {
		t.Error("own prices are listed last, as own")
	}
	dated, err := own.With(
		Entry{Provider: "openai", Model: "gpt-4o", Rates: price},
		Entry{Provider: "openai", Model: "gpt-4o", From: november, Rates: Rates{Input: schemas.KnownUSD(3 * schemas.Dollar), Output: schemas.KnownUSD(1)}},
	)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]schemas.NanoUSD{november.Add(-time.Second): schemas.Dollar, november: 3 * schemas.Dollar} {
		if total, _, err := dated.Cost("openai", "gpt-4o", "", schemas.Usage{InputTokens: 1_000_000}, at); err != nil || total != want {
			t.Errorf("%s: got %s, %v, want %s", at, total, err, want)
		}
	}
	if total, _, err := dated.Cost("openai", "gpt-4o-2024-08-06", "", schemas.Usage{InputTokens: 1_000_000}, november); err != nil || total != 2_500_000_000 {
		t.Errorf("an own price for one name does not touch its snapshots: %s, %v", total, err)
	}
	for name, bad := range map[string]Entry{
		"without a provider": {Model: "m"}, "without a model": {Provider: "p"}, "below zero": {Provider: "p", Model: "m", Rates: Rates{Input: schemas.KnownUSD(-1)}},
		"for every name": {Provider: "p", Model: "m", Match: []string{"*"}}, "with a bad pattern": {Provider: "p", Model: "m", Match: []string{"/(/"}}, "at no hour of a day": {Provider: "p", Model: "m", DayFrom: -1},
	} {
		if _, err := b.With(bad); err == nil {
			t.Errorf("a price %s was taken", name)
		}
	}
}

func TestAlias(t *testing.T) {
	b, err := book(t).WithAlias("Frankfurt", "vertex")
	if err != nil {
		t.Fatal(err)
	}
	if id, context, ok := b.Lookup("frankfurt", "gemini-2.5-flash-lite"); !ok || id != "gemini-2.5-flash-lite" || context != 1_000_000 {
		t.Errorf("got %s, %d, %v", id, context, ok)
	}
	if b.Hash() == book(t).Hash() {
		t.Error("an alias prices models that were unpriced: the hash must tell")
	}
	if _, err := b.WithAlias("x", "nobody"); err == nil || !strings.Contains(err.Error(), "openai") {
		t.Errorf("an alias to no list: %v", err)
	}
}

func TestCheck(t *testing.T) {
	codes := func(now time.Time) (out []string) {
		for _, w := range book(t).Check(now) {
			out = append(out, w.Code)
		}
		return slices.Compact(out)
	}
	if got := codes(august); !slices.Equal(got, []string{"price_disputed", "price_changes", "price_scope"}) {
		t.Errorf("when the prices are new: %v", got)
	}
	if got := codes(november); !slices.Equal(got, []string{"price_age", "price_disputed", "price_scope"}) {
		t.Errorf("three months later: %v", got)
	}
}

// TestEveryEntryPricesItsOwnNames: no row is hidden behind another, no rate is
// lost on the way.
func TestEveryEntryPricesItsOwnNames(t *testing.T) {
	b := book(t)
	rows := 0
	for _, e := range b.Entries() {
		at := e.From
		if at.IsZero() {
			at = november
		}
		if e.Tier != "" || e.Until.Before(at) && !e.Until.IsZero() || !e.Input.Known {
			continue
		}
		for _, name := range e.Match {
			if strings.ContainsAny(name, "*/") {
				continue
			}
			id, _, ok := b.Lookup(e.Provider, name)
			if !ok {
				t.Errorf("%s/%s is not found by its own name %s", e.Provider, e.Model, name)
			}
			if id != e.Model {
				continue // a correction, or a name that two rows claim
			}
			rows++
			if _, _, err := b.Cost(e.Provider, name, "", schemas.Usage{InputTokens: e.Above + 1}, at); err != nil {
				t.Errorf("%s/%s: %v", e.Provider, name, err)
			}
		}
	}
	if rows < 300 {
		t.Errorf("only %d names were tried", rows)
	}
}

func TestLookupsAreBoundedAndSafeTogether(t *testing.T) {
	b, err := book(t).With()
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 5000 {
				b.Cost("openai", fmt.Sprint("made-up-", g, "-", i), "", schemas.Usage{}, november)
				if _, _, err := b.Cost("openai", "gpt-4o", "", schemas.Usage{InputTokens: 1}, november); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	n := 0
	for _, names := range b.found {
		n += len(names)
	}
	if n > maxFound {
		t.Errorf("%d names are remembered", n)
	}
}

func BenchmarkCost(b *testing.B) {
	bk := book(b)
	u := schemas.Usage{InputTokens: 1200, CacheReadTokens: 1024, OutputTokens: 300}
	for name, model := range map[string]string{"exact": "gpt-4o-mini", "matched": "gpt-5.6-luna-2026-08-01"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := bk.Cost("openai", model, "default", u, november); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("unpriced", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			bk.Cost("openai", "never-heard", "", u, november)
		}
	})
}
