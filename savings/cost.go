package savings

import (
	"fmt"
	"math"
	"math/bits"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// perMillion turns a sum of rate × tokens into nano-USD.
const perMillion = 1_000_000

// Cost returns the list price of u at the moment at, and the part of it that
// the output makes (the part that scales with another model's answers).
//
// u.CacheReadTokens and u.CacheWriteTokens are part of u.InputTokens and are
// billed once, at their own rate. A prompt above a step's length is at that
// step's price as a whole. Each amount is summed exactly and rounded once,
// half-even, to nano-USD.
//
// tier is the service tier of the answer; "", "default", "standard", "auto" and
// "on_demand" are the standard price. A model, tier or kind of token without a
// price is ErrUnpriced, never zero.
func (b *Book) Cost(provider, name, tier string, u schemas.Usage, at time.Time) (total, output schemas.NanoUSD, err error) {
	m := b.find(provider, name)
	if m == nil {
		return 0, 0, fmt.Errorf("%s/%s: %w", provider, name, ErrUnpriced)
	}
	p := m.at(standardTier(tier), at)
	if p == nil && tier == "fast" { // asked as fast, answered as priority
		p = m.at("priority", at)
	}
	if p == nil {
		return 0, 0, fmt.Errorf("%s/%s at tier %q on %s: %w", provider, name, tier, at.UTC().Format(time.DateOnly), ErrUnpriced)
	}
	rates := p.rates(u.InputTokens)
	in, missing := inputSum(rates, &u)
	out, missingOut := outputSum(rates, &u)
	if missing == "" {
		missing = missingOut
	}
	if missing != "" {
		return 0, 0, fmt.Errorf("%s/%s has no rate for %s tokens: %w", provider, name, missing, ErrUnpriced)
	}
	all, ok1 := in.plus(out).nano()
	part, ok2 := out.nano()
	if !ok1 || !ok2 {
		return 0, 0, fmt.Errorf("%s/%s: the cost does not fit an amount of money", provider, name)
	}
	return all, part, nil
}

// standardTier maps the names of the standard tier to "".
func standardTier(tier string) string {
	switch tier {
	case "default", "standard", "auto", "on_demand":
		return ""
	}
	return tier
}

// at returns the last period of the tier that holds, or nil.
func (m *model) at(tier string, at time.Time) *period {
	unix := at.Unix()
	minute := int32(unix % 86400 / 60)
	for i := len(m.periods) - 1; i >= 0; i-- {
		p := &m.periods[i]
		if p.tier == tier && p.from <= unix && unix < p.until && p.holdsAt(minute) {
			return p
		}
	}
	return nil
}

func (p *period) holdsAt(minute int32) bool {
	switch {
	case p.dayFrom == p.dayTo:
		return true
	case p.dayFrom < p.dayTo:
		return p.dayFrom <= minute && minute < p.dayTo
	default:
		return minute >= p.dayFrom || minute < p.dayTo
	}
}

// none is the price of a prompt shorter than every step.
var none = func() (r [numKinds]int64) {
	for i := range r {
		r[i] = unlisted
	}
	return r
}()

func (p *period) rates(prompt uint32) *[numKinds]int64 {
	for i := len(p.steps) - 1; i >= 0; i-- {
		if s := &p.steps[i]; s.above == 0 || prompt > s.above {
			return &s.rates
		}
	}
	return &none
}

// inputSum adds up the prompt's tokens; missing names a kind without a rate.
func inputSum(r *[numKinds]int64, u *schemas.Usage) (s sum, missing string) {
	if r[kindInput] == unlisted {
		return s, "input"
	}
	write1h := min(u.CacheWrite1hTokens, u.CacheWriteTokens)
	write5m := u.CacheWriteTokens - write1h
	// What providers report can contradict itself; cached tokens are billed in
	// full and what is left over is never below zero.
	cached := uint64(u.CacheReadTokens) + uint64(u.CacheWriteTokens)
	rest := uint64(u.InputTokens) - min(cached, uint64(u.InputTokens))
	audio := min(uint64(u.AudioInputTokens), rest)
	audioCached := min(uint64(u.AudioInputTokens)-audio, uint64(u.CacheReadTokens))

	read := or(r[kindCacheRead], r[kindInput])
	s.add(rest-audio, r[kindInput])
	s.add(uint64(u.CacheReadTokens)-audioCached, read)
	s.add(audioCached, or(r[kindAudioCacheRead], read))
	s.add(uint64(write5m), or(r[kindCacheWrite], r[kindInput]))
	if write1h > 0 {
		rate := r[kindCacheWrite1h]
		if rate == unlisted && r[kindCacheWrite] == unlisted {
			rate = r[kindInput]
		}
		if rate == unlisted {
			return s, "one-hour cache write"
		}
		s.add(uint64(write1h), rate)
	}
	if audio > 0 {
		if r[kindAudioInput] == unlisted {
			return s, "audio input"
		}
		s.add(audio, r[kindAudioInput])
	}
	return s, ""
}

// outputSum adds up the answer's tokens.
func outputSum(r *[numKinds]int64, u *schemas.Usage) (s sum, missing string) {
	audio := min(u.AudioOutputTokens, u.OutputTokens)
	if text := u.OutputTokens - audio; text > 0 {
		if r[kindOutput] == unlisted {
			return s, "output"
		}
		s.add(uint64(text), r[kindOutput])
	}
	if audio > 0 {
		if r[kindAudioOutput] == unlisted {
			return s, "audio output"
		}
		s.add(uint64(audio), r[kindAudioOutput])
	}
	return s, ""
}

func or(rate, otherwise int64) int64 {
	if rate == unlisted {
		return otherwise
	}
	return rate
}

// sum is a 128-bit sum of rate × tokens. Eight terms of at most 2^33 tokens at
// less than 2^63 cannot overflow it.
type sum struct{ hi, lo uint64 }

func (s *sum) add(tokens uint64, rate int64) {
	hi, lo := bits.Mul64(tokens, uint64(rate))
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	s.hi, _ = bits.Add64(s.hi, hi, carry)
}

func (s sum) plus(t sum) sum {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, t.lo, 0)
	s.hi, _ = bits.Add64(s.hi, t.hi, carry)
	return s
}

// nano divides by a million and rounds half-even, once.
func (s sum) nano() (schemas.NanoUSD, bool) {
	if s.hi >= perMillion {
		return 0, false
	}
	q, rem := bits.Div64(s.hi, s.lo, perMillion)
	if rem > perMillion/2 || rem == perMillion/2 && q&1 == 1 {
		q++
	}
	if q > math.MaxInt64 {
		return 0, false
	}
	return schemas.NanoUSD(q), true
}
