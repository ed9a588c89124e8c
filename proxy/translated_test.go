package proxy

import (
	"io"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

const (
	haiku     = "anthropic/claude-haiku-4-5"
	mini      = "openai/gpt-4o-mini"
	opusBody  = `{"model":"claude-opus-4-5","max_tokens":50,"system":"You sort support mail.","messages":[{"role":"user","content":"Where is my parcel?"}]}`
	haikuSays = `{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"text","text":"On its way."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":600,"cache_read_input_tokens":400,"cache_creation_input_tokens":0,"output_tokens":100}}`
)

var haikuStream = []string{
	"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-haiku-4-5-20251001\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":600,\"cache_read_input_tokens\":400,\"output_tokens\":1}}}\n\n",
	"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
	"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"On its way.\"}}\n\n",
	"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":100}}\n\n",
	"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
}

// bilingual is a project whose policy routes to a candidate in the other
// dialect; both providers have stored credentials.
func bilingual(candidate string) option {
	return func(c *Config, p *parts) {
		for i := range c.Providers {
			c.Providers[i].APIKey = "sk-stored-" + c.Providers[i].Name
		}
		for i := range p.Providers {
			p.Providers[i].Credential = true
		}
		p.Policies = []schemas.Policy{live(candidate)}
	}
}

func byPath(r *rig, answers map[string]string) {
	r.up.handle(func(c *call) {
		_, path, _ := strings.Cut(c.head, " ")
		path, _, _ = strings.Cut(path, " ")
		raw, ok := answers[path]
		if !ok {
			raw = "HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n"
		}
		_, _ = io.WriteString(c, raw)
		if !strings.Contains(raw, "Content-Length") && !strings.HasSuffix(raw, "0\r\n\r\n") {
			c.Close()
		}
	})
}

func mailTo(path, session, body string) string {
	return post(path, body, "x-gnomon-feature: mail", "x-gnomon-session: "+session, "Authorization: Bearer sk-client", "x-api-key: sk-client", "anthropic-beta: some-beta", "Accept-Encoding: gzip")
}

func TestACandidateInAnotherDialectIsAskedInItsOwn(t *testing.T) {
	gptMini := strings.ReplaceAll(chatAnswer, "gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18")
	for _, tt := range []struct {
		name, candidate, path, body, there, answer, auth string
		sent, got                                        string // bodies
		read                                             uint32
	}{
		{"from chat completions to messages", haiku, "/v1/chat/completions", chatBody, "/v1/messages", haikuSays, "X-Api-Key: sk-stored-anthropic",
			`{"model":"claude-haiku-4-5","max_tokens":64000,"system":"You sort support mail.","messages":[{"role":"user","content":"Where is my parcel?"}]}`,
			`"model":"claude-haiku-4-5-20251001","choices":[{"index":0,"message":{"role":"assistant","content":"On its way.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100,"prompt_tokens_details":{"cached_tokens":400,`, 400},
		{"from messages to chat completions", mini, "/v1/messages", opusBody, "/v1/chat/completions", gptMini, "Authorization: Bearer sk-stored-openai",
			`{"model":"gpt-4o-mini","messages":[{"role":"system","content":"You sort support mail."},{"role":"user","content":"Where is my parcel?"}],"max_tokens":50}`,
			`"model":"gpt-4o-mini-2024-07-18","content":[{"type":"text","text":"On its way."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":600,"cache_creation_input_tokens":0,"cache_read_input_tokens":400,"output_tokens":100}}`, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := live(tt.candidate)
			r := newRig(t, bilingual(tt.candidate), func(c *Config, _ *parts) { c.KeepPayload = func(string) bool { return true } })
			byPath(r, map[string]string{tt.there: ok200("application/json", tt.answer, "request-id: req_1", "x-request-id: req_1")})
			a := ask(t, r.addr, mailTo(tt.path, session(t, p, schemas.ArmTreated), tt.body))
			if a.err != nil || a.StatusCode != 200 || a.Header.Get("x-gnomon-route") != tt.candidate || !strings.Contains(string(a.body), tt.got) || a.ContentLength != int64(len(a.body)) {
				t.Errorf("answered %s", seen(a))
			}
			head, body, _ := strings.Cut(r.up.requests()[0], "\r\n\r\n")
			if body != tt.sent || !strings.Contains(head, tt.auth) || strings.Contains(head, "client") || strings.Contains(head, "beta") || !strings.Contains(head, "Accept-Encoding: identity") {
				t.Errorf("the provider got %s\n%s", head, body)
			}
			provider, model, _ := cutRoute(tt.candidate)
			ev := r.event(1)
			if r.mu.Lock(); len(r.payloads) != 0 {
				t.Error("bodies of two dialects were handed over as one exchange")
			}
			r.mu.Unlock()
			if ev.Provider != provider || ev.ServedModel != model || ev.BaselineProvider == "" || ev.Fallback || ev.Status != schemas.StatusOK || ev.InputTokens != 1000 || ev.CacheReadTokens != tt.read || ev.OutputTokens != 100 || ev.UsageSource != schemas.UsageProvider {
				t.Errorf("recorded %+v", ev)
			}
			if !ev.Cost.Known || ev.Cost.Nano >= ev.BaselineCost.Nano || ev.WouldRoute != tt.candidate || ev.WouldCost != ev.Cost {
				t.Errorf("cost %v, baseline %v, would-be %v", ev.Cost, ev.BaselineCost, ev.WouldCost)
			}
		})
	}
}

