package proxy

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// fact is what is checked of an event: what was understood and what it cost.
type fact struct {
	Status         schemas.Status
	Dialect        string
	Provider       string
	RequestModel   string          `json:",omitempty"`
	ResponseModel  string          `json:",omitempty"`
	ServiceTier    string          `json:",omitempty"`
	Stream         bool            `json:",omitempty"`
	HTTPStatus     uint16          `json:",omitempty"`
	ErrorType      string          `json:",omitempty"`
	FinishReason   string          `json:",omitempty"`
	Usage          map[string]any  `json:",omitempty"`
	UsageSource    string          //
	Cost           string          // "unpriced" where nobody knows
	ListCost       string          `json:",omitempty"` // where it differs
	Retry          uint8           `json:",omitempty"`
	Notes          json.RawMessage `json:",omitempty"`
	BaselineReject string          `json:",omitempty"`
	Sizes          string          // bytes of request and answer
}

// factPrices are round, so that a cost can be checked by eye: a million tokens
// of input 1 $, read from the cache 10 ¢, written 1.25 $ and 2 $ (an hour),
// output 10 $, audio 20 $ and 40 $; twice that for prompts above 200,000 tokens;
// batch half, priority double.
func factPrices(t *testing.T) *savings.Book {
	rate := func(cents int64, times float64) schemas.OptUSD {
		return schemas.KnownUSD(schemas.NanoUSD(float64(cents*1e7) * times))
	}
	var own []savings.Entry
	for _, m := range []string{"openai/gpt-4o", "openai/gpt-4o-audio", "openai/text-embedding-3-small", "openai/gpt-3.5-turbo-instruct", "anthropic/claude-sonnet-4", "kimi/kimi-k2",
		"gemini/gemini-2.5-pro", "vertex/gemini-2.5-pro", "vertex/claude-sonnet-4@20250514", "azure/gpt-4o-2024-08-06", "portkey/gpt-4o", "groq/llama-3.3-70b", "deepseek/deepseek-chat",
		"mistral/mistral-small", "together/llama-4", "xai/grok-4", "bedrock/anthropic.claude-sonnet-4-v1:0", "bedrock/amazon.nova-lite-v1:0"} {
		provider, model, _ := strings.Cut(m, "/")
		for _, tier := range []struct {
			name  string
			times float64
		}{{"", 1}, {"batch", .5}, {"flex", .5}, {"priority", 2}, {"fast", 6}} {
			for _, above := range []struct {
				n     uint32
				times float64
			}{{0, tier.times}, {200_000, 2 * tier.times}} {
				x := above.times
				own = append(own, savings.Entry{Provider: provider, Model: model, Tier: tier.name, Above: above.n, Rates: savings.Rates{
					Input: rate(100, x), CacheRead: rate(10, x), CacheWrite: rate(125, x), CacheWrite1h: rate(200, x), Output: rate(1000, x), AudioInput: rate(2000, x), AudioOutput: rate(4000, x),
				}})
			}
		}
	}
	book, err := testBook(t).With(own...)
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// factRig is a proxy with a row for each host of the facts, each one line of
// configuration.
func factRig(t *testing.T) *rig {
	return newRig(t, func(c *Config, p *parts) {
		base := c.Providers[0].BaseURL
		for name, family := range map[string]string{"gemini": "gemini", "vertex": "gemini", "azure": "openai", "openrouter": "openai", "xai": "openai", "groq": "openai", "deepseek": "openai",
			"mistral": "openai", "together": "openai", "vllm": "openai", "ollama": "openai", "portkey": "openai", "litellm": "openai", "kimi": "anthropic", "bedrock": "anthropic"} {
			c.Providers = append(c.Providers, Provider{Name: name, Dialect: family, BaseURL: base})
		}
		c.Now = func() time.Time { return time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC) }
		p.Prices = factPrices(t)
	})
}

// TestEachFactOfAProvidersAPIIsRecorded walks testdata/facts: a call, the
// request's body, the answer, and what is recorded of them. The first line of a
// file is its fact. The client must see the answer, byte for byte, or what the
// section client holds.
func TestEachFactOfAProvidersAPIIsRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/facts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	r := factRig(t)
	for i, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sections := map[string]string{}
			for _, f := range a.Files {
				sections[f.Name] = string(f.Data)
			}
			request, raw, want := recorded(t, sections)
			r.up.answers(raw)
			got := ask(t, r.addr, request)
			if got.err != nil || string(got.body) != want {
				t.Errorf("the client saw %d %q (%v)\nwant %q", got.StatusCode, got.body, got.err, want)
			}
			checkFact(t, file, a, r.event(i+1))
		})
	}
}

