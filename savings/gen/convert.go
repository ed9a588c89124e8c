package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The shape of prices.json; savings reads the same fields.
type bookFile struct {
	Unit      string         `json:"unit"`
	Version   uint32         `json:"version"`
	Date      string         `json:"date"`
	Sources   []bookSource   `json:"sources"`
	Missing   []string       `json:"missing"`
	Providers []bookProvider `json:"providers"`
	Doubts    []bookDoubt    `json:"doubts"`
}

type bookSource struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Commit  string `json:"commit"`
	Date    string `json:"date"`
	Licence string `json:"licence"`
	UsedFor string `json:"used_for"`
}

type bookProvider struct {
	ID     string      `json:"id"`
	Names  []string    `json:"names,omitempty"`
	Pages  []string    `json:"pages"`
	Models []bookModel `json:"models"`
}

type bookModel struct {
	ID      string           `json:"id"`
	Match   []string         `json:"match"`
	Context int64            `json:"context,omitempty"`
	Rows    []map[string]any `json:"rows"`
}

type bookDoubt struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Text     string `json:"text"`
}

// names are the other names a configured provider may carry for the same list.
var names = map[string][]string{
	"aws": {"bedrock", "aws-bedrock"}, "azure": {"azure-openai"}, "google": {"gemini", "vertex", "vertex-ai", "vertexai"},
	"together": {"together-ai", "togetherai"}, "x-ai": {"xai", "grok"}, "fireworks": {"fireworks-ai"}, "mistral": {"mistralai"},
}

// kinds maps the facts' names of rates to ours; prices of images, video and
// per-call fees are not per token of a kind that usage counts, and are left out.
var kinds = map[string]string{
	"input_mtok": "input", "output_mtok": "output", "cache_read_mtok": "cache_read", "cache_write_mtok": "cache_write",
	"cache_write_1h_mtok": "cache_write_1h", "input_audio_mtok": "audio_input", "output_audio_mtok": "audio_output",
	"cache_audio_read_mtok": "audio_cache_read",
}

// corrections are models that the facts price as another model. They stand
// before the list, so that their name finds them first.
var corrections = map[string][]bookModel{
	"openai": {{
		ID: "gpt-4o-2024-05-13", Match: []string{"gpt-4o-2024-05-13"}, Context: 128000,
		Rows: []map[string]any{{"input": int64(5e9), "output": int64(15e9)}, {"tier": "batch", "input": int64(2.5e9), "output": int64(7.5e9)}},
	}},
}

var correctionSource = bookSource{
	Name: "OpenAI's price page", Path: "https://platform.openai.com/docs/pricing", Date: "2026-05-12",
	Licence: "facts", UsedFor: "gpt-4o-2024-05-13, which the first source prices as gpt-4o",
}

func convert(in *factFile, cross *crossFile) (*bookFile, error) {
	out := &bookFile{Unit: "nano-USD per million tokens", Missing: in.Meta.Missing}
	var latest time.Time
	for _, s := range in.Meta.Sources {
		at, err := time.Parse(time.RFC3339, s.Date)
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", s.Name, err)
		}
		if at.UTC().After(latest) {
			latest = at.UTC()
		}
		out.Sources = append(out.Sources, bookSource{s.Name, s.Path, s.Commit, s.Date, s.Licence, s.UsedFor})
	}
	out.Sources = append(out.Sources, correctionSource)
	out.Date = latest.Format(time.DateOnly)
	v, err := strconv.ParseUint(latest.Format("20060102"), 10, 32)
	if err != nil {
		return nil, err
	}
	out.Version = uint32(v)
	for _, p := range in.Providers {
		bp := bookProvider{ID: p.ID, Names: names[p.ID], Pages: p.Pages, Models: corrections[p.ID]}
		for _, m := range p.Models {
			bm, doubts, err := convertModel(p.ID, m, latest)
			if err != nil {
				return nil, fmt.Errorf("%s/%s: %w", p.ID, m.ID, err)
			}
			out.Doubts = append(out.Doubts, doubts...)
			if len(bm.Rows) > 0 {
				bp.Models = append(bp.Models, bm)
			}
		}
		out.Providers = append(out.Providers, bp)
	}
	out.Doubts = append(out.Doubts, disputes(cross)...)
	return out, nil
}

func convertModel(provider string, m factModel, at time.Time) (bookModel, []bookDoubt, error) {
	rules, err := m.Match.rules()
	if err != nil {
		return bookModel{}, nil, err
	}
	bm := bookModel{ID: m.ID, Match: rules, Context: m.Context}
	from, until := "", ""
	var current []map[string]any // the standard rows of the facts' date
	for _, p := range m.Prices {
		rows, err := standardRows(p)
		if err != nil {
			return bm, nil, err
		}
		if d := p.Constraint.StartDate; d != "" {
			start, err := day(d)
			if err != nil {
				return bm, nil, err
			}
			if start.After(at) {
				if until == "" {
					until = d
				}
			} else {
				from, current = d, rows
			}
		} else if p.Constraint.StartTime == "" {
			current = rows
		}
		bm.Rows = append(bm.Rows, rows...)
	}
	rows, doubts, err := tierRows(provider, m, current, from, until)
	bm.Rows = append(bm.Rows, rows...)
	return bm, doubts, err
}

