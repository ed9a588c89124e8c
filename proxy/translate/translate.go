package translate

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Ask is a client's request.
type Ask struct {
	Dialect     string // dialect.OpenAIChat, dialect.AnthropicMessages or dialect.GeminiGenerate
	Path, Query string // Gemini names its model and its stream there; the query with its "?"
	Body        []byte
}

// Target says where a request is to go.
type Target struct {
	Dialect string
	Model   string
	// MaxOutput is the model's ceiling in tokens. It is asked for where the
	// client set no bound and the dialect requires one; 0 takes 4,096.
	MaxOutput uint32
	// AskUsage asks an OpenAI stream for its usage.
	AskUsage bool
}

// Said is a request in another dialect.
type Said struct {
	Path, Query string
	Body        []byte
}

// Refusal says why a request cannot be put in another dialect.
type Refusal struct {
	What string // a fixed word, of those in this package's sources
}

func (r *Refusal) Error() string { return "translate: cannot be said in the other dialect: " + r.What }

func refuse(what string) error { return &Refusal{what} }

// Words of refusals that more than one place uses.
const (
	refusedUnreadable    = "unreadable"
	refusedUnknown       = "unknown_member"
	refusedRole          = "role"
	refusedContent       = "content_type"
	refusedReasoning     = "reasoning"
	refusedProviderTools = "provider_tools"
	refusedServerState   = "server_state"
	refusedServiceTier   = "service_tier"
	refusedToolChoice    = "tool_choice"
	refusedMedia         = "media"
	refusedOrder         = "order"
	refusedSchema        = "json_schema"
	refusedSampling      = "sampling"
	refusedChoices       = "multiple_choices"
	refusedModalities    = "modalities"
	refusedArguments     = "arguments"
	refusedLogprobs      = "logprobs"
)

// vendor is a dialect's row: how its requests and answers are read and written.
type vendor struct {
	gate   schemas.Gate
	read   func(a Ask) (*request, error)
	write  func(r *request, to Target) (Said, error)
	answer func(body []byte) (*answer, error)
	say    func(a *answer, back *Back) []byte
	source func(*Stream) func(data gjson.Result) error
	sink   func(back *Back) sink
}

var vendors = map[string]*vendor{
	dialect.OpenAIChat:        {schemas.GateInOpenAI, readOpenAI, writeOpenAI, openAIAnswer, sayOpenAI, openAISource, newOpenAISink},
	dialect.AnthropicMessages: {schemas.GateInAnthropic, readAnthropic, writeAnthropic, anthropicAnswer, sayAnthropic, anthropicSource, newAnthropicSink},
	dialect.GeminiGenerate:    {schemas.GateInGemini, readGemini, writeGemini, geminiAnswer, sayGemini, geminiSource, newGeminiSink},
}

// Gate is the bit that says a request can be put in a dialect; 0 for dialects
// that nothing is translated into.
func Gate(name string) schemas.Gate {
	if v := vendors[name]; v != nil {
		return v.gate
	}
	return 0
}

// Check says whether a request can be said in a dialect: the dialect's bit, or
// a *Refusal. It costs what Request costs: the answer is certain.
func Check(a Ask, to string) (schemas.Gate, error) {
	if _, err := Request(a, Target{Dialect: to}); err != nil {
		return 0, err
	}
	return vendors[to].gate, nil
}

// Request puts a request in another dialect. The error is a *Refusal.
func Request(a Ask, to Target) (Said, error) {
	from, dst := vendors[a.Dialect], vendors[to.Dialect]
	if from == nil || dst == nil {
		return Said{}, refuse("dialect")
	}
	r, err := from.read(a)
	if err != nil {
		return Said{}, err
	}
	return dst.write(r, to)
}

// Back says how an answer goes back to the client.
type Back struct {
	From, To string // the candidate's dialect and the client's
	ID       string // for an answer that names none
	Model    string // the candidate's, for an answer that names none
	Usage    bool   // an OpenAI client asked for its stream's usage
	Created  int64  // Unix seconds, for dialects that state it
}

// ErrAnswer says that an answer is not one of its dialect, or holds what the
// client's has no words for.
var ErrAnswer = errors.New("translate: the answer cannot be read")

