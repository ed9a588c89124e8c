package savings

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Tokens are the tokens of many requests together. CacheRead and CacheWrite are
// part of Input, CacheWrite1h of CacheWrite. Audio has no place here.
type Tokens struct{ Input, CacheRead, CacheWrite, CacheWrite1h, Output uint64 }

// Add adds the tokens of others.
func (t *Tokens) Add(u Tokens) {
	t.Input += u.Input
	t.CacheRead += u.CacheRead
	t.CacheWrite += u.CacheWrite
	t.CacheWrite1h += u.CacheWrite1h
	t.Output += u.Output
}

// CostOfMany is Cost of many requests together, of which none has a prompt
// longer than longest and none stands at another step of the price: prices are
// linear in tokens, so the sum is exact and is rounded once. It differs from
// the sum of the requests' own costs by their roundings alone, at most half a
func (b *Book) CostOfMany(provider, name, tier string, t Tokens, longest uint32, at time.Time) (total, output schemas.NanoUSD, err error) {
	m := b.find(provider, name)
	if m == nil {
		return 0, 0, fmt.Errorf("%s/%s: %w", provider, name, ErrUnpriced)
	}
	p := m.at(standardTier(tier), at)
	if p == nil {
		return 0, 0, fmt.Errorf("%s/%s at tier %q on %s: %w", provider, name, tier, at.UTC().Format(time.DateOnly), ErrUnpriced)
	}
	r := p.rates(longest)
	long := min(t.CacheWrite1h, t.CacheWrite)
	rate1h := r[kindCacheWrite1h]
	if rate1h == unlisted && r[kindCacheWrite] == unlisted {
		rate1h = r[kindInput]
	}
	if r[kindInput] == unlisted || t.Output > 0 && r[kindOutput] == unlisted || long > 0 && rate1h == unlisted {
		return 0, 0, fmt.Errorf("%s/%s lacks a rate that is needed: %w", provider, name, ErrUnpriced)
	}
	var in, out sum
	in.add(t.Input-min(t.Input, t.CacheRead+t.CacheWrite), r[kindInput])
	in.add(t.CacheRead, or(r[kindCacheRead], r[kindInput]))
	in.add(t.CacheWrite-long, or(r[kindCacheWrite], r[kindInput]))
	if long > 0 {
		in.add(long, rate1h)
	}
	if t.Output > 0 {
		out.add(t.Output, r[kindOutput])
	}
	all, ok1 := in.plus(out).nano()
	part, ok2 := out.nano()
	if !ok1 || !ok2 {
		return 0, 0, fmt.Errorf("%s/%s: the cost does not fit an amount of money", provider, name)
	}
	return all, part, nil
}

// Steps returns the lengths of prompt above which any price of the book is
// another one, ascending.
func (b *Book) Steps() []uint32 {
	seen := map[uint32]bool{}
	for i := range b.entries {
		if above := b.entries[i].Above; above > 0 {
			seen[above] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
