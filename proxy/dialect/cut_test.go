package dialect

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func cutIn(stream []byte, max int, sizes ...int) []byte {
	c := UsageCut{Max: max}
	var out []byte
	for i := 0; len(stream) > 0; i++ {
		n := min(max1(sizes[i%len(sizes)]), len(stream))
		out = c.Append(out, stream[:n])
		stream = stream[n:]
	}
	return c.Close(out, true)
}

// recorded pairs what a provider sends with usage asked for and without.
var recorded = []struct{ name, with, without string }{
	{"OpenAI",
		"data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hé \\\"usage\\\":null\"}}],\"usage\":null}\n\ndata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\ndata: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
		"data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hé \\\"usage\\\":null\"}}]}\n\ndata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"},
	{"obfuscation behind the usage",
		"data: {\"choices\":[{}],\"usage\":null,\"obfuscation\":\"xyz\"}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1},\"obfuscation\":\"\"}\n\ndata: [DONE]\n\n",
		"data: {\"choices\":[{}],\"obfuscation\":\"xyz\"}\n\ndata: [DONE]\n\n"},
	{"usage first, with spaces",
		"data: {\"usage\": null, \"id\": 1, \"choices\": [{}]}\n\n",
		"data: {\"id\": 1, \"choices\": [{}]}\n\n"},
	{"usage alone", "data: {\"usage\":null}\n\n", "data: {}\n\n"},
	{"usage last, with spaces", "data: { \"id\": 1 , \"usage\" : null }\n\n", "data: { \"id\": 1 }\n\n"},
	{"CRLF", "data: {\"a\":1,\"usage\":null}\r\n\r\ndata: {\"choices\":[],\"usage\":{}}\r\n\r\ndata: [DONE]\r\n\r\n", "data: {\"a\":1}\r\n\r\ndata: [DONE]\r\n\r\n"},
	{"CR alone", "data: {\"a\":1,\"usage\":null}\r\rdata: {\"choices\":[],\"usage\":{}}\r\rdata: [DONE]\r\r", "data: {\"a\":1}\r\rdata: [DONE]\r\r"},
	{"comments stay", ": hello\n\ndata: {\"choices\":[],\"usage\":{}}\n\n: bye\n\n", ": hello\n\n: bye\n\n"},
	{"a filter chunk without choices stays", "data: {\"choices\":[],\"prompt_filter_results\":[],\"usage\":null}\n\n", "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n"},
	{"usage beside choices is the host's own way", "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}\n\n", "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}\n\n"},
	{"an error event stays", "data: {\"error\":{\"message\":\"usage\"}}\n\n", "data: {\"error\":{\"message\":\"usage\"}}\n\n"},
	{"no JSON stays", "data: \"usage\" null\n\ndata: {\"usage\":null\n\n", "data: \"usage\" null\n\ndata: {\"usage\":null\n\n"},
	{"an event that no blank line ends", "data: {\"a\":1,\"usage\":null}", "data: {\"a\":1}"},
	{"a nested usage stays", "data: {\"x\":{\"usage\":null},\"usage\":null}\n\n", "data: {\"x\":{\"usage\":null}}\n\n"},
	{"an empty stream", "", ""},
}

func TestTheClientSeesWhatItWouldHaveSeenWithoutAsking(t *testing.T) {
	for _, tt := range recorded {
		t.Run(tt.name, func(t *testing.T) {
			for at := 0; at <= len(tt.with); at++ { // every split point
				c := UsageCut{}
				out := c.Append(nil, []byte(tt.with[:at]))
				if !strings.HasPrefix(tt.without, string(out)) {
					t.Fatalf("after %d bytes the client has %q, no prefix of the direct stream", at, out)
				}
				out = c.Append(out, []byte(tt.with[at:]))
				if out = c.Close(out, true); string(out) != tt.without {
					t.Fatalf("split at %d: %q, want %q", at, out, tt.without)
				}
			}
			if got := cutIn([]byte(tt.with), 0, 1); string(got) != tt.without {
				t.Errorf("byte by byte: %q", got)
			}
		})
	}
}

func TestAStreamThatBrokeOffLeavesATruePrefix(t *testing.T) {
	for _, tt := range recorded {
		for at := range len(tt.with) {
			c := UsageCut{}
			out := c.Close(c.Append(nil, []byte(tt.with[:at])), false)
			if !strings.HasPrefix(tt.without, string(out)) {
				t.Fatalf("%s, broken off at %d: %q", tt.name, at, out)
			}
		}
	}
}

func TestGeneratedStreamsAreCutExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nl := rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "newline")
		var with, without strings.Builder
		both := func(s string) { with.WriteString(s); without.WriteString(s) }
		for range rapid.IntRange(0, 8).Draw(t, "events") {
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				both(": comment" + nl + nl)
			case 1:
				both("data: [DONE]" + nl + nl)
			case 2:
				with.WriteString(`data: {"choices":[],"usage":{"prompt_tokens":5}}` + nl + nl)
			default:
				text := rapid.SampledFrom([]string{`"é"`, `"a\"usage\":null"`, `"\\"`, `[1,{"usage":null}]`, `{}`}).Draw(t, "value")
				sp := rapid.SampledFrom([]string{"", " "}).Draw(t, "space")
				both(`data: {"choices":[{"delta":` + text + `}]`)
				with.WriteString("," + sp + `"usage":` + sp + "null")
				if rapid.Bool().Draw(t, "more") {
					both("," + sp + `"obfuscation":"x"`)
				}
				both(sp + "}" + nl + nl)
			}
		}
		a, b := rapid.IntRange(1, 40).Draw(t, "a"), rapid.IntRange(1, 40).Draw(t, "b")
		if got := cutIn([]byte(with.String()), 0, a, b); string(got) != without.String() {
			t.Fatalf("with    %q\nwithout %q\ngot     %q", with.String(), without.String(), got)
		}
	})
}

func TestAnEventBeyondTheBoundPassesAsItCame(t *testing.T) {
	long := "data: {\"choices\":[{\"delta\":\"" + strings.Repeat("x", 500) + "\"}],\"usage\":null}\n\n"
	short := "data: {\"a\":1,\"usage\":null}\n\n"
	for _, nl := range []string{"\n", "\r\n", "\r"} {
		l, s := strings.ReplaceAll(long, "\n", nl), strings.ReplaceAll(short, "\n", nl)
		want := l + strings.ReplaceAll("data: {\"a\":1}\n\n", "\n", nl)
		for size := 1; size < 100; size++ {
			if got := cutIn([]byte(l+s), 100, size); string(got) != want {
				t.Fatalf("%q in pieces of %d: %q", nl, size, got)
			}
		}
	}
}

// FuzzUsageCut: what comes out does not depend on the pieces, is no longer than
// what went in, and streams without usage pass as they are.
func FuzzUsageCut(f *testing.F) {
	for _, r := range recorded {
		f.Add([]byte(r.with), uint8(3), uint8(5))
	}
	f.Fuzz(func(t *testing.T, stream []byte, a, b uint8) {
		whole := cutIn(stream, 1<<20, len(stream)+1)
		if parts := cutIn(stream, 1<<20, int(a), int(b)); !bytes.Equal(whole, parts) {
			t.Fatalf("whole %q, in pieces of %d and %d %q", whole, a, b, parts)
		}
		if len(whole) > len(stream) || (!bytes.Contains(stream, usageKey) && !bytes.Equal(whole, stream)) {
			t.Fatalf("%q became %q", stream, whole)
		}
	})
}
