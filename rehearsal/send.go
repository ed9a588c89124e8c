package rehearsal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/proxy/translate"
)

// Provider is where a configured provider is and what it is called with.
type Provider struct {
	Name    string
	Dialect string // family: openai, anthropic or gemini; "" is the call's own
	BaseURL string // scheme, host and the path before the provider's own
	APIKey  string // the stored credential; never a client's
}

// HTTPSender sends calls to providers over HTTP with their stored credentials.
type HTTPSender struct {
	providers map[string]Provider
	client    *http.Client
	models    *classifier.Snapshot // what is known of them
	timeout   time.Duration
	pause     func(ctx context.Context, d time.Duration) error
}

const (
	maxReply      = 32 << 20
	maxRetries    = 2 // as the official SDKs do
	maxRetryAfter = 20 * time.Second
	// anthropicVersion is what a call says when the observed header was not kept.
	anthropicVersion = "2023-06-01"
)

// NewHTTPSender returns a sender. timeout bounds each attempt (2 minutes when 0).
func NewHTTPSender(providers []Provider, timeout time.Duration) *HTTPSender {
	if timeout <= 0 {
		timeout = 2 * time.Minute
	}
	s := &HTTPSender{providers: map[string]Provider{}, timeout: timeout, pause: pause,
		models: classifier.NewSnapshot(classifier.Parts{Capabilities: classifier.BuiltinCapabilities()})}
	for _, p := range providers {
		s.providers[p.Name] = p
	}
	// Stored credentials go to configured addresses alone: no redirect is followed.
	s.client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return s
}

// Close ends idle connections.
func (s *HTTPSender) Close() { s.client.CloseIdleConnections() }

// Send makes the call. "Too many requests" and server errors are tried again
// twice, as an SDK would for the application: what remains after that is the
// candidate's failure.
func (s *HTTPSender) Send(ctx context.Context, c Call) (Reply, error) {
	p, ok := s.providers[c.Provider]
	if !ok || p.BaseURL == "" {
		return Reply{}, fmt.Errorf("%w: provider %q is not configured", ErrUnsendable, c.Provider)
	}
	if p.APIKey == "" {
		return Reply{}, fmt.Errorf("%w: no credential is stored for %q", ErrUnsendable, c.Provider)
	}
	said, back, err := s.say(p, c)
	if err != nil {
		return Reply{}, err
	}
	for attempt := 0; ; attempt++ {
		reply, wait, err := s.once(ctx, p, said)
		again := err != nil || reply.HTTPStatus == http.StatusTooManyRequests || reply.HTTPStatus >= 500
		if !again || attempt == maxRetries || ctx.Err() != nil {
			return back(reply), err
		}
		if wait == 0 {
			wait = 500 * time.Millisecond << attempt
		}
		if wait > maxRetryAfter || s.pause(ctx, wait) != nil {
			return back(reply), err
		}
	}
}

// dialects are what providers of a family are told a call in.
var dialects = map[string]string{
	dialect.FamilyOpenAI: dialect.OpenAIChat, dialect.FamilyAnthropic: dialect.AnthropicMessages, dialect.FamilyGemini: dialect.GeminiGenerate,
}

// say puts a call in its provider's dialect, as the proxy would, and tells how
// the reply goes back. A reply that cannot go back stays as it is: it cannot be
// read, which is the candidate's failure, for the proxy could not use it either.
func (s *HTTPSender) say(p Provider, c Call) (Call, func(Reply) Reply, error) {
	if p.Dialect == "" || p.Dialect == dialect.Named(c.Dialect).Family {
		return c, func(r Reply) Reply { return r }, nil
	}
	able, _ := s.models.CapabilityOf(c.Provider + "/" + c.Model)
	to := dialects[p.Dialect]
	said, err := translate.Request(translate.Ask{Dialect: c.Dialect, Path: c.Path, Body: c.Body}, translate.Target{Dialect: to, Model: c.Model, MaxOutput: able.MaxOutput})
	if err != nil {
		return c, nil, fmt.Errorf("%w: %w", ErrUnsendable, err)
	}
	back := translate.Back{From: to, To: c.Dialect, Model: c.Model}
	c.Dialect, c.Path, c.Body = to, said.Path, said.Body
	return c, func(r Reply) Reply {
		if body, err := back.Response(r.Body); err == nil && r.HTTPStatus == http.StatusOK {
			r.Body = body
		}
		return r
	}, nil
}

func (s *HTTPSender) once(ctx context.Context, p Provider, c Call) (Reply, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(p.BaseURL, "/")+c.Path, bytes.NewReader(c.Body))
	if err != nil {
		return Reply{}, 0, fmt.Errorf("%w: %w", ErrUnsendable, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "gnomon-rehearsal")
	switch c.Dialect {
	case dialect.AnthropicMessages:
		req.Header.Set("X-Api-Key", p.APIKey)
		req.Header.Set("Anthropic-Version", anthropicVersion)
	case dialect.GeminiGenerate:
		req.Header.Set("X-Goog-Api-Key", p.APIKey)
	default:
		req.Header.Set("Authorization", "Bearer "+p.APIKey)
	}
	start := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return Reply{Latency: time.Since(start)}, 0, fmt.Errorf("call %s: %w", c.Provider, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	reply := Reply{HTTPStatus: resp.StatusCode, Body: body, Latency: time.Since(start)}
	if err != nil {
		return reply, 0, fmt.Errorf("read the answer of %s: %w", c.Provider, err)
	}
	return reply, retryAfter(resp.Header), nil
}

// retryAfter reads how long the provider asks to wait; 0 when it does not say.
func retryAfter(h http.Header) time.Duration {
	if ms, err := strconv.Atoi(h.Get("Retry-After-Ms")); err == nil && ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	return 0
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
