package translate

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"pgregory.net/rapid"

	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

type usage = schemas.Usage

func (h *heard) start(id, model string) { h.id, h.model = id, model }
func (h *heard) text(lit string)        { h.said += "\x00" + lit[1:len(lit)-1] }
func (h *heard) refusal(lit string)     { h.text(lit) }
func (h *heard) call(id, name string) {
	h.calls = append(h.calls, block{kind: call, id: id, tool: name})
}
func (h *heard) args(lit string)        { h.calls[len(h.calls)-1].input += lit[1 : len(lit)-1] }
func (h *heard) stop(why, seq string)   { h.why, h.seq = why, seq }
func (h *heard) end(u *schemas.Usage)   { h.ended, h.usage = true, *u }
func (h *heard) fault(f *dialect.Fault) { h.failed = f }
func (h *heard) settled() *heard {
	h.said = gjson.Parse(`"` + strings.ReplaceAll(h.said, "\x00", "") + `"`).Str
	for i := range h.calls {
		h.calls[i].input = gjson.Parse(`"` + h.calls[i].input + `"`).Str
	}
	return h
}

// heardIn reads a stream of a dialect with that dialect's own source.
func heardIn(t fatal, name, raw string) *heard {
	t.Helper()
	h := &heard{}
	b := &Back{From: name, To: name}
	s, err := b.Stream(1 << 20)
	if err != nil {
		t.Fatalf("%v", err)
	}
	s.sink = h
	h.into(s.out)
	s.take = vendors[name].source(s)
	_, _ = s.Append(nil, []byte(raw))
	_, _ = s.Close(nil)
	return h.settled()
}

type fatal interface {
	Helper()
	Fatalf(string, ...any)
}

func equal(t fatal, got, want *heard) {
	t.Helper()
	g, w := *got, *want
	g.writing, w.writing = writing{}, writing{}
	if !reflect.DeepEqual(g, w) {
		t.Fatalf("heard\n%+v\nwant\n%+v", g, w)
	}
}

