package simulator

import (
	"github.com/gnomon-llm/gnomon/schemas"
)

// shape is the kind of a workload's prompts and answers.
type shape uint8

const (
	chat       shape = iota // prose, many turns
	labels                  // one word of a few
	extraction              // JSON
	rag                     // prose over long context
	tools                   // an agent: tool calls, then prose
	review                  // JSON verdict on code
	summary                 // prose over a transcript
	clauses                 // JSON over documents of any length
	phrases                 // a few words
)

// closedShape reports whether answers of the shape can be compared word by word.
func (s shape) closed() bool {
	switch s {
	case labels, extraction, tools, review, clauses, phrases:
		return true
	}
	return false
}

// quality is the hidden truth about both models in a workload.
type quality struct {
	strong  float64 // chance that the baseline is right
	slip    float64 // chance that the candidate is wrong where the baseline is right
	rescue  float64 // chance that the candidate is right where the baseline is wrong
	hard    float64 // share of hard prompts
	harder  float64 // how many times the mean slip a hard prompt has
	daySD   float64 // of the slip from day to day
	session float64 // log-SD of the slip from session to session
	noise   float64 // chance that the baseline, asked again, says something else
	ratio   float64 // candidate's output tokens per baseline's
	ratioSD float64 // log-SD of the ratio
}

// sizes are in tokens; medians of lognormal distributions unless pareto is set.
type sizes struct {
	system   int     // of the system prompt with its tools, fixed
	prompt   float64 // a user turn
	sigma    float64
	pareto   float64 // shape of the Pareto tail that replaces the lognormal; 0: none
	output   float64 // prose only; closed answers have the length they have
	outSigma float64
}

// rhythm is when a workload is busy.
type rhythm struct {
	daily   float64 // requests a day, mean over a week
	week    [7]float64
	hours   [24]float64
	sd, rho float64 // log-SD and AR(1) of a day's volume around its weekly rhythm
	turns   float64 // mean requests of a session
	most    int     // turns at most
	gap     float64 // seconds between turns, median
}

// Workload is one simulated workload.
type Workload struct {
	Name      string // as sent; empty: no feature header, to be discovered
	Team      string
	Provider  string
	Model     string // the baseline
	Candidate string // what the built-in ladder offers first, at the same provider

	shape   shape
	rhythm  rhythm
	sizes   sizes
	quality quality
	system  string   // the system prompt's opening
	words   []string // the labels to choose from

	streamed    float64 // share of requests that stream
	askUsage    bool    // streams ask for usage themselves
	errors      float64 // share of attempts that fail at the provider
	aborts      float64 // share of answers the client does not wait for
	duplicates  float64 // share of sessions that repeat one of a few prompts
	sendSession bool    // the client names its sessions
	cached      bool    // marks its prefix for the cache (Anthropic)
	temperature float64
	maxTokens   int

	rehearse    schemas.NanoUSD // a day
	probability float64
}

// Worse reports whether the candidate is truly worse than the margin allows, by
// the hidden truth: what the baseline gets right and the candidate does not.
func (w *Workload) Worse(margin float64) bool { return w.trueDifference() < -margin }

// trueDifference is the expected quality difference over all prompts.
func (w *Workload) trueDifference() float64 {
	q := w.quality
	return -q.strong*q.slip + (1-q.strong)*q.rescue
}

func normalised(week [7]float64) [7]float64 {
	sum := 0.0
	for _, v := range week {
		sum += v
	}
	for i := range week {
		week[i] *= 7 / sum
	}
	return week
}

func spread(hours [24]float64) [24]float64 {
	sum := 0.0
	for _, v := range hours {
		sum += v
	}
	for i := range hours {
		hours[i] /= sum
	}
	return hours
}

// Rhythms of the week, Sunday first, and of the day in UTC.
var (
	officeWeek = normalised([7]float64{.25, 1.1, 1.15, 1.12, 1.08, .95, .35})
	shopWeek   = normalised([7]float64{1.1, .95, .92, .95, 1, 1.1, 1.15})
	evenWeek   = normalised([7]float64{1, 1, 1, 1, 1, 1, 1})

	officeHours = spread([24]float64{1, 1, 1, 1, 1, 2, 5, 12, 20, 24, 25, 23, 19, 22, 24, 23, 20, 14, 8, 5, 3, 2, 1, 1})
	shopHours   = spread([24]float64{4, 3, 2, 2, 2, 3, 4, 6, 8, 10, 12, 13, 14, 13, 13, 13, 14, 16, 19, 22, 22, 18, 12, 7})
	evenHours   = spread([24]float64{9, 9, 9, 9, 9, 9, 10, 10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 10, 10, 10, 10, 9, 9, 9})
	batchHours  = spread([24]float64{8, 20, 22, 18, 10, 4, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 5})
)

// DraftThreshold is the score that divides the simulated company's easy prompts
// from its hard ones: gnomon's own default. Scores rank prompts; where on the
// scale a company's divide is a matter of its prompts, and these are invented.
const DraftThreshold = 0.7

// The models of the simulated company.
const (
	openAI    = "openai"
	anthropic = "anthropic"

	gpt4o       = "gpt-4o"
	gpt4oMini   = "gpt-4o-mini"
	gpt41       = "gpt-4.1"
	gpt41Mini   = "gpt-4.1-mini"
	gpt41Nano   = "gpt-4.1-nano"
	claudeOpus  = "claude-opus-4-5"
	claudeSonn  = "claude-sonnet-4-5"
	claudeHaiku = "claude-haiku-4-5"
)
