package proxy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/gnomon-llm/gnomon/schemas"
)

var update = flag.Bool("update", false, "write the events of testdata anew")

// golden is what of an event does not change from run to run, nor with the
// price book.
type golden struct {
	Status           schemas.Status
	Dialect          string
	Operation        string
	Provider         string
	RequestModel     string
	ResponseModel    string
	ResponseID       string
	ServiceTier      string
	Workload         string
	Stream           bool
	HTTPStatus       uint16
	ErrorType        string
	FinishReason     string
	Usage            schemas.Usage
	UsageSource      schemas.UsageSource
	Priced           bool
	BaselineReject   string
	WouldBeElsewhere bool
}

// TestRecordedAnswersGiveTheirEvents walks testdata: a call, the request's body,
// the provider's answer, what the client must see (when it is not the answer),
// and the event.
func TestRecordedAnswersGiveTheirEvents(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	r := newRig(t, func(c *Config, _ *parts) {
		c.Providers = append(c.Providers, Provider{Name: "gemini", Dialect: "gemini", BaseURL: c.Providers[0].BaseURL})
	})
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
			var method, path, contentType string
			var status int
			if _, err := fmt.Sscanf(sections["call"], "%s %s\n%d %s", &method, &path, &status, &contentType); err != nil {
				t.Fatal(err)
			}
			stream := contentType == "text/event-stream"
			trim := func(s string) string {
				if stream {
					return s
				}
				return strings.TrimSuffix(s, "\n")
			}
			reply, want := trim(sections["answer"]), trim(sections["answer"])
			if client, ok := sections["client"]; ok {
				want = trim(client)
			}
			raw := fmt.Sprintf("HTTP/1.1 %d X\r\nDate: Fri, 20 Nov 2026 10:00:00 GMT\r\nContent-Type: %s\r\n", status, contentType)
			if stream {
				r.up.answers(raw + "Transfer-Encoding: chunked\r\n\r\n" + chunks(strings.SplitAfter(reply, "\n\n")...)) // the last piece is empty: the terminator
			} else {
				r.up.answers(raw + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(reply), reply))
			}
			prefix := ""
			if strings.HasPrefix(filepath.Base(file), "gemini") {
				prefix = "/gemini"
			}
			body := strings.TrimSuffix(sections["request"], "\n")
			got := ask(t, r.addr, post(prefix+path, body, "Authorization: Bearer sk-1"))
			if got.err != nil || got.StatusCode != status || string(got.body) != want {
				t.Errorf("the client saw %d %q (%v)\nwant %d %q", got.StatusCode, got.body, got.err, status, want)
			}
			checkGolden(t, file, a, r.event(i+1))
		})
	}
}

func checkGolden(t *testing.T, file string, a *txtar.Archive, ev schemas.RequestEvent) {
	t.Helper()
	out, err := json.MarshalIndent(golden{
		ev.Status, ev.Dialect, ev.Operation, ev.Provider, ev.RequestModel, ev.ResponseModel, ev.ResponseID, ev.ServiceTier, ev.Workload, ev.Stream,
		ev.HTTPStatus, ev.ErrorType, ev.FinishReason, ev.Usage, ev.UsageSource, ev.Cost.Known, ev.BaselineReject.Code(),
		ev.WouldRoute != ev.Provider+"/"+ev.RequestModel,
	}, "", "  ")
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
	if !bytes.Equal(last.Data, out) {
		t.Errorf("the event differs (go test -update writes it anew):\n%s\nwant\n%s", out, last.Data)
	}
}