// standardRows makes one row, and one for each prompt length past which the
// whole request is at another price.
func standardRows(p factPrice) ([]map[string]any, error) {
	starts := []int64{0}
	for _, r := range p.Prices {
		for _, s := range r.Steps {
			starts = append(starts, s.Start)
		}
	}
	slices.Sort(starts)
	var rows []map[string]any
	for _, start := range slices.Compact(starts) {
		row := map[string]any{}
		for name, r := range p.Prices {
			kind, ok := kinds[name]
			if !ok {
				continue
			}
			price := r.Base
			for _, s := range r.Steps {
				if s.Start <= start {
					price = s.Price
				}
			}
			n, err := nano(price)
			if err != nil {
				return nil, err
			}
			row[kind] = n
		}
		if len(row) == 0 {
			continue // an empty price is not a price of zero
		}
		stamp(row, "", p.Constraint.StartDate, "", start)
		if p.Constraint.StartTime != "" {
			row["hours"] = strings.TrimSuffix(p.Constraint.StartTime, ":00Z") + "-" + strings.TrimSuffix(p.Constraint.EndTime, ":00Z")
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func stamp(row map[string]any, tier, from, until string, above int64) {
	for k, v := range map[string]string{"tier": tier, "from": from, "until": until} {
		if v != "" {
			row[k] = v
		}
	}
	if above > 0 {
		row["above"] = above
	}
}

// tierRows makes the rows of service tiers. They were read on the facts' date,
// so they hold only from the standard price's last change until its next.
func tierRows(provider string, m factModel, current []map[string]any, from, until string) (rows []map[string]any, doubts []bookDoubt, err error) {
	tiers := make([]string, 0, len(m.Modes))
	for t := range m.Modes {
		tiers = append(tiers, t)
	}
	slices.Sort(tiers)
	for _, tier := range tiers {
		byStart, err := modeRates(m.Modes[tier])
		if err != nil {
			return nil, nil, err
		}
		for _, std := range current {
			above, _ := std["above"].(int64)
			if _, listed := byStart[above]; !listed {
				byStart[above] = map[string]any{} // a known step without a known price: unpriced past it
			}
		}
		if len(byStart) > 1 && len(current) == 1 {
			doubts = append(doubts, bookDoubt{provider, m.ID, "the " + tier + " tier is listed with a step for long prompts, the standard price without one"})
		}
		starts := make([]int64, 0, len(byStart))
		for s := range byStart {
			starts = append(starts, s)
		}
		slices.Sort(starts)
		for _, s := range starts {
			row := byStart[s]
			if provider == "anthropic" {
				stackCache(row, current)
			}
			stamp(row, tier, from, until, s)
			rows = append(rows, row)
		}
	}
	return rows, doubts, nil
}

func modeRates(m factMode) (map[int64]map[string]any, error) {
	starts := map[string]map[string]json.Number{}
	if m.Base != nil {
		starts["0"] = m.Base
	}
	for s, r := range m.ByStart {
		starts[s] = r
	}
	out := map[int64]map[string]any{}
	for text, rates := range starts {
		start, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, err
		}
		row := map[string]any{}
		for name, price := range rates {
			if kind, ok := kinds[name]; ok {
				if row[kind], err = nano(price); err != nil {
					return nil, err
				}
			}
		}
		out[start] = row
	}
	return out, nil
}

// stackCache fills a tier's cache prices by the tier's ratio on input: the
// vendor states that cache multipliers and the tier's discount stack.
func stackCache(row map[string]any, current []map[string]any) {
	in, ok := row["input"].(int64)
	if !ok || len(current) == 0 {
		return
	}
	std := current[0]
	base, ok := std["input"].(int64)
	if !ok || base == 0 {
		return
	}
	for _, kind := range []string{"cache_read", "cache_write", "cache_write_1h"} {
		price, listed := std[kind].(int64)
		if _, own := row[kind]; listed && !own && price*in%base == 0 {
			row[kind] = price * in / base
		}
	}
}

func disputes(cross *crossFile) []bookDoubt {
	var out []bookDoubt
	for _, d := range cross.Disagreements {
		out = append(out, bookDoubt{d.Provider, d.Model, fmt.Sprintf("another list has $%s in / $%s out per million tokens where this one has $%s / $%s",
			d.Other[0], d.Other[1], d.Ours[0], d.Ours[1])})
	}
	for _, d := range cross.CacheReads {
		out = append(out, bookDoubt{d.Provider, d.Model, fmt.Sprintf("another list has $%s per million cached tokens where this one has $%s", d.Other, d.Ours)})
	}
	return out
}