// Response puts a whole answer in the client's dialect. With an error nothing
// of it may be used.
func (b *Back) Response(body []byte) ([]byte, error) {
	from, to := vendors[b.From], vendors[b.To]
	if from == nil || to == nil || !valid(body) {
		return nil, ErrAnswer
	}
	a, err := from.answer(body)
	if err != nil {
		return nil, err
	}
	read := dialect.Named(b.From).Read(body)
	a.usage = read.Usage
	if a.id == "" {
		a.id = b.ID
	}
	if a.model == "" {
		a.model = b.Model
	}
	a.nameCalls()
	return to.say(a, b), nil
}

// IsRefusal returns the fixed word of a refusal; "" when err is none.
func IsRefusal(err error) string {
	var r *Refusal
	if errors.As(err, &r) {
		return r.What
	}
	return ""
}

// members calls f for each member of an object that is not null. A repeated
// member could be read in two ways.
func members(v gjson.Result, f func(key string, v gjson.Result) error) (err error) {
	if !v.IsObject() {
		return refuse(refusedUnreadable)
	}
	var seen [32]string
	n := 0
	v.ForEach(func(k, v gjson.Result) bool {
		for _, s := range seen[:n] {
			if s == k.Str {
				err = refuse("repeated_member")
				return false
			}
		}
		if n == len(seen) {
			err = refuse(refusedUnknown) // no object that is known has so many
			return false
		}
		seen[n] = k.Str
		n++
		if v.Type == gjson.Null {
			return true
		}
		err = f(k.Str, v)
		return err == nil
	})
	return err
}

// elements calls f for each element of an array.
func elements(v gjson.Result, f func(v gjson.Result) error) (err error) {
	if !v.IsArray() {
		return refuse(refusedUnreadable)
	}
	v.ForEach(func(_, v gjson.Result) bool {
		err = f(v)
		return err == nil
	})
	return err
}

// literal is a string's bytes as they came, quotes included.
func literal(v gjson.Result) (string, error) {
	if v.Type != gjson.String {
		return "", refuse(refusedUnreadable)
	}
	return v.Raw, nil
}

// word is a string's value.
func word(v gjson.Result) (string, error) {
	if v.Type != gjson.String {
		return "", refuse(refusedUnreadable)
	}
	return v.Str, nil
}

// number is a number's bytes as they came.
func number(v gjson.Result) (string, error) {
	if v.Type != gjson.Number {
		return "", refuse(refusedUnreadable)
	}
	return v.Raw, nil
}

func truth(v gjson.Result) (bool, error) {
	if v.Type != gjson.True && v.Type != gjson.False {
		return false, refuse(refusedUnreadable)
	}
	return v.Bool(), nil
}

// only refuses unless cond.
func only(cond bool, what string) error {
	if cond {
		return nil
	}
	return refuse(what)
}

func parse(body []byte) (gjson.Result, error) {
	if !valid(body) {
		return gjson.Result{}, refuse(refusedUnreadable)
	}
	return gjson.ParseBytes(body), nil
}

// maxDepth bounds how deep JSON may nest: what reads it calls itself for each
// level, and a stack that overflows ends the process.
const maxDepth = 512

// valid reports whether bytes are JSON that may be looked at.
func valid(b []byte) bool {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			if i = closing(b, i+1); i < 0 {
				return false
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				return false
			}
		case '}', ']':
			depth--
		}
	}
	return gjson.ValidBytes(b)
}

// closing is where the quotation mark is that ends a string begun before i.
func closing(b []byte, i int) int {
	for {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		end := i + n
		escapes := 0
		for j := end - 1; j >= i && b[j] == '\\'; j-- {
			escapes++
		}
		if escapes%2 == 0 {
			return end
		}
		i = end + 1
	}
}

// sole is a member of an object of which no member is repeated.
func sole(v gjson.Result, name string) (found gjson.Result, err error) {
	err = members(v, func(k string, v gjson.Result) error {
		if k == name {
			found = v
		}
		return nil
	})
	return found, err
}

// blank reports whether a string literal holds nothing but white space.
func blank(lit string) bool {
	return strings.TrimSpace(gjson.Parse(lit).Str) == ""
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrAnswer}, args...)...)
}