// lit generates a string literal of the kind that is neither empty nor blank.
func lit(t *rapid.T, label string) string {
	s := rapid.StringN(1, 12, -1).Draw(t, label) + "x"
	raw, err := json.Marshal(strings.ToValidUTF8(s, "?"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func anObject(t *rapid.T, label string) string {
	m := rapid.MapOfN(rapid.StringMatching(`[a-z]{1,3}`), rapid.OneOf(rapid.Just(`1.50`), rapid.Just(`"\u00e9<"`), rapid.Just(`[1,{"b":null}]`), rapid.Just(`true`)), 0, 3).Draw(t, label)
	o := &out{}
	o.open('{')
	for _, k := range []string{"a", "b", "c"} {
		if v, ok := m[k]; ok {
			o.key(k).raw(v)
		}
	}
	for k, v := range m {
		if len(k) > 1 {
			o.key(k).raw(v)
		}
	}
	o.shut('}')
	return string(o.b)
}

// aRequest generates one that all three dialects can say.
func aRequest(t *rapid.T) *request {
	maybe := func(label string, s string) string {
		if rapid.Bool().Draw(t, label) {
			return s
		}
		return ""
	}
	r := &request{
		maxTokens: strconv.Itoa(rapid.IntRange(1, 9999).Draw(t, "max")), temperature: maybe("temp", "0.70"), topP: maybe("topP", "0.9"),
		stream: rapid.Bool().Draw(t, "stream"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "systems") {
		r.system = append(r.system, block{text: lit(t, "system")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "stops") {
		r.stops = append(r.stops, lit(t, "stop"))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "tools") {
		r.tools = append(r.tools, tool{name: "f" + strconv.Itoa(i), description: maybe("description", lit(t, "words")), schema: `{"type":"object","x":` + anObject(t, "schema") + `}`})
	}
	if len(r.tools) > 0 {
		r.choice.mode = rapid.SampledFrom([]string{"", "auto", "none", "any", "tool"}).Draw(t, "choice")
		if r.choice.mode == "tool" {
			r.choice.tools = []string{"f0"}
		}
	}
	calls := 0
	for range rapid.IntRange(0, 3).Draw(t, "rounds") {
		r.turns = append(r.turns, turn{blocks: someContent(t)}, turn{assistant: true})
		last := &r.turns[len(r.turns)-1]
		if n := rapid.IntRange(0, 2).Draw(t, "calls"); n > 0 && len(r.tools) > 0 {
			if rapid.Bool().Draw(t, "speaks") {
				last.blocks = append(last.blocks, block{text: lit(t, "words")})
			}
			var results []block
			for range n {
				id := "call_" + strconv.Itoa(calls)
				calls++
				last.blocks = append(last.blocks, block{kind: call, id: id, tool: "f0", input: anObject(t, "args")})
				results = append(results, block{kind: result, id: id, content: []block{{text: lit(t, "result")}}})
			}
			r.turns = append(r.turns, turn{blocks: results}, turn{assistant: true, blocks: []block{{text: lit(t, "words")}}})
		} else {
			last.blocks = []block{{text: lit(t, "words")}}
		}
	}
	r.turns = append(r.turns, turn{blocks: someContent(t)})
	return r
}

func someContent(t *rapid.T) (blocks []block) {
	for range rapid.IntRange(1, 3).Draw(t, "parts") {
		switch rapid.IntRange(0, 3).Draw(t, "part") {
		case 0:
			blocks = append(blocks, block{kind: media, mime: "image/png", data: "QUJD"})
		default:
			blocks = append(blocks, block{text: lit(t, "text")})
		}
	}
	return blocks
}

// Whatever one dialect says comes back the same from each of the others.
func TestARequestSurvivesTheWayThereAndBack(t *testing.T) {
	names := []string{openai, anthropic, gemini}
	rapid.Check(t, func(t *rapid.T) {
		want := aRequest(t)
		at, via := rapid.SampledFrom(names).Draw(t, "at"), rapid.SampledFrom(names).Draw(t, "via")
		first, err := vendors[at].write(want, Target{Dialect: at, Model: "m"})
		if err != nil {
			t.Fatalf("it cannot be said in %s: %v", at, err)
		}
		there, err := Request(Ask{at, first.Path, first.Query, first.Body}, Target{Dialect: via, Model: "m"})
		if err != nil {
			t.Fatalf("%s to %s: %v\n%s", at, via, err, first.Body)
		}
		back, err := Request(Ask{via, there.Path, there.Query, there.Body}, Target{Dialect: at, Model: "m"})
		if err != nil {
			t.Fatalf("%s back to %s: %v\n%s", via, at, err, there.Body)
		}
		if back.Path != first.Path || back.Query != first.Query || string(back.Body) != string(first.Body) {
			t.Fatalf("via %s\n%s\nbecame\n%s\nand then\n%s", via, first.Body, there.Body, back.Body)
		}
		if gates, err := Check(Ask{at, first.Path, first.Query, first.Body}, via); gates != vendors[via].gate {
			t.Fatalf("the check refuses what can be said: %v", err)
		}
	})
}

// anAnswer generates one, and how its texts and arguments come in pieces.
func anAnswer(t *rapid.T) (*answer, [][]string) {
	a := &answer{id: "id-1", model: "m-1", usage: schemas.Usage{InputTokens: 900, CacheReadTokens: rapid.Uint32Range(0, 400).Draw(t, "cached"), OutputTokens: 70}}
	a.usage.ReasoningTokens = rapid.Uint32Range(0, 70).Draw(t, "reasoning")
	var pieces [][]string
	if rapid.Bool().Draw(t, "speaks") {
		var said []string
		for range rapid.IntRange(1, 4).Draw(t, "pieces") {
			said = append(said, lit(t, "piece"))
		}
		pieces = append(pieces, said)
		var whole []block
		for _, s := range said {
			whole = append(whole, block{text: s})
		}
		a.blocks = append(a.blocks, block{text: joined(whole, text)})
	}
	a.stop = rapid.SampledFrom([]string{stopped, atLength, byFilter}).Draw(t, "stop")
	for i := range rapid.IntRange(0, 3).Draw(t, "calls") {
		b := block{kind: call, id: "t" + strconv.Itoa(i), tool: "f", input: anObject(t, "args")}
		a.blocks, a.stop = append(a.blocks, b), forTools
		cut := rapid.IntRange(0, len(b.input)).Draw(t, "cut")
		for cut > 0 && cut < len(b.input) && b.input[cut]&0xC0 == 0x80 {
			cut--
		}
		pieces = append(pieces, []string{quote(b.input[:cut]), quote(b.input[cut:])})
	}
	return a, pieces
}

func TestAnAnswerSurvivesTheWayThereAndBack(t *testing.T) {
	names := []string{openai, anthropic, gemini}
	rapid.Check(t, func(t *rapid.T) {
		a, _ := anAnswer(t)
		at, via := rapid.SampledFrom(names).Draw(t, "at"), rapid.SampledFrom(names).Draw(t, "via")
		first := vendors[at].say(a, &Back{})
		there, err := (&Back{From: at, To: via}).Response(first)
		if err != nil {
			t.Fatalf("%s to %s: %v\n%s", at, via, err, first)
		}
		back, err := (&Back{From: via, To: at}).Response(there)
		if err != nil || string(back) != string(first) {
			t.Fatalf("via %s: %v\n%s\nbecame\n%s\nand then\n%s", via, err, first, there, back)
		}
	})
}

// A stream that comes in any pieces says what the whole answer says.
func TestAStreamSaysWhatTheWholeAnswerSays(t *testing.T) {
	names := []string{openai, anthropic, gemini}
	rapid.Check(t, func(t *rapid.T) {
		a, pieces := anAnswer(t)
		from, to := rapid.SampledFrom(names).Draw(t, "from"), rapid.SampledFrom(names).Draw(t, "to")
		raw := streamed(from, a, pieces)
		s, err := (&Back{From: from, To: to, Usage: true}).Stream(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for rest := raw; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "read")
			if got, err = s.Append(got, []byte(rest[:n])); err != nil {
				t.Fatalf("%v\n%s", err, raw)
			}
			rest = rest[n:]
		}
		if got, err = s.Close(got); err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		equal(t, heardIn(t, to, string(got)), wanted(a))
	})
}

func wanted(a *answer) *heard {
	h := &heard{id: a.id, model: a.model, why: a.stop, ended: true, usage: a.usage}
	for _, b := range a.blocks {
		if b.kind == text {
			h.said += gjson.Parse(b.text).Str
		} else {
			h.calls = append(h.calls, block{kind: call, id: b.id, tool: b.tool, input: b.input})
		}
	}
	return h
}

// streamed is an answer as a provider streams it.
func streamed(name string, a *answer, pieces [][]string) string {
	e := &emitter{}
	k := vendors[name].sink(&Back{Usage: true})
	k.(interface{ into(*emitter) }).into(e)
	k.start(a.id, a.model)
	for i, b := range a.blocks {
		if b.kind == call {
			k.call(b.id, b.tool)
		}
		for _, p := range pieces[i] {
			if b.kind == call {
				k.args(p)
			} else {
				k.text(p)
			}
		}
	}
	k.stop(a.stop, "")
	k.end(&a.usage)
	return string(e.dst)
}
