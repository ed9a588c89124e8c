package savings

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// ErrUnpriced says that the book has no price for a provider's model, for the
// tier it was served at, or for a kind of token it used. It is never a price of
// zero: a free candidate would win every comparison.
var ErrUnpriced = errors.New("no price in the book")

// Rates are list prices per million tokens. A rate that is not Known is not
// listed; a known rate of 0 is free because somebody said so.
type Rates struct {
	Input          schemas.OptUSD // prompt tokens neither read from nor written to a cache
	CacheRead      schemas.OptUSD // not listed: billed as Input
	CacheWrite     schemas.OptUSD // kept 5 minutes; not listed: billed as Input
	CacheWrite1h   schemas.OptUSD // kept an hour; not listed while CacheWrite is: unpriced
	Output         schemas.OptUSD // reasoning included
	AudioInput     schemas.OptUSD
	AudioOutput    schemas.OptUSD
	AudioCacheRead schemas.OptUSD // not listed: billed as CacheRead
}

// Entry is one row of the book: the price of a model at a tier, in a period,
// for prompts above a length.
type Entry struct {
	Provider string // of the price list; a configured provider's name for own prices
	Model    string
	// Match lists the names this row prices: "name", "prefix*", "*suffix",
	// "*part*" or "/regexp/", without regard to case. Empty: Model itself.
	Match []string
	Tier  string    // "" = standard; batch, flex, priority, fast
	From  time.Time // inclusive; zero = always
	Until time.Time // exclusive; zero = for good
	// DayFrom and DayTo are minutes after midnight UTC, DayTo exclusive; both 0
	// = all day. A window may wrap around midnight.
	DayFrom, DayTo int
	// Above: the row holds for prompts of more than so many tokens, and then
	// for the whole request.
	Above         uint32
	ContextWindow uint32 // tokens; 0 = unknown
	Own           bool   // from the configuration, not from the built-in lists
	Rates
}

// Source is where the built-in prices come from.
type Source struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Commit  string `json:"commit"`
	Date    string `json:"date"`
	Licence string `json:"licence"`
	UsedFor string `json:"used_for"`
}

// doubt is a price that two published lists disagree on.
type doubt struct {
	Provider string `json:"provider"`
	Model    string `json:"model"`
	Text     string `json:"text"`
}

// Book is an immutable price book; it may be used by many goroutines.
type Book struct {
	version uint32
	date    time.Time
	sources []Source
	missing []string
	doubts  []doubt
	entries []Entry           // as read, own ones last
	names   map[string]string // another name of a list → its id
	lists   map[string]*list  // by provider
	hash    uint64

	mu    sync.RWMutex
	found map[string]map[string]*model // provider → model name as asked → row, nil when unpriced
	n     int
}

// maxFound bounds the memory of lookups: names come from clients.
const maxFound = 8192

// With returns a book with own prices added. The entries of a provider and
// model together replace what the book had for that name.
func (b *Book) With(own ...Entry) (*Book, error) {
	entries := slices.Clone(b.entries)
	for i := range own {
		e := own[i]
		e.Own = true
		if e.Provider == "" || e.Model == "" {
			return nil, fmt.Errorf("own price %d: provider and model are both needed", i+1)
		}
		entries = append(entries, e)
	}
	next := &Book{version: b.version, date: b.date, sources: b.sources, missing: b.missing, doubts: b.doubts, names: b.names}
	return next, next.index(entries)
}

// WithAlias returns a book in which a configured provider's name is priced by
// another provider's list: for a row named "eu" that is really "openai". Own
// prices for the name go before the list.
func (b *Book) WithAlias(name, provider string) (*Book, error) {
	name, provider = strings.ToLower(name), strings.ToLower(provider)
	id, ok := b.names[provider]
	if !ok {
		id = provider
	}
	if _, ok := b.lists[id]; !ok {
		return nil, fmt.Errorf("no price list is named %q; there are: %s", provider, strings.Join(b.Providers(), ", "))
	}
	next := &Book{version: b.version, date: b.date, sources: b.sources, missing: b.missing, doubts: b.doubts, names: maps.Clone(b.names)}
	next.names[name] = id
	return next, next.index(b.entries)
}

// Providers returns the ids of the price lists, sorted.
func (b *Book) Providers() []string { return slices.Sorted(maps.Keys(b.lists)) }

// Version returns the date of the built-in prices as yyyymmdd. Own prices do
// not change it; they change Hash.
func (b *Book) Version() uint32 { return b.version }

// Date returns the day on which the built-in prices were read.
func (b *Book) Date() time.Time { return b.date }

// Hash identifies every price in the book, own ones and aliases included.
func (b *Book) Hash() uint64 { return b.hash }

// Sources returns where the built-in prices come from.
func (b *Book) Sources() []Source { return slices.Clone(b.sources) }

// Entries returns every row of the book, own ones last.
func (b *Book) Entries() []Entry { return slices.Clone(b.entries) }

// Lookup returns the id of the row that prices a model, and its context window
// in tokens (0 when unknown).
func (b *Book) Lookup(provider, name string) (id string, context uint32, ok bool) {
	m := b.find(provider, name)
	if m == nil {
		return "", 0, false
	}
	return m.id, m.context, true
}

// Own reports whether a model is priced by an own price, not by a list.
func (b *Book) Own(provider, name string) bool {
	m := b.find(provider, name)
	return m != nil && m.own
}

// find returns the model's row, or nil. The first lookup of a name walks the
// rules; later ones are two map reads.
func (b *Book) find(provider, name string) *model {
	b.mu.RLock()
	m, seen := b.found[provider][name]
	b.mu.RUnlock()
	if seen {
		return m
	}
	m = b.resolve(strings.ToLower(provider), strings.ToLower(name))
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.n >= maxFound {
		clear(b.found)
		b.n = 0
	}
	byName := b.found[provider]
	if byName == nil {
		byName = make(map[string]*model)
		b.found[strings.Clone(provider)] = byName
	}
	byName[strings.Clone(name)] = m
	b.n++
	return m
}

func (b *Book) resolve(provider, name string) *model {
	if l, ok := b.lists[provider]; ok {
		if m := l.find(name); m != nil {
			return m
		}
	}
	if id, ok := b.names[provider]; ok {
		if l, ok := b.lists[id]; ok {
			return l.find(name)
		}
	}
	return nil
}
