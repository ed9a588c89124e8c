package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/internal/embedded"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestDeadLettersAreListedShownAndSentAgain(t *testing.T) {
	b, err := embedded.StartBroker(t.Context(), embedded.BrokerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	cfg := pipeline.Config{Brokers: []string{b.Addr()}}
	if err := pipeline.EnsureTopics(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	gnomon := func(want int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if got := run(t.Context(), append(args, "--set", "kafka.listen="+b.Addr()), &out, &errs); got != want {
			t.Fatalf("gnomon %v: status %d, not %d: %s%s", args, got, want, &out, &errs)
		}
		return out.String() + errs.String()
	}
	if said := gnomon(exitDone, "dlq", "list"); said != "No dead letters.\n" {
		t.Errorf("%q", said)
	}
	pub, err := pipeline.NewPublisher(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	letter := pipeline.Message{Key: []byte("k"), Value: []byte("{broken"), Headers: []pipeline.Header{
		{Key: "dlq-reason", Value: []byte("not JSON: \x1b[31mred")}, {Key: "dlq-topic", Value: []byte(schemas.TopicRequests)}, {Key: "dlq-partition", Value: []byte("2")}, {Key: "dlq-offset", Value: []byte("7")},
	}}
	if err := pub.Publish(t.Context(), schemas.TopicRequests+schemas.DLQSuffix, letter); err != nil {
		t.Fatal(err)
	}
	const id = "gnomon.requests.v1:0:0"
	if said := gnomon(exitDone, "dlq", "list", "--topic", "requests"); !strings.Contains(said, id) || !strings.Contains(said, "not JSON") || strings.Contains(said, "\x1b") {
		t.Errorf("%q", said)
	}
	var shown struct{ Value, From, Reason string }
	if err := json.Unmarshal([]byte(gnomon(exitDone, "dlq", "show", id, "--json")), &shown); err != nil || shown.Value != "{broken" || shown.From != "2:7" {
		t.Errorf("%+v, %v", shown, err)
	}
	mended := filepath.Join(t.TempDir(), "mended.json")
	if err := os.WriteFile(mended, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	gnomon(exitDone, "dlq", "retry", id, "--value", mended)
	if said := gnomon(exitDone, "dlq", "list"); said != "No dead letters.\n" {
		t.Errorf("after the retry: %q", said)
	}
	if said := gnomon(exitDone, "dlq", "list", "--all"); !strings.Contains(said, "sent again") {
		t.Errorf("%q", said)
	}
	for _, wrong := range [][]string{{"dlq", "retry"}, {"dlq", "retry", id, "--all"}, {"dlq", "list", "--topic", "nothing"}} {
		if said := gnomon(exitUsage, wrong...); !strings.Contains(said, "want") && !strings.Contains(said, "give one") {
			t.Errorf("%v: %q", wrong, said)
		}
	}
	gnomon(exitError, "dlq", "show", "gnomon.requests.v1:0:99")
}
