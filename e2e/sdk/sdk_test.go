package sdk

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
)

// clients are the official SDKs, one base_url away from the provider.
type clients struct {
	openai    openai.Client
	anthropic anthropic.Client
}

func newClients(g *gnomon) clients {
	return clients{
		openai: openai.NewClient(openaioption.WithBaseURL("http://"+g.proxy+"/v1"), openaioption.WithAPIKey("sk-test"),
			openaioption.WithMaxRetries(1), openaioption.WithHeader("x-gnomon-feature", "e2e/openai")),
		anthropic: anthropic.NewClient(anthropicoption.WithBaseURL("http://"+g.proxy), anthropicoption.WithAPIKey("sk-ant-test"),
			anthropicoption.WithMaxRetries(1), anthropicoption.WithHeader("x-gnomon-feature", "e2e/anthropic")),
	}
}

func chatParams(tag string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: "gpt-4o", User: openai.String(tag),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage("You are terse."), openai.UserMessage("Say hello, " + tag)},
	}
}

func messageParams(tag string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: "claude-sonnet-4-20250514", MaxTokens: 100, Metadata: anthropic.MetadataParam{UserID: anthropic.String(tag)},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Say hello, " + tag))},
	}
}

// one makes one logical call in the way its tag says: plain, streamed, err
// (fails once; the SDK tries again), slow (streamed, and left in the middle).
func (c clients) one(ctx context.Context, vendor, kind, tag string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	streamed := kind == "stream" || kind == "slow"
	events := 0
	switch {
	case vendor == "openai" && !streamed:
		r, err := c.openai.Chat.Completions.New(ctx, chatParams(tag))
		if err == nil && r.Choices[0].Message.Content != "hello" {
			err = fmt.Errorf("answer %q", r.RawJSON())
		}
		return err
	case vendor == "anthropic" && !streamed:
		r, err := c.anthropic.Messages.New(ctx, messageParams(tag))
		if err == nil && r.Content[0].Text != "hello" {
			err = fmt.Errorf("answer %q", r.RawJSON())
		}
		return err
	case vendor == "openai":
		s := c.openai.Chat.Completions.NewStreaming(ctx, chatParams(tag))
		for s.Next() {
			// The client did not ask for usage and must not see the chunk it did not ask for.
			if len(s.Current().Choices) == 0 || s.Current().JSON.Usage.Valid() {
				return fmt.Errorf("a chunk that a direct call would not have had: %s", s.Current().RawJSON())
			}
			if events++; kind == "slow" && events == 4 {
				cancel()
			}
		}
		return leftOnPurpose(kind, s.Err())
	default:
		s := c.anthropic.Messages.NewStreaming(ctx, messageParams(tag))
		for s.Next() {
			if events++; kind == "slow" && events == 6 {
				cancel()
			}
		}
		return leftOnPurpose(kind, s.Err())
	}
}

func leftOnPurpose(kind string, err error) error {
	if kind == "slow" && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// plan is 1,000 HTTP requests: a call of kind err makes two.
var plan = []struct {
	kind  string
	calls int
}{{"plain", 400}, {"stream", 300}, {"err", 100}, {"slow", 100}}

func TestAThousandRequestsOfTheOfficialSDKsAreAThousandRows(t *testing.T) {
	p := newProvider(t)
	g := newGnomon(t, p.URL)
	c := newClients(g)

	type job struct{ vendor, kind, tag string }
	var jobs []job
	for _, part := range plan {
		for i := range part.calls {
			jobs = append(jobs, job{[]string{"openai", "anthropic"}[i%2], part.kind, part.kind + "-" + strconv.Itoa(i)})
		}
	}
	ch := make(chan job)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for j := range ch {
				if err := c.one(t.Context(), j.vendor, j.kind, j.tag); err != nil {
					t.Errorf("%s %s: %v", j.vendor, j.tag, err)
				}
			}
		})
	}
	for i, j := range jobs {
		if i == len(jobs)/2 {
			t.Logf("engine (pid %d) killed with kill -9", g.killEngine())
		}
		ch <- j
	}
	close(ch)
	wg.Wait()
	if n := p.n.Load(); n != 1000 {
		t.Fatalf("the provider saw %d requests, want 1000", n)
	}
	g.count(1000)
	holdAgainstProvider(t, g, p)

	g.kill9()
	g.start()
	g.count(1000)
	holdAgainstProvider(t, g, p)
	g.complete()
}

