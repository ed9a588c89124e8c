package savings

import (
	"errors"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gnomon-llm/gnomon/schemas"
)

func book(t testing.TB) *Book {
	t.Helper()
	b, err := BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	august   = time.Date(2026, 8, 25, 12, 0, 0, 0, time.UTC)
	november = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

func TestCost(t *testing.T) {
	own := func(r Rates) Entry { return Entry{Provider: "sim", Model: "small", Rates: r} }
	usd := schemas.KnownUSD
	b, err := book(t).With(
		own(Rates{Input: usd(8_750_000), Output: usd(1)}),
		Entry{Provider: "local", Model: "llama", Rates: Rates{Input: usd(0), Output: usd(0)}},
		Entry{Provider: "openai", Model: "gpt-4o", Rates: Rates{Input: usd(schemas.Dollar), Output: usd(2 * schemas.Dollar)}},
	)
	if err != nil {
		t.Fatal(err)
	}
	builtin := book(t)
	for _, row := range []struct {
		name                  string
		book                  *Book
		provider, model, tier string
		u                     schemas.Usage
		at                    time.Time
		total, output         schemas.NanoUSD
	}{
		{"a million tokens each way is the list price", builtin, "openai", "gpt-4o-mini", "", schemas.Usage{InputTokens: 1_000_000, OutputTokens: 1_000_000}, november, 750_000_000, 600_000_000},
		{"a dated snapshot is priced as its model", builtin, "openai", "gpt-4o-mini-2024-07-18", "default", schemas.Usage{InputTokens: 1000, OutputTokens: 10}, november, 156_000, 6_000},
		{"capitals in a model's name do not matter", builtin, "openai", "GPT-4o-mini", "", schemas.Usage{InputTokens: 1000, OutputTokens: 10}, november, 156_000, 6_000},
		{"cached tokens are billed once, at the cached rate", builtin, "openai", "gpt-4o-mini", "", schemas.Usage{InputTokens: 1000, CacheReadTokens: 600}, november, 105_000, 0},
		{"reasoning tokens are part of the output, not added", builtin, "openai", "o3", "", schemas.Usage{InputTokens: 1, OutputTokens: 100, ReasoningTokens: 90}, november, 802_000, 800_000},
		{"cache writes of both lifetimes have their own rates", builtin, "anthropic", "claude-haiku-4-5-20251001", "standard",
			schemas.Usage{InputTokens: 1000, CacheReadTokens: 100, CacheWriteTokens: 500, CacheWrite1hTokens: 200, OutputTokens: 10}, november, 400*1000 + 100*100 + 300*1250 + 200*2000 + 10*5000, 50_000},
		{"the batch tier has its price", builtin, "openai", "gpt-4o-mini", "batch", schemas.Usage{InputTokens: 1_000_000}, november, 75_000_000, 0},
		{"what is asked as fast is priced as priority", builtin, "openai", "gpt-4o", "fast", schemas.Usage{InputTokens: 1_000_000}, november, 4_250_000_000, 0},
		{"at the step a prompt still has the base price", builtin, "google", "gemini-2.5-pro", "", schemas.Usage{InputTokens: 200_000, OutputTokens: 1}, november, 250_010_000, 10_000},
		{"past the step the whole request is dearer", builtin, "google", "gemini-2.5-pro", "", schemas.Usage{InputTokens: 200_001, OutputTokens: 1}, november, 500_017_500, 15_000},
		{"a dated price holds from its day", builtin, "anthropic", "claude-sonnet-5", "", schemas.Usage{InputTokens: 1_000_000}, november, 3_000_000_000, 0},
		{"and not before it", builtin, "anthropic", "claude-sonnet-5", "", schemas.Usage{InputTokens: 1_000_000}, august, 2_000_000_000, 0},
		{"by day one price", builtin, "deepseek", "deepseek-chat", "", schemas.Usage{InputTokens: 1_000_000}, november, 270_000_000, 0},
		{"by night another", builtin, "deepseek", "deepseek-chat", "", schemas.Usage{InputTokens: 1_000_000}, november.Add(5 * time.Hour), 135_000_000, 0},
		{"a regexp finds a dated snapshot", builtin, "openai", "gpt-5.6-luna-2026-08-01", "", schemas.Usage{InputTokens: 1_000_000}, august, 400_000_000, 0},
		{"another name of a provider finds its list", builtin, "gemini", "gemini-2.5-pro", "", schemas.Usage{InputTokens: 100}, november, 125_000, 0},
		{"half a nano-USD rounds to even, down", b, "sim", "small", "", schemas.Usage{OutputTokens: 500_000}, november, 0, 0},
		{"half a nano-USD rounds to even, up", b, "sim", "small", "", schemas.Usage{OutputTokens: 1_500_000}, november, 2, 2},
		{"one cached token of a small model is 8.75 nano-USD, rounded once", b, "sim", "small", "", schemas.Usage{InputTokens: 2}, november, 18, 0},
		{"a price of zero that somebody set is zero", b, "local", "llama", "", schemas.Usage{InputTokens: 5, OutputTokens: 5}, november, 0, 0},
		{"an own price wins over the list", b, "openai", "gpt-4o", "", schemas.Usage{InputTokens: 1_000_000}, november, schemas.Dollar, 0},
		{"no tokens cost nothing", builtin, "openai", "gpt-4o", "", schemas.Usage{}, november, 0, 0},
		{"more cached than prompt tokens bills the cached ones and nothing below zero", builtin, "openai", "gpt-4o-mini", "", schemas.Usage{InputTokens: 10, CacheReadTokens: 100}, november, 7_500, 0},
		{"audio has its own rate", builtin, "openai", "gpt-audio", "", schemas.Usage{InputTokens: 100, AudioInputTokens: 60, OutputTokens: 50, AudioOutputTokens: 40}, november,
			40*2_500 + 60*32_000 + 10*10_000 + 40*64_000, 10*10_000 + 40*64_000},
	} {
		t.Run(row.name, func(t *testing.T) {
			total, output, err := row.book.Cost(row.provider, row.model, row.tier, row.u, row.at)
			if err != nil {
				t.Fatal(err)
			}
			if total != row.total || output != row.output {
				t.Errorf("got %d, output %d; want %d, output %d", total, output, row.total, row.output)
			}
		})
	}
}

func TestUnpriced(t *testing.T) {
	for _, row := range []struct {
		name, provider, model, tier string
		u                           schemas.Usage
	}{
		{"an unknown model", "openai", "gpt-unheard-of", "", schemas.Usage{}},
		{"an unknown provider", "garage", "gpt-4o", "", schemas.Usage{}},
		{"a name that only starts like a model", "openai", "gpt-4o-mini-tuned-by-us", "", schemas.Usage{}},
		{"a tier without a price", "openai", "gpt-5-nano", "priority", schemas.Usage{InputTokens: 1}},
		{"a tier past a step it has no price for", "openai", "gpt-5.6-luna", "priority", schemas.Usage{InputTokens: 300_000}},
		{"a tier before the price it was read with", "openai", "gpt-5.6-luna", "batch-of-old", schemas.Usage{InputTokens: 1}},
		{"audio where no audio rate is listed", "openai", "gpt-4o-audio-preview", "", schemas.Usage{InputTokens: 10, AudioInputTokens: 5}},
		{"a model whose listed price is empty", "google", "gemma-3-27b", "", schemas.Usage{InputTokens: 1}},
		{"output of an embeddings model", "openai", "text-embedding-3-small", "", schemas.Usage{InputTokens: 1, OutputTokens: 1}},
	} {
		t.Run(row.name+" is unpriced, not free", func(t *testing.T) {
			total, output, err := book(t).Cost(row.provider, row.model, row.tier, row.u, november)
			if !errors.Is(err, ErrUnpriced) {
				t.Fatalf("got %d, %d, %v", total, output, err)
			}
		})
	}
	if _, _, err := book(t).Cost("openai", "gpt-5.6-luna", "batch", schemas.Usage{InputTokens: 1}, time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)); !errors.Is(err, ErrUnpriced) {
		t.Errorf("a tier's price read after a change must not be used before it: %v", err)
	}
}

