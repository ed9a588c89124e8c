package main

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/internal/config"
)

func TestALadderThatNoRequestCanTakeIsNamedWithItsMend(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gnomon.yaml")
	for _, tt := range []struct {
		name, yaml string
		code       int
		says, not  string
	}{
		{"a candidate without a price", "ladders: [{baseline: openai/gpt-4o, candidates: [openai/gpt-99, openai/gpt-4o-mini]}]\n", exitDone, "ladders.0: openai/gpt-99 has no price, so it can never be chosen; give it one under prices", "gpt-4o-mini has"},
		{"a baseline without a price", "ladders: [{baseline: openai/gpt-99, candidates: [openai/gpt-4o-mini]}]\n", exitDone, "none of its requests can be routed", "in order"},
		{"a candidate with a price of one's own", "ladders: [{baseline: openai/gpt-4o, candidates: [openai/gpt-99]}]\nprices: [{provider: openai, model: gpt-99, input: 1, output: 2}]\n", exitDone, "is in order", "note"},
		{"a provider that is not configured", "ladders: [{baseline: openai/gpt-4o, candidates: [groq/llama]}]\n", exitError, "add providers.groq", "in order"},
		{"a list of prices that is none", "providers: {azure: {dialect: openai, base_url: \"https://x.example\", price_list: nobodys}}\n", exitError, "providers.azure.price_list", "in order"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tt.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := call(t, "config", "check", "--config", file)
			if code != tt.code || !strings.Contains(out+errs, tt.says) || strings.Contains(out+errs, tt.not) {
				t.Errorf("status %d, %s%s", code, out, errs)
			}
		})
	}
}

func TestFaultsOfPricesAndWeightsAreToldWithAllOthers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gnomon.yaml")
	yaml := `project: Acme
adm: 1
classifier: {weights: /nowhere/weights.bin}
providers:
  azure: {dialect: openai, base_url: "https://x.example", price_list: nobodys}
  groq: {dialect: openai, base_url: "https://y.example", price_list: noones}
prices:
  - {provider: openai, model: gpt-99, input: 0.12345678912, output: 2}
  - {provider: nobody, model: gpt-99, input: 1, output: 2}
`
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"config check", "serve", "doctor"} {
		code, out, errs := call(t, append(strings.Fields(command), "--config", file)...)
		if code != exitError {
			t.Errorf("%s: status %d", command, code)
		}
		for _, want := range []string{":1: project: ", `:2: unknown key "adm"`, ":3: classifier.weights: ", ":5: providers.azure.price_list: ", ":6: providers.groq.price_list: ", ":8: prices.0: 0.12345678912", ":9: prices.1.provider: "} {
			if strings.Count(out+errs, want) != 1 {
				t.Errorf("%s says %q %d times: %s", command, want, strings.Count(out+errs, want), out+errs)
			}
		}
	}
}

func TestTheDoctorSaysWhatItSpeaksOf(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/status" && r.URL.Query().Get("project") == "" {
			_, _ = w.Write([]byte(`{"project":"acme","simulated":true}`))
			return
		}
		_, _ = w.Write([]byte("{}"))
	}))
	defer srv.Close()
	for _, tt := range []struct {
		name, project string
		other         bool
	}{{"beside a gnomon of another project", "mine", true}, {"without a project, beside one that has one", "default", true}, {"beside its own", "acme", false}} {
		_, out, _ := call(t, "doctor", "--project", tt.project, "--set", "admin.addr="+strings.TrimPrefix(srv.URL, "http://"), "--set", "kafka.listen=127.0.0.1:1", "--set", "clickhouse.listen=127.0.0.1:2", "--set", "data_dir="+t.TempDir())
		if !strings.Contains(out, "project "+tt.project) || strings.Contains(out, "it is project acme, SIMULATED") != tt.other {
			t.Errorf("%s: %s", tt.name, out)
		}
	}
}

func TestPortsThatAreTakenAreAllNamedAtOnceBeforeAnythingStarts(t *testing.T) {
	var taken []string
	for range 3 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		taken = append(taken, ln.Addr().String())
	}
	c := config.Default()
	c.DataDir = t.TempDir()
	c.Proxy.Addr, c.Admin.Addr, c.Kafka.Listen, c.ClickHouse.Listen = "127.0.0.1:0", taken[0], taken[1], taken[2]
	n, err := newNode(&c, roles{true, true, true, true, true}, logger(os.Stderr, c.Log), nodeOptions{portPatience: time.Millisecond})
	if err == nil {
		_ = n.close()
		t.Fatal("it started")
	}
	for _, want := range []string{"admin.addr: port " + taken[0], "kafka.listen: port " + taken[1], "clickhouse.listen: port " + taken[2]} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "proxy.addr") {
		t.Errorf("%q names a port that is free", err)
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, "spool")); err == nil {
		t.Error("the data plane was opened before the ports were looked at")
	}
	same := []port{{key: "kafka.listen", addr: freePort(t)}}
	same = append(same, port{key: "clickhouse.listen", addr: same[0].addr})
	if err := listenAll(same, time.Millisecond, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "clickhouse.listen") {
		t.Errorf("one port for two: %v", err)
	}
}

func TestAPortThatIsFreedInAMomentIsWaitedFor(t *testing.T) {
	ending, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	var kept net.Listener
	ports := []port{{key: "admin.addr", addr: "127.0.0.1:0", keep: &kept}, {key: "clickhouse.listen", addr: ending.Addr().String()}}
	time.AfterFunc(1300*time.Millisecond, func() { _ = ending.Close() })
	if err := listenAll(ports, time.Minute, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if n := strings.Count(log.String(), "ports are taken"); n != 1 || !strings.Contains(log.String(), "clickhouse.listen") {
		t.Errorf("it says %d times why it waits: %s", n, log.String())
	}
}

func TestWhatIsDeclaredIsNoticedAndNoFailure(t *testing.T) {
	declared := 4
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/health" {
			fmt.Fprintf(w, `{"total":{"state":"lost","accepted":100,"stored":%d,"declared":%d}}`, 100-declared, declared)
		}
	}))
	defer srv.Close()
	c := config.Default()
	c.Admin.Addr = strings.TrimPrefix(srv.URL, "http://")
	for _, declared = range []int{4, 0} {
		var out strings.Builder
		findings := diagnoseProcess(t.Context(), &c)
		printFindings(&app{stdout: &out}, findings)
		f := findings[1]
		if f.Check != "completeness" || !f.OK || f.Notice != (declared > 0) || strings.Contains(out.String(), "▲") != (declared > 0) || strings.Contains(out.String(), "error_type") != (declared > 0) {
			t.Errorf("%d declared: %+v, %s", declared, f, out.String())
		}
	}
}