// holdAgainstProvider compares every row with what the provider answered.
func holdAgainstProvider(t *testing.T, g *gnomon, p *provider) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[string]bool{}
	errorsSeen := 0
	for _, r := range g.rows(`SELECT response_id, status, usage_source, input_tokens, cache_read_tokens, output_tokens, http_status FROM gnomon.requests FINAL`) {
		id, status, source := r[0], r[1], r[2]
		if status == "provider_error" {
			errorsSeen++
			if r[6] != "429" {
				t.Errorf("an error is recorded with status %s", r[6])
			}
			continue
		}
		a, ok := p.answers[id]
		if !ok || seen[id] {
			t.Errorf("row with response id %q: known to the provider: %v, seen before: %v", id, ok, seen[id])
			continue
		}
		seen[id] = true
		want := []string{strconv.Itoa(a.input), strconv.Itoa(a.cached), strconv.Itoa(a.output)}
		switch {
		case a.kind == "slow":
			// The second record, with the text counted, comes a little later.
			if status != "client_abort" || source != "estimated" && source != "tokenizer" {
				t.Errorf("%s: left in the middle, recorded as %s with usage %s", id, status, source)
			}
		case status != "ok" || source != "provider" || r[3] != want[0] || r[4] != want[1] || r[5] != want[2]:
			t.Errorf("%s: recorded %v, the provider said %v", id, r, want)
		}
	}
	if errorsSeen != 100 || len(seen) != 900 {
		t.Errorf("%d errors and %d answers, want 100 and 900", errorsSeen, len(seen))
	}
}

func TestActivationAndRollbackAreObeyedWithinASecond(t *testing.T) {
	p := newProvider(t)
	g := newGnomon(t, p.URL)
	c := newClients(g)
	ask := func(model string) {
		t.Helper()
		g.until("the proxy sends to "+model, time.Second, func() error {
			r, err := c.openai.Chat.Completions.New(t.Context(), chatParams("plain"))
			if err != nil {
				return err
			}
			if got := lastModel(p); got != model {
				return fmt.Errorf("sent to %s (answer %s)", got, r.ID)
			}
			return nil
		})
	}
	ask("gpt-4o")
	out, err := g.cli("activate", "e2e/openai", "--candidate", "openai/gpt-4o-mini", "--share", "100%", "--reason", "test")
	if err == nil {
		t.Fatalf("activated without a verdict: %s", out)
	}
	out, err = g.cli("activate", "e2e/openai", "--candidate", "openai/gpt-4o-mini", "--share", "100%", "--reason", "test", "--override", "--unseen")
	if err != nil {
		t.Fatalf("activate: %v\n%s", err, out)
	}
	g.until("a treated session is routed", time.Second, func() error {
		for i := range 10 { // 5 % of sessions are control: some of ten are treated
			if _, err := c.openai.Chat.Completions.New(t.Context(), chatParams("plain-"+strconv.Itoa(i))); err != nil {
				return err
			}
			if lastModel(p) == "gpt-4o-mini" {
				return nil
			}
		}
		return errors.New("none of ten sessions was routed")
	})
	if out, err = g.cli("rollback", "e2e/openai", "--reason", "test"); err != nil {
		t.Fatalf("rollback: %v\n%s", err, out)
	}
	for range 10 {
		ask("gpt-4o")
	}
	// The snapshot outlives gnomon and the broker's folder.
	if out, err = g.cli("activate", "e2e/openai", "--candidate", "openai/gpt-4o-mini", "--share", "100%", "--reason", "again", "--override", "--unseen"); err != nil {
		t.Fatalf("activate: %v\n%s", err, out)
	}
	g.kill9()
	g.start()
	routed := 0
	for i := range 20 {
		if _, err := c.openai.Chat.Completions.New(t.Context(), chatParams("plain-"+strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
		if lastModel(p) == "gpt-4o-mini" {
			routed++
		}
	}
	if routed < 12 {
		t.Errorf("after kill -9 and restart %d of 20 sessions are routed", routed)
	}
}