// TestCostAgreesWithRationals holds Cost against the same sum in exact
// rationals, rounded half-even, for every kind of token and any rate.
func TestCostAgreesWithRationals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(0, 1<<45)
		r := Rates{
			Input: schemas.KnownUSD(schemas.NanoUSD(rate.Draw(t, "in"))), CacheRead: schemas.KnownUSD(schemas.NanoUSD(rate.Draw(t, "read"))),
			CacheWrite: schemas.KnownUSD(schemas.NanoUSD(rate.Draw(t, "write"))), CacheWrite1h: schemas.KnownUSD(schemas.NanoUSD(rate.Draw(t, "write1h"))),
			Output: schemas.KnownUSD(schemas.NanoUSD(rate.Draw(t, "out"))), AudioInput: schemas.KnownUSD(schemas.NanoUSD(rate.Draw(t, "audioIn"))),
			AudioOutput: schemas.KnownUSD(schemas.NanoUSD(rate.Draw(t, "audioOut"))),
		}
		n := rapid.Uint32Range(0, 1<<27)
		text, read, w5, w1, audio := n.Draw(t, "text"), n.Draw(t, "nRead"), n.Draw(t, "n5m"), n.Draw(t, "n1h"), n.Draw(t, "nAudio")
		outText, outAudio := n.Draw(t, "nOut"), n.Draw(t, "nOutAudio")
		u := schemas.Usage{InputTokens: text + read + w5 + w1 + audio, CacheReadTokens: read, CacheWriteTokens: w5 + w1, CacheWrite1hTokens: w1,
			AudioInputTokens: audio, OutputTokens: outText + outAudio, AudioOutputTokens: outAudio}
		var b Book
		if err := b.index([]Entry{{Provider: "p", Model: "m", Rates: r}}); err != nil {
			t.Fatal(err)
		}
		total, output, err := b.Cost("p", "m", "", u, november)
		out := oracle([]uint32{outText, outAudio}, []schemas.OptUSD{r.Output, r.AudioOutput})
		all := oracle([]uint32{text, read, w5, w1, audio, outText, outAudio}, []schemas.OptUSD{r.Input, r.CacheRead, r.CacheWrite, r.CacheWrite1h, r.AudioInput, r.Output, r.AudioOutput})
		if !all.IsInt64() {
			if err == nil {
				t.Fatalf("%s does not fit, but Cost said %d", all, total)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if int64(total) != all.Int64() || int64(output) != out.Int64() {
			t.Fatalf("got %d and %d, want %s and %s", total, output, all, out)
		}
	})
}

// oracle sums in rationals and rounds half-even.
func oracle(tokens []uint32, rates []schemas.OptUSD) *big.Int {
	s := new(big.Rat)
	for i, n := range tokens {
		s.Add(s, new(big.Rat).Mul(new(big.Rat).SetInt64(int64(n)), big.NewRat(int64(rates[i].Nano), 1_000_000)))
	}
	q, rem := new(big.Int).DivMod(s.Num(), s.Denom(), new(big.Int))
	twice := new(big.Int).Lsh(rem, 1)
	if c := twice.Cmp(s.Denom()); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	return q
}
