package classifier

import (
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Version is that of features, weights and the rules of this package together.
// It changes whenever the same request could be assessed or decided otherwise.
const Version uint32 = 4

// minCached is the shortest prefix in tokens that most providers keep in a cache.
const minCached = 1024

// ShortestCached is the shortest prefix that the model's provider keeps in a
// cache, in tokens.
func (c *Capability) ShortestCached() uint32 {
	if c == nil || c.MinCached == 0 {
		return minCached
	}
	return c.MinCached
}

// expectedOutput is how many tokens an answer of a task class is taken to have
// before it is seen. Both sides of a comparison use the same figure, so it only
// weighs output against input prices.
var expectedOutput = [...]uint32{
	TaskOther: 300, TaskChat: 250, TaskExtraction: 150, TaskClassification: 20, TaskSummary: 250, TaskRAG: 250,
	TaskCode: 600, TaskMath: 400, TaskAgent: 150, TaskWriting: 700, TaskTranslation: 300,
}

// expectation prices a request before its answer is known.
type expectation struct {
	in     *Inputs
	prices Pricer
	at     time.Time
	own    *Capability // of the baseline; nil when unknown
}

func (x *expectation) baseline() (schemas.NanoUSD, bool) {
	return x.price(x.in.Provider, x.in.RequestModel, x.usage(x.in.BaselineWarm, x.output(), x.own.ShortestCached()))
}

// candidate prices the request at a candidate: its answers may be longer, and
// its cache may hold nothing of a conversation that the baseline's does.
func (x *expectation) candidate(c *candidate, i int, fact evidenceFact) (schemas.NanoUSD, bool) {
	out := uint64(x.output())
	if fact.ratioPPM != 0 {
		out = (out*fact.ratioPPM + 999_999) / 1_000_000
	}
	warm := i < maxCandidates && x.in.CacheWarm&(1<<i) != 0
	return x.price(c.provider, c.model, x.usage(warm, uint32(min(out, 1<<31)), c.cap.ShortestCached()))
}

func (x *expectation) price(provider, model string, u schemas.Usage) (schemas.NanoUSD, bool) {
	if x.prices == nil {
		return 0, false
	}
	total, _, err := x.prices.Cost(provider, model, "", u, x.at)
	return total, err == nil
}

func (x *expectation) output() uint32 {
	out := expectedOutput[TaskOther]
	if t := int(x.in.Assessment.Task); t < len(expectedOutput) {
		out = expectedOutput[t]
	}
	if ceiling := x.in.Features.MaxOutput; ceiling > 0 {
		out = min(out, ceiling)
	}
	return out
}

// usage predicts the tokens. A warm cache holds the prompt but for its last
// user turn, where that is no shorter than what its provider keeps.
func (x *expectation) usage(warm bool, output, least uint32) schemas.Usage {
	f := &x.in.Features
	u := schemas.Usage{InputTokens: f.PromptTokens, OutputTokens: output}
	if prefix := f.PromptTokens - min(f.PromptTokens, f.LastUserBytes/4+8); warm && prefix >= least {
		u.CacheReadTokens = prefix
	}
	return u
}

// Expected prices a recorded request at its baseline and at each candidate
// (provider/model) as Decide did before its answer was known, but for a
// candidate's measured output length, and what is known of the models' caches,
// which are not part of the Inputs. It is for people who ask why; unpriced is unknown.
func Expected(in *Inputs, prices Pricer, candidates []string) (baseline schemas.OptUSD, each []schemas.OptUSD) {
	x := expectation{in: in, prices: prices, at: time.Unix(int64(in.Hour)*3600, 0).UTC()}
	if n, ok := x.baseline(); ok {
		baseline = schemas.KnownUSD(n)
	}
	each = make([]schemas.OptUSD, len(candidates))
	for i, name := range candidates {
		provider, model, _ := strings.Cut(name, "/")
		if n, ok := x.candidate(&candidate{provider: provider, model: model}, i, evidenceFact{}); ok {
			each[i] = schemas.KnownUSD(n)
		}
	}
	return baseline, each
}
