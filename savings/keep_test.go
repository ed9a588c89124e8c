package savings

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestABookThatWasKeptPricesTheSame(t *testing.T) {
	b, err := book(t).With(Entry{Provider: "openai", Model: "ours", Rates: Rates{Input: schemas.KnownUSD(7), Output: schemas.KnownUSD(9)}})
	if err != nil {
		t.Fatal(err)
	}
	if b, err = b.WithAlias("eu", "openai"); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	var again Book
	if err := json.Unmarshal(raw, &again); err != nil {
		t.Fatal(err)
	}
	if again.Hash() != b.Hash() || again.Version() != b.Version() || len(again.Entries()) != len(b.Entries()) {
		t.Errorf("%x with %d rows came back as %x with %d", b.Hash(), len(b.Entries()), again.Hash(), len(again.Entries()))
	}
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, name := range [][2]string{{"openai", "gpt-4o"}, {"eu", "gpt-4o-mini"}, {"openai", "ours"}, {"anthropic", "claude-sonnet-4-5-20250929"}} {
		u := schemas.Usage{InputTokens: 12_345, CacheReadTokens: 2_000, OutputTokens: 678}
		want, wantOut, err1 := b.Cost(name[0], name[1], "", u, at)
		got, gotOut, err2 := again.Cost(name[0], name[1], "", u, at)
		if got != want || gotOut != wantOut || (err1 == nil) != (err2 == nil) || err1 != nil {
			t.Errorf("%v: %d (%v), kept %d (%v)", name, want, err1, got, err2)
		}
	}
	t.Logf("%d bytes", len(raw))
}

// TestEveryPriceIsInTheHash changes one rate, date, hour, limit or name of each
// row of the book, one at a time: the hash is another one, and what was kept is
// refused.
func TestEveryPriceIsInTheHash(t *testing.T) {
	b := book(t)
	mutations := 0
	seen := map[uint64]bool{b.Hash(): true}
	for i := range b.entries {
		e := &b.entries[i]
		old := *e
		look := func(what string) {
			t.Helper()
			mutations++
			if h := b.sum(); seen[h] {
				t.Errorf("%s/%s: %s: the hash is one seen before", e.Provider, e.Model, what)
			} else {
				seen[h] = true
			}
			*e = old
		}
		v := reflect.ValueOf(&e.Rates).Elem()
		for f := range v.NumField() {
			rate := v.Field(f).Addr().Interface().(*schemas.OptUSD)
			if !rate.Known {
				continue
			}
			rate.Nano++
			look("another " + v.Type().Field(f).Name)
			*rate = schemas.OptUSD{}
			look("no " + v.Type().Field(f).Name)
		}
		e.From = e.From.Add(time.Second)
		look("from a second later")
		e.Until = e.Until.Add(-time.Second)
		look("until a second earlier")
	}
	t.Logf("%d mutations", mutations)
	if mutations < 500 {
		t.Errorf("only %d mutations were tried", mutations)
	}
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	var k keptBook
	if err := json.Unmarshal(raw, &k); err != nil {
		t.Fatal(err)
	}
	k.Entries[0].Input.Nano++
	if raw, err = json.Marshal(k); err != nil {
		t.Fatal(err)
	}
	if err := new(Book).UnmarshalJSON(raw); err == nil {
		t.Error("a kept book with another price was taken")
	}
}
