package sdk

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
)

// A key made with the CLI is all that an SDK needs; revoking it is obeyed within
// a second, survives kill -9, and the key is found nowhere.
func TestAKeyIsMadeUsedAndRevoked(t *testing.T) {
	p := newProvider(t)
	t.Setenv("GNOMON_PROVIDERS__OPENAI__API_KEY", "sk-stored")
	t.Setenv("GNOMON_PROVIDERS__ANTHROPIC__API_KEY", "sk-ant-stored")
	g := newGnomon(t, p.URL)
	out, err := g.cli("keys", "create", "backend", "--feature", "e2e/keys", "--team", "core", "--reason", "test")
	if err != nil {
		t.Fatalf("create: %v\n%s", err, out)
	}
	key, _, _ := strings.Cut(out, "\n")
	if !strings.HasPrefix(key, "gk_") || !strings.Contains(out, "only time") {
		t.Fatalf("create says %s", out)
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(key, "gk_"), "_")
	if out, err = g.cli("keys", "list"); err != nil || !strings.Contains(out, id) || strings.Contains(out, key) {
		t.Errorf("list: %v\n%s", err, out)
	}
	oc := openai.NewClient(openaioption.WithBaseURL("http://"+g.proxy+"/v1"), openaioption.WithAPIKey(key), openaioption.WithMaxRetries(0))
	ac := anthropic.NewClient(anthropicoption.WithBaseURL("http://"+g.proxy), anthropicoption.WithAPIKey(key), anthropicoption.WithMaxRetries(0))
	if r, err := oc.Chat.Completions.New(t.Context(), chatParams("plain")); err != nil || r.Choices[0].Message.Content != "hello" {
		t.Errorf("openai-go: %v %v", err, r)
	}
	if r, err := ac.Messages.New(t.Context(), messageParams("plain")); err != nil || r.Content[0].Text != "hello" {
		t.Errorf("anthropic-sdk-go: %v %v", err, r)
	}
	refused := func() error {
		var oe *openai.Error
		if _, err := oc.Chat.Completions.New(t.Context(), chatParams("plain")); !errors.As(err, &oe) || oe.StatusCode != http.StatusUnauthorized || oe.Code != "revoked_key" {
			return fmt.Errorf("openai-go: %w", err)
		}
		var ae *anthropic.Error
		if _, err := ac.Messages.New(t.Context(), messageParams("plain")); !errors.As(err, &ae) || ae.StatusCode != http.StatusUnauthorized || !strings.Contains(ae.RawJSON(), "authentication_error") {
			return fmt.Errorf("anthropic-sdk-go: %w", err)
		}
		return nil
	}
	if out, err = g.cli("keys", "revoke", id, "--reason", "test"); err != nil {
		t.Fatalf("revoke: %v\n%s", err, out)
	}
	g.until("the revoked key is refused", time.Second, refused)
	g.kill9()
	g.start()
	if err := refused(); err != nil {
		t.Errorf("after kill -9: %v", err)
	}
	g.until("the requests are stored under the key's id", 30*time.Second, func() error {
		got, err := g.sql("SELECT countIf(status = 'ok'), countIf(status = 'refused'), uniqExact(feature, team) FROM gnomon.requests FINAL WHERE key_id = '" + id + "'")
		if err == nil && !strings.HasPrefix(got, "2\t") {
			err = errors.New(got)
		}
		return err
	})
	g.stop()
	secret := strings.TrimPrefix(key, "gk_"+id+"_")
	if err := filepath.Walk(g.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() || filepath.Base(path) == "gnomon" {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil && (strings.Contains(string(raw), secret) || strings.Contains(string(raw), "sk-stored")) {
			t.Errorf("a secret is in %s", path)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
