package proxy

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestMain(m *testing.M) {
	if few := os.Getenv(fewDescriptors); few != "" {
		serveWithFew(few)
		return
	}
	goleak.VerifyTestMain(m)
}

const chatBody = `{"model":"gpt-4o","messages":[{"role":"system","content":"You sort support mail."},{"role":"user","content":"Where is my parcel?"}]}`

const chatAnswer = `{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-2024-08-06","service_tier":"default","choices":[{"index":0,"message":{"role":"assistant","content":"On its way."},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100,"prompt_tokens_details":{"cached_tokens":400}}}`

func TestAPlainCallIsForwardedAndRecorded(t *testing.T) {
	r := newRig(t)
	r.up.answers(ok200("application/json", chatAnswer))
	a := ask(t, r.addr, post("/v1/chat/completions", chatBody, "Authorization: Bearer sk-1", "x-gnomon-feature: mail"))
	if a.err != nil || string(a.body) != chatAnswer || a.StatusCode != 200 {
		t.Fatalf("answer %+v", a)
	}
	ev := r.event(1)
	if ev.Status != schemas.StatusOK || ev.Workload != "mail" || ev.InputTokens != 1000 || ev.CacheReadTokens != 400 || ev.OutputTokens != 100 ||
		ev.UsageSource != schemas.UsageProvider || !ev.Cost.Known || ev.RequestModel != "gpt-4o" || ev.ResponseModel != "gpt-4o-2024-08-06" {
		t.Errorf("event %+v", ev)
	}
	if a.Header.Get("x-gnomon-request-id") != ev.RequestID {
		t.Errorf("request id %q, event %q", a.Header.Get("x-gnomon-request-id"), ev.RequestID)
	}
	t.Logf("cost %v baseline %v would %v (%s) session %s overhead %dus", ev.Cost, ev.BaselineCost, ev.WouldCost, ev.WouldRoute, ev.Session, ev.OverheadUS)
}