func TestAStreamOfACandidateInAnotherDialectComesInTheClients(t *testing.T) {
	for _, tt := range []struct {
		name, candidate, path, body, there string
		events, want                       []string
		usage                              bool
	}{
		{"to a client that did not ask for usage", haiku, "/v1/chat/completions", unsaidStream, "/v1/messages", haikuStream, []string{`"delta":{"content":"On its way."}`, `"finish_reason":"stop"`, "data: [DONE]\n\n"}, false},
		{"to one that did", haiku, "/v1/chat/completions", saidStream, "/v1/messages", haikuStream, []string{`"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100,`, "data: [DONE]\n\n"}, true},
		{"to a client of messages", mini, "/v1/messages", strings.Replace(opusBody, `"max_tokens"`, `"stream":true,"max_tokens"`, 1), "/v1/chat/completions", streamEvents, []string{"event: message_start\n", `"text_delta"`, "event: message_stop\n"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := live(tt.candidate)
			r := newRig(t, bilingual(tt.candidate))
			byPath(r, map[string]string{tt.there: chunked("text/event-stream", tt.events)})
			a := ask(t, r.addr, mailTo(tt.path, session(t, p, schemas.ArmTreated), tt.body))
			if a.err != nil || a.StatusCode != 200 || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/event-stream") || strings.Contains(string(a.body), "usage") != tt.usage {
				t.Errorf("answered %s", seen(a))
			}
			for _, want := range tt.want {
				if !strings.Contains(string(a.body), want) {
					t.Errorf("no %s in\n%s", want, a.body)
				}
			}
			if ev := r.event(1); ev.UsageSource != schemas.UsageProvider || ev.OutputTokens == 0 || ev.Status != schemas.StatusOK || ev.TTFTMS == nil || ev.WouldRoute != tt.candidate {
				t.Errorf("recorded %+v", ev)
			}
		})
	}
}

func TestACandidateInAnotherDialectThatFailsIsReplacedBeforeTheFirstByte(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, tt := range []struct{ name, body, raw, why string }{
		{"an error", chatBody, "HTTP/1.1 529 X\r\nContent-Length: 0\r\n\r\n", ""},
		{"a body cut short", chatBody, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(haikuSays[:80]), "died"},
		{"an answer that has no words in the client's dialect", chatBody, ok200("application/json", strings.Replace(haikuSays, `"end_turn"`, `"pause_turn"`, 1)), "untranslatable"},
		{"a login page", chatBody, ok200("text/html", "<html>"), "untranslatable"},
		{"what nobody can read", chatBody, ok200("application/json", packed("gzip", haikuSays), "Content-Encoding: gzip"), "encoded"},
		{"a whole answer to who wanted a stream", unsaidStream, ok200("application/json", haikuSays), "unexpected answer"},
		{"an error as the first event", unsaidStream, head + chunks("event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n") + "0\r\n\r\n", "error event"},
		{"a head and nothing more", unsaidStream, head, "died"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := live(haiku)
			r := newRig(t, bilingual(haiku))
			byPath(r, map[string]string{"/v1/messages": tt.raw, "/v1/chat/completions": ok200("application/json", chatAnswer)})
			a := ask(t, r.addr, mailTo("/v1/chat/completions", session(t, p, schemas.ArmTreated), tt.body))
			if a.err != nil || a.StatusCode != 200 || string(a.body) != chatAnswer || a.Header.Get("x-gnomon-route") != "" {
				t.Errorf("answered %s", seen(a))
			}
			ev := r.event(1)
			if !ev.Fallback || ev.Provider != "openai" || ev.ServedModel != "gpt-4o" || ev.WouldRoute != haiku || ev.InputTokens != 1000 || ev.ResponseBytes != uint32(len(chatAnswer)) {
				t.Errorf("recorded %+v", ev)
			}
			if !strings.Contains(r.up.requests()[1], "Authorization: Bearer sk-client") {
				t.Error("the baseline did not get the client's own credential")
			}
		})
	}
}

