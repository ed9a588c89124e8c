package savings

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// pricesJSON is written by ./gen from published facts; never by hand.
//
//go:embed prices.json
var pricesJSON []byte

type priceFile struct {
	Unit      string   `json:"unit"`
	Version   uint32   `json:"version"`
	Date      string   `json:"date"`
	Sources   []Source `json:"sources"`
	Missing   []string `json:"missing"`
	Doubts    []doubt  `json:"doubts"`
	Providers []struct {
		ID     string   `json:"id"`
		Names  []string `json:"names"`
		Pages  []string `json:"pages"`
		Models []struct {
			ID      string     `json:"id"`
			Match   []string   `json:"match"`
			Context uint32     `json:"context"`
			Rows    []priceRow `json:"rows"`
		} `json:"models"`
	} `json:"providers"`
}

type priceRow struct {
	Tier  string `json:"tier"`
	From  string `json:"from"`
	Until string `json:"until"`
	Hours string `json:"hours"`
	Above uint32 `json:"above"`

	Input          schemas.OptUSD `json:"input"`
	CacheRead      schemas.OptUSD `json:"cache_read"`
	CacheWrite     schemas.OptUSD `json:"cache_write"`
	CacheWrite1h   schemas.OptUSD `json:"cache_write_1h"`
	Output         schemas.OptUSD `json:"output"`
	AudioInput     schemas.OptUSD `json:"audio_input"`
	AudioOutput    schemas.OptUSD `json:"audio_output"`
	AudioCacheRead schemas.OptUSD `json:"audio_cache_read"`
}

var builtin = sync.OnceValues(func() (*Book, error) { return parseBook(pricesJSON) })

// BuiltinBook returns the price book that ships with gnomon. It is parsed once.
func BuiltinBook() (*Book, error) { return builtin() }

func parseBook(text []byte) (*Book, error) {
	var f priceFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, fmt.Errorf("price book: %w", err)
	}
	date, err := time.Parse(time.DateOnly, f.Date)
	if err != nil {
		return nil, fmt.Errorf("price book: date: %w", err)
	}
	b := &Book{version: f.Version, date: date, sources: f.Sources, missing: f.Missing, doubts: f.Doubts, names: make(map[string]string)}
	var entries []Entry
	for _, p := range f.Providers {
		for _, n := range p.Names {
			b.names[n] = p.ID
		}
		for _, m := range p.Models {
			for _, r := range m.Rows {
				e, err := r.entry()
				if err != nil {
					return nil, fmt.Errorf("price book: %s/%s: %w", p.ID, m.ID, err)
				}
				e.Provider, e.Model, e.Match, e.ContextWindow = p.ID, m.ID, m.Match, m.Context
				entries = append(entries, e)
			}
		}
	}
	if err := b.index(entries); err != nil {
		return nil, fmt.Errorf("price book: %w", err)
	}
	return b, nil
}

func (r *priceRow) entry() (e Entry, err error) {
	e = Entry{Tier: r.Tier, Above: r.Above, Rates: Rates{r.Input, r.CacheRead, r.CacheWrite, r.CacheWrite1h, r.Output, r.AudioInput, r.AudioOutput, r.AudioCacheRead}}
	if r.From != "" {
		if e.From, err = time.Parse(time.DateOnly, r.From); err != nil {
			return e, err
		}
	}
	if r.Until != "" {
		if e.Until, err = time.Parse(time.DateOnly, r.Until); err != nil {
			return e, err
		}
	}
	if r.Hours != "" {
		var fh, fm, th, tm int
		if _, err := fmt.Sscanf(r.Hours, "%d:%d-%d:%d", &fh, &fm, &th, &tm); err != nil {
			return e, fmt.Errorf("hours %q: %w", r.Hours, err)
		}
		e.DayFrom, e.DayTo = fh*60+fm, th*60+tm
	}
	return e, nil
}
