package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/tokens"
)

// Streams that broke off, among whole ones, from the proxy over spool, broker and
// ingest: one row each in the end, counted, and every account as exact as before.
func TestABrokenOffStreamIsOneRowWithItsTextCounted(t *testing.T) {
	const text = "The customer asks why the invoice of last month was charged twice: 42,00 € for »客户«."
	want, err := tokens.O200K.Count([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", text)
		w.(http.Flusher).Flush()
		if strings.Contains(string(body), "break") {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, "data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n")
	}))
	defer provider.Close()
	n := testNode(t, func(c *config.Config) {
		p := c.Providers["openai"]
		p.BaseURL = provider.URL
		c.Providers["openai"] = p
	})
	const each = 40
	for i := range 2 * each {
		say := []string{"break", "go on"}[i%2]
		resp, err := http.Post("http://"+n.proxyLn.Addr().String()+"/v1/chat/completions", "application/json",
			strings.NewReader(`{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"`+say+`"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		_, broken := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if (broken != nil) != (say == "break") {
			t.Fatalf("%s: %v", say, broken)
		}
	}
	ask := func(sql string) uint64 { return count(t, n.reader.Load(), sql) }
	until(t, "the broken ones are counted", func() bool {
		return ask("SELECT count() FROM gnomon.requests FINAL WHERE usage_source = 'tokenizer'") == each
	})
	until(t, "all is accounted for", func() bool {
		return ask("SELECT sum(stored) FROM gnomon.completeness") == 2*each && ask("SELECT toUInt64(sum(accepted)) FROM gnomon.completeness") == 2*each
	})
	for what, row := range map[string]struct {
		sql  string
		want uint64
	}{
		"rows":                               {"SELECT count() FROM gnomon.requests FINAL", 2 * each},
		"requests":                           {"SELECT uniqExact(request_id) FROM gnomon.requests", 2 * each},
		"sequences":                          {"SELECT uniqExact(boot_id, seq) FROM gnomon.requests", 2 * each},
		"broken rows with the text's tokens": {fmt.Sprintf("SELECT count() FROM gnomon.requests FINAL WHERE status = 'truncated' AND revision = 2 AND output_tokens = %d AND cost > 0", want), each},
		"whole rows as the provider said":    {"SELECT count() FROM gnomon.requests FINAL WHERE status = 'ok' AND revision = 1 AND usage_source = 'provider' AND output_tokens = 3", each},
		"declared":                           {"SELECT toUInt64(sum(declared)) FROM gnomon.completeness", 0},
		"difference":                         {"SELECT toUInt64(sum(abs(difference))) FROM gnomon.completeness", 0},
		"estimated requests of the rollup":   {"SELECT sum(estimated_requests) FROM gnomon.spend_daily", each},
		"requests of the rollup":             {"SELECT sum(requests) FROM gnomon.spend_daily", 2 * each},
		"hours that are not their rows' sum": {"SELECT count() FROM gnomon.rollup_differences", 0},
		"dead letters":                       {"SELECT count() FROM gnomon.declared", 0},
	} {
		if got := ask(row.sql); got != row.want {
			t.Errorf("%s: %d, want %d", what, got, row.want)
		}
	}
	until(t, "the spool is settled", func() bool { return n.spool.Settled() })
}