func TestATranslatedStreamThatDiesSaysSoAndIsAborted(t *testing.T) {
	// More than is looked at before the first byte goes out.
	begun := strings.Join(haikuStream[:3], "") + strings.Replace(haikuStream[2], "On its way.", strings.Repeat("x", 5000), 1)
	for _, tt := range []struct {
		name, raw, errorType string
		status               schemas.Status
	}{
		{"the provider closes", chunks(begun), "upstream_closed", schemas.StatusTruncated},
		{"the provider ends it early, cleanly", chunks(begun) + "0\r\n\r\n", "upstream_closed", schemas.StatusTruncated},
		{"the provider says so", chunks(begun, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}\n\n") + "0\r\n\r\n", "overloaded_error", schemas.StatusProviderError},
		{"the provider says what has no words", chunks(begun, "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"server_tool_use\"}}\n\n") + "0\r\n\r\n", "untranslatable", schemas.StatusProviderError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := live(haiku)
			r := newRig(t, bilingual(haiku))
			byPath(r, map[string]string{"/v1/messages": "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + tt.raw})
			a := ask(t, r.addr, mailTo("/v1/chat/completions", session(t, p, schemas.ArmTreated), unsaidStream))
			if a.err == nil || !strings.Contains(string(a.body), "On its way.") || !strings.Contains(string(a.body), `data: {"error":`) || strings.Contains(string(a.body), "[DONE]") {
				t.Errorf("answered %s", seen(a))
			}
			if ev := r.event(1); ev.Status != tt.status || ev.ErrorType != tt.errorType || ev.Fallback || ev.ServedModel != "claude-haiku-4-5" || !ev.Cost.Known {
				t.Errorf("recorded %s %q %s, %v", ev.Status, ev.ErrorType, ev.ServedModel, ev.Cost)
			}
		})
	}
}

func TestTheWouldBeRouteCrossesDialectsWhileObserving(t *testing.T) {
	observing := func(_ *Config, p *parts) {
		p.Providers[1].Credential = true
		p.Ladders = []classifier.Ladder{{Baseline: "openai/gpt-4o", Candidates: []string{haiku, mini}}}
	}
	with := func(member string) string {
		return strings.Replace(chatBody, `{"model"`, `{`+member+`,"model"`, 1)
	}
	for _, tt := range []struct {
		name, body, route string
		reject            schemas.Reject
		counted           float64
	}{
		{"what can be said there goes there", chatBody, haiku, schemas.RejectNone, 0},
		{"a setting that only the baseline's dialect has", with(`"logit_bias":{"50256":-100}`), mini, schemas.RejectDialect, 1},
		{"a setting that nobody knows yet", with(`"new_setting":1`), mini, schemas.RejectDialect, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, observing)
			r.up.answers(ok200("application/json", strings.Replace(strings.Replace(chatAnswer, `"prompt_tokens":1000`, `"prompt_tokens":10000`, 1), `"cached_tokens":400`, `"cached_tokens":9000`, 1)))
			ask(t, r.addr, post("/v1/chat/completions", tt.body, "Authorization: Bearer sk-client"))
			if got := r.up.requests(); len(got) != 1 || !strings.HasSuffix(got[0], tt.body) {
				t.Errorf("the provider got %q", got)
			}
			ev := r.event(1)
			if ev.WouldRoute != tt.route || len(ev.Rejects) != 2 || ev.Rejects[0] != tt.reject || !ev.WouldCost.Known || ev.ServedModel != "gpt-4o" {
				t.Errorf("would-be %s, rejects %v, %v", ev.WouldRoute, ev.Rejects, ev.WouldCost)
			}
			if n := metric(t, r, "gnomon_untranslatable_total"); n != tt.counted {
				t.Errorf("counted %v", n)
			}
			// Most of the prompt is read from a cache that the other would not have, and
			// was not asked to write.
			if tt.route == haiku && ev.WouldCost.Nano != schemas.NanoUSD(10_000*1000+100*5000) {
				t.Errorf("would cost %v", ev.WouldCost)
			}
		})
	}
}

// OpenAI bills no writes to its cache, and keeps nothing of a prompt it never saw.
func TestTheWouldBeCostIsThatOfTheOtherDialectsCache(t *testing.T) {
	r := newRig(t, func(_ *Config, p *parts) {
		p.Providers[0].Credential = true
		p.Ladders = []classifier.Ladder{{Baseline: "anthropic/claude-opus-4-5", Candidates: []string{mini}}}
	})
	r.up.answers(ok200("application/json", strings.Replace(haikuSays, `"input_tokens":600,"cache_read_input_tokens":400,"cache_creation_input_tokens":0`, `"input_tokens":1000,"cache_read_input_tokens":4000,"cache_creation_input_tokens":5000`, 1)))
	ask(t, r.addr, post("/v1/messages", opusBody, "x-api-key: sk-client"))
	ev := r.event(1)
	if want := schemas.NanoUSD(10_000*150 + 100*600); ev.WouldRoute != mini || ev.WouldCost.Nano != want || ev.CacheWriteTokens != 5000 {
		t.Errorf("%s would cost %v, want %v", ev.WouldRoute, ev.WouldCost, want)
	}
}