// recorded makes the request, the provider's raw answer, and the body that the
// client must see, of a file's sections.
func recorded(t *testing.T, sections map[string]string) (request, raw, want string) {
	t.Helper()
	var method, path, contentType string
	var status int
	if _, err := fmt.Sscanf(sections["call"], "%s %s\n%d %s", &method, &path, &status, &contentType); err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("HTTP/1.1 %d X\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: %s\r\n", status, contentType)
	var pieces []string
	switch reply := sections["answer"]; contentType {
	case "text/event-stream":
		pieces = strings.SplitAfter(reply, "\n\n")
		pieces = slices.DeleteFunc(pieces, func(s string) bool { return s == "" })
	case "application/vnd.amazon.eventstream":
		for _, line := range strings.Split(strings.TrimSuffix(reply, "\n"), "\n") {
			event, payload, _ := strings.Cut(line, " ")
			pieces = append(pieces, frame(event, payload))
		}
	default:
		pieces = []string{strings.TrimSuffix(reply, "\n")}
	}
	want = strings.Join(pieces, "")
	if len(pieces) == 1 {
		raw = head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(want), want)
	} else {
		raw = head + "Transfer-Encoding: chunked\r\n\r\n" + chunks(pieces...) + "0\r\n\r\n"
	}
	if client, ok := sections["client"]; ok {
		want = client
	}
	headers := []string{"Authorization: Bearer sk-1"}
	if h := strings.TrimSpace(sections["headers"]); h != "" {
		headers = append(headers, strings.Split(h, "\n")...)
	}
	request = post(path, strings.TrimSuffix(sections["request"], "\n"), headers...)
	return method + strings.TrimPrefix(request, "POST"), raw, want
}

// frame is one message of an application/vnd.amazon.eventstream.
func frame(event, payload string) string {
	name := ":event-type"
	if strings.HasSuffix(event, "Exception") {
		name = ":exception-type"
	}
	headers := append([]byte{byte(len(name))}, name...)
	headers = append(headers, 7)
	headers = binary.BigEndian.AppendUint16(headers, uint16(len(event)))
	headers = append(headers, event...)
	b := binary.BigEndian.AppendUint32(nil, uint32(12+len(headers)+len(payload)+4))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(append(b, headers...), payload...)
	return string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
}

func checkFact(t *testing.T, file string, a *txtar.Archive, ev schemas.RequestEvent) {
	t.Helper()
	got := fact{
		Status: ev.Status, Dialect: ev.Dialect, Provider: ev.Provider, RequestModel: ev.RequestModel, ResponseModel: ev.ResponseModel, ServiceTier: ev.ServiceTier, Stream: ev.Stream,
		HTTPStatus: ev.HTTPStatus, ErrorType: ev.ErrorType, FinishReason: ev.FinishReason, UsageSource: string(ev.UsageSource), Cost: ev.Cost.String(), Retry: ev.ClientRetry,
		Sizes: fmt.Sprintf("%d out, %d back", ev.RequestBytes, ev.ResponseBytes),
	}
	if ev.BaselineReject != schemas.RejectNone && ev.BaselineReject != schemas.RejectNoLadder {
		got.BaselineReject = ev.BaselineReject.Code()
	}
	if ev.ListCost != ev.Cost {
		got.ListCost = ev.ListCost.String()
	}
	if ev.Extra != "" {
		got.Notes = json.RawMessage(ev.Extra)
	}
	if err := json.Unmarshal([]byte(jsonOf(t, ev.Usage)), &got.Usage); err != nil {
		t.Fatal(err)
	}
	for name, n := range got.Usage {
		if n == 0.0 {
			delete(got.Usage, name)
		}
	}
	out, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	out = append(out, '\n')
	last := &a.Files[len(a.Files)-1]
	if *update {
		last.Data = out
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if last.Name != "event" || !bytes.Equal(last.Data, out) {
		t.Errorf("the event differs (go test -update writes it anew):\n%s\nwant\n%s", out, last.Data)
	}
}
