package savings

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/schemas"
)

// The kinds of rate, in the order of Rates.
const (
	kindInput = iota
	kindCacheRead
	kindCacheWrite
	kindCacheWrite1h
	kindOutput
	kindAudioInput
	kindAudioOutput
	kindAudioCacheRead
	numKinds
)

// unlisted marks a kind without a rate.
const unlisted = -1

// list is one provider's models.
type list struct {
	exact map[string]*model
	rules []rule
}

// rule matches names that are not listed as such; the first that fits wins.
type rule struct {
	fits  func(name string) bool
	model *model
}

// model is everything known of one model's price.
type model struct {
	provider, id string
	own          bool
	context      uint32
	periods      []period // the last that holds wins
}

// period is a price that holds for a tier from a moment until another.
type period struct {
	tier           string
	from, until    int64 // Unix seconds, [from, until)
	dayFrom, dayTo int32 // minutes UTC; equal = all day
	steps          []step
}

// step is the price of prompts of more than so many tokens.
type step struct {
	above uint32
	rates [numKinds]int64 // nano-USD per million tokens, or unlisted
}

func (l *list) find(name string) *model {
	if m, ok := l.exact[name]; ok {
		return m
	}
	for i := range l.rules {
		if l.rules[i].fits(name) {
			return l.rules[i].model
		}
	}
	return nil
}

// index builds the lookup tables and the hash.
func (b *Book) index(entries []Entry) error {
	b.entries = entries
	b.lists = make(map[string]*list)
	b.found = make(map[string]map[string]*model)
	// Own rows are indexed first so that they win over the lists' rules.
	own := func(want bool) error {
		models := make(map[[2]string]*model)
		for i := range entries {
			if entries[i].Own != want {
				continue
			}
			if err := b.add(&entries[i], models); err != nil {
				return fmt.Errorf("price of %s/%s: %w", entries[i].Provider, entries[i].Model, err)
			}
		}
		return nil
	}
	if err := own(true); err != nil {
		return err
	}
	if err := own(false); err != nil {
		return err
	}
	b.hash = b.sum()
	return nil
}

func (b *Book) add(e *Entry, models map[[2]string]*model) error {
	key := [2]string{strings.ToLower(e.Provider), strings.ToLower(e.Model)}
	m := models[key]
	if m == nil {
		m = &model{provider: key[0], id: e.Model, own: e.Own, context: e.ContextWindow}
		models[key] = m
		match := e.Match
		if len(match) == 0 {
			match = []string{e.Model}
		}
		l := b.lists[key[0]]
		if l == nil {
			l = &list{exact: make(map[string]*model)}
			b.lists[key[0]] = l
		}
		for _, text := range match {
			if err := l.addRule(text, m); err != nil {
				return err
			}
		}
	}
	return m.add(e)
}

func (l *list) addRule(text string, m *model) error {
	if pattern, ok := strings.CutPrefix(text, "/"); ok && strings.HasSuffix(pattern, "/") {
		re, err := regexp.Compile("(?i)" + strings.TrimSuffix(pattern, "/"))
		if err != nil {
			return fmt.Errorf("match rule %q: %w", text, err)
		}
		l.rules = append(l.rules, rule{re.MatchString, m})
		return nil
	}
	text = strings.ToLower(text)
	bare := strings.Trim(text, "*")
	if bare == "" {
		return fmt.Errorf("match rule %q fits every name", text)
	}
	switch starts, ends := strings.HasPrefix(text, "*"), strings.HasSuffix(text, "*"); {
	case starts && ends:
		l.rules = append(l.rules, rule{func(n string) bool { return strings.Contains(n, bare) }, m})
	case ends:
		l.rules = append(l.rules, rule{func(n string) bool { return strings.HasPrefix(n, bare) }, m})
	case starts:
		l.rules = append(l.rules, rule{func(n string) bool { return strings.HasSuffix(n, bare) }, m})
	default:
		if _, taken := l.exact[text]; !taken {
			l.exact[text] = m
		}
	}
	return nil
}

func (m *model) add(e *Entry) error {
	p := period{tier: strings.ToLower(e.Tier), from: math.MinInt64, until: math.MaxInt64, dayFrom: int32(e.DayFrom), dayTo: int32(e.DayTo)}
	if !e.From.IsZero() {
		p.from = e.From.Unix()
	}
	if !e.Until.IsZero() {
		p.until = e.Until.Unix()
	}
	if e.DayFrom < 0 || e.DayTo < 0 || e.DayFrom > 24*60 || e.DayTo > 24*60 {
		return fmt.Errorf("hours %d to %d are not minutes of a day", e.DayFrom, e.DayTo)
	}
	s := step{above: e.Above, rates: e.Rates.array()}
	for _, r := range s.rates {
		if r < unlisted {
			return fmt.Errorf("a rate of %d is below zero", r)
		}
	}
	for i := range m.periods {
		if q := &m.periods[i]; q.tier == p.tier && q.from == p.from && q.until == p.until && q.dayFrom == p.dayFrom && q.dayTo == p.dayTo {
			q.steps = append(q.steps, s)
			slices.SortStableFunc(q.steps, func(a, b step) int { return int(int64(a.above) - int64(b.above)) })
			return nil
		}
	}
	p.steps = []step{s}
	m.periods = append(m.periods, p)
	return nil
}

func (r *Rates) array() [numKinds]int64 {
	var a [numKinds]int64
	for i, o := range []schemas.OptUSD{r.Input, r.CacheRead, r.CacheWrite, r.CacheWrite1h, r.Output, r.AudioInput, r.AudioOutput, r.AudioCacheRead} {
		a[i] = unlisted
		if o.Known {
			a[i] = int64(o.Nano)
			if o.Nano < 0 {
				a[i] = unlisted - 1 // refused by add
			}
		}
	}
	return a
}

// sum hashes everything that can change a price, in the order of the rows:
// among rows that hold, order decides.
func (b *Book) sum() uint64 {
	var buf []byte
	text := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	for i := range b.entries {
		e := &b.entries[i]
		text(strings.ToLower(e.Provider))
		text(strings.ToLower(e.Model))
		buf = binary.AppendUvarint(buf, uint64(len(e.Match)))
		for _, m := range e.Match {
			text(m)
		}
		text(strings.ToLower(e.Tier))
		for _, n := range []int64{e.From.Unix(), e.Until.Unix(), int64(e.DayFrom), int64(e.DayTo), int64(e.Above), int64(e.ContextWindow)} {
			buf = binary.AppendVarint(buf, n)
		}
		for _, r := range e.Rates.array() {
			buf = binary.AppendVarint(buf, r)
		}
		if e.Own {
			buf = append(buf, 1)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.names)) {
		text(name)
		text(b.names[name])
	}
	return xxhash.Sum64(buf)
}
