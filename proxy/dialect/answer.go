package dialect

import (
	"math"
	"strconv"
	"strings"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Answer is what an answer says of itself.
type Answer struct {
	Usage    schemas.Usage
	HasUsage bool // the provider stated it, sanely
	// Final: the stated usage is that of the whole answer. Without it (a stream
	// that broke off) the counts are a state on the way.
	Final bool
	// Early: what was stated is the opening's, before any output. An end without
	// more leaves the output to be estimated, however clean.
	Early bool
	// Pending: the answer says that the work goes on behind it (a Response in the
	// background): what it costs is not known.
	Pending bool
	// Odd: some stated count was insane and was not taken, or the parts did not
	// add up and were mended (the doc of each row says how).
	Odd bool
	// Cost is what the provider says that it charged; it goes before any list.
	Cost schemas.OptUSD
	// ServerTools is how many calls of the provider's own tools (web search) are
	// billed beside the tokens. They are in no token price.
	ServerTools uint32

	Model        string // that the provider says it ran
	ID           string // the provider's
	ServiceTier  string // of the answer, which may differ from the one asked for
	FinishReason string
	ErrorType    string // of an error body or event; never its message
	Failed       bool   // an error was stated, also behind a status of 200
	Done         bool   // the stream said that it is complete
	Foreign      bool   // a body, but no JSON and no event stream: not the API's answer
	OutputBytes  int    // text of the answer, for an estimate where no usage came
	Events       int    // of a stream
	Bytes        int    // of the body as read, decoded

	raw  anthropicUsage
	hear Hearer
}

// Hearer takes the text of an answer, piece by piece: the contents of JSON
// strings as they were written, escapes and all. What it is given is only its
// own until it returns.
type Hearer interface{ Hear(raw []byte) }

// say notes a text of the answer.
func (a *Answer) say(v []byte) {
	a.OutputBytes += textBytes(v)
	if a.hear != nil && isString(v) {
		a.hear.Hear(v[1 : len(v)-1])
	}
}

// sayRaw notes output that is no text but JSON itself: a tool's input.
func (a *Answer) sayRaw(v []byte) {
	a.OutputBytes += len(v)
	if a.hear != nil {
		a.hear.Hear(v)
	}
}

// maxWord bounds what is kept of ids, models and reasons that a provider sends.
const maxWord = 256

// word keeps a short text from an answer; control characters and what is beyond
// the bound are cut.
func word(v []byte) string {
	s := text(v)
	if s == "" {
		return ""
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }); i >= 0 {
		s = s[:i]
	}
	if len(s) > maxWord {
		s = strings.ToValidUTF8(s[:maxWord], "")
	}
	return s
}

func set(dst *string, v []byte) {
	if s := word(v); s != "" {
		*dst = s
	}
}

func first(dst *string, v []byte) {
	if *dst == "" {
		*dst = word(v)
	}
}

// fail notes an error object: {"type","code","status","message"}, or a text.
func (a *Answer) fail(v []byte) {
	if isNull(v) {
		return
	}
	a.Failed = true
	if !isObject(v) {
		if a.ErrorType == "" {
			a.ErrorType = "error"
		}
		return
	}
	var kind, code, status string
	for m := object(v); m.next(); {
		switch string(m.key()) {
		case "type":
			kind = word(m.value())
		case "code":
			if code = word(m.value()); code == "" && !isNull(m.value()) && !isObject(m.value()) {
				code = string(m.value()[:min(len(m.value()), 16)])
			}
		case "status":
			status = word(m.value())
		}
	}
	if kind == "error" { // of an event: says nothing
		kind = ""
	}
	// A code in words says most; a number says less than anything.
	order := []string{code, kind, status, "error"}
	if code != "" && code[0] >= '0' && code[0] <= '9' {
		order = []string{kind, status, code}
	}
	for _, s := range order {
		if s != "" && a.ErrorType == "" {
			a.ErrorType = s
		}
	}
}

// counter reads one count into dst; an insane one spoils the whole object.
func counter(dst *uint32, v []byte, sane *bool) {
	if isNull(v) {
		return
	}
	if n, ok := count(v); ok {
		*dst = n
	} else {
		*sane = false
	}
}

// maxStated bounds what one request may be said to have cost.
const maxStated = 1e6 // USD

// stated reads an amount of money that a provider states as a JSON number of
// parts of a dollar, to the nano-USD. Float64 holds six digits more than that
// at any plausible amount.
func stated(v []byte, perDollar float64) schemas.OptUSD {
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || !(f >= 0) || f/perDollar > maxStated {
		return schemas.OptUSD{}
	}
	return schemas.KnownUSD(schemas.NanoUSD(math.RoundToEven(f / perDollar * 1e9)))
}

// mend makes the parts fit their whole: a part larger than what holds it means
// that the host reports it apart.
func (a *Answer) mend() {
	u := &a.Usage
	if u.CacheWrite1hTokens > u.CacheWriteTokens {
		u.CacheWrite1hTokens, a.Odd = u.CacheWriteTokens, true
	}
	if parts := u.CacheReadTokens + u.CacheWriteTokens; parts > u.InputTokens {
		u.InputTokens, a.Odd = u.InputTokens+parts, true
	}
	if u.AudioInputTokens > u.InputTokens {
		u.AudioInputTokens, a.Odd = u.InputTokens, true
	}
	if u.ReasoningTokens > u.OutputTokens {
		u.OutputTokens, a.Odd = u.OutputTokens+u.ReasoningTokens, true
	}
	if u.AudioOutputTokens > u.OutputTokens {
		u.AudioOutputTokens, a.Odd = u.OutputTokens, true
	}
}
