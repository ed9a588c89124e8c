package rehearsal

import (
	"bytes"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Grader judges a candidate's answer against the baseline's.
type Grader interface {
	// Name and Version identify it: wealth belongs to one grader's version.
	Name() string
	Version() string
	// Applies reports whether a request that the baseline answered so can be
	// judged soundly. It looks at the baseline's answer alone: if the
	// candidate's answer had a say, failures could choose to be left out.
	Applies(baseline *Answer) bool
	// Grade returns both qualities, from 0 to 1. The candidate has answered in
	// full: failures, refusals and truncations never come here.
	Grade(baseline, candidate *Answer) (qb, qc float64)
}

// ExactMatch is the grader of closed answers: JSON, tool calls, and texts of at
// most MaxClosedRunes. The baseline's answer is the reference, so its quality
// is 1, and the candidate's is 1 when it says the same and 0 otherwise. Where
// both are right in different words it is unjust to the candidate, and never
// the other way round: it may hold a good candidate back, not let a bad one in.
type ExactMatch struct{}

// MaxClosedRunes is the length up to which a normalised text counts as closed.
const MaxClosedRunes = 32

// Name is "exact_match".
func (ExactMatch) Name() string { return "exact_match" }

// Version changes when the normalisation does.
func (ExactMatch) Version() string { return "1" }

// Applies reports whether the answer is closed.
func (ExactMatch) Applies(baseline *Answer) bool {
	_, ok := closed(baseline)
	return ok
}

// Grade compares the normalised answers.
func (ExactMatch) Grade(baseline, candidate *Answer) (qb, qc float64) {
	b, okB := closed(baseline)
	c, okC := closed(candidate)
	if okB && okC && b == c {
		return 1, 1
	}
	return 1, 0
}

// closed returns the normal form of a closed answer, marked with its kind.
func closed(a *Answer) (string, bool) {
	if a.Choices != 1 || a.Refused || a.Truncated {
		return "", false
	}
	if len(a.Calls) > 0 {
		return closedCalls(a.Calls)
	}
	text := strings.TrimSpace(a.Text)
	if inner, ok := unfence(text); ok {
		text = inner
	}
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if norm, ok := normalJSON(text); ok {
			return "json " + norm, true
		}
	}
	norm := normalText(text)
	if norm == "" || utf8.RuneCountInString(norm) > MaxClosedRunes {
		return "", false
	}
	return "text " + norm, true
}

// closedCalls compares parallel calls as a set: their order means nothing.
func closedCalls(calls []ToolCall) (string, bool) {
	norm := make([]string, len(calls))
	for i, c := range calls {
		args, ok := normalJSON(c.Args)
		if !ok {
			return "", false
		}
		norm[i] = c.Name + " " + args
	}
	slices.Sort(norm)
	return "calls " + strings.Join(norm, "\n"), true
}

// unfence takes the Markdown fence off a JSON answer: models add it or not.
func unfence(text string) (string, bool) {
	inner, ok := strings.CutPrefix(text, "```")
	if !ok {
		return "", false
	}
	inner, ok = strings.CutSuffix(inner, "```")
	if !ok {
		return "", false
	}
	return strings.TrimSpace(strings.TrimPrefix(inner, "json")), true
}

// normalJSON writes JSON with sorted keys, without white space, and with
// numbers by value: 1.50 is 1.5. encoding/json sorts the keys of maps.
func normalJSON(text string) (string, bool) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || dec.More() {
		return "", false
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(byValue(v)); err != nil {
		return "", false
	}
	return strings.TrimSuffix(buf.String(), "\n"), true
}

func byValue(v any) any {
	switch t := v.(type) {
	case map[string]any:
		for k := range t {
			t[k] = byValue(t[k])
		}
	case []any:
		for i := range t {
			t[i] = byValue(t[i])
		}
	case json.Number:
		// A long exponent would make an enormous exact number: compare it as written.
		if len(t) > 40 || strings.ContainsAny(string(t), "eE") {
			return t
		}
		if r, ok := new(big.Rat).SetString(string(t)); ok {
			return "\x00number " + r.RatString() // apart from a string of the same digits
		}
	}
	return v
}

// normalText folds case, white space and the punctuation around an answer:
// "Refund." and "refund" say the same.
func normalText(text string) string {
	text = strings.Join(strings.Fields(strings.ToLower(text)), " ")
	return strings.TrimFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune(".,;:!?\"'`*“”‘’", r)
	})
}
