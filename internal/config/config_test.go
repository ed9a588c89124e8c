package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

func load(t *testing.T, file string, environ []string, flags map[string]any) (*Config, error) {
	t.Helper()
	o := Options{Environ: environ, Flags: flags}
	if environ == nil {
		o.Environ = []string{}
	}
	if file != "" {
		o.File = filepath.Join(t.TempDir(), "gnomon.yaml")
		if err := os.WriteFile(o.File, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Chdir(t.TempDir())
	}
	return Load(o)
}

func TestWithoutAnythingTheDefaultsAreUsable(t *testing.T) {
	c, err := load(t, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Proxy.Addr != ":8080" || c.Providers["openai"].BaseURL != "https://api.openai.com" || !c.Providers["openai"].IncludeUsage || c.Providers["anthropic"].Dialect != "anthropic" {
		t.Errorf("defaults are %+v", c)
	}
}

func TestFlagBeatsEnvironmentBeatsFileBeatsDefault(t *testing.T) {
	file := "proxy:\n  addr: :1\n  idle_timeout: 7s\nadmin:\n  addr: 127.0.0.1:1\nkafka:\n  listen: 127.0.0.1:1\n"
	c, err := load(t, file, []string{"GNOMON_ADMIN__ADDR=127.0.0.1:2", "GNOMON_KAFKA__LISTEN=127.0.0.1:2"}, map[string]any{"kafka.listen": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.ClickHouse.Listen, c.Proxy.Addr, c.Admin.Addr, c.Kafka.Listen}
	if strings.Join(got, " ") != "127.0.0.1:18123 :1 127.0.0.1:2 127.0.0.1:3" {
		t.Errorf("default, file, environment, flag = %v", got)
	}
	if c.Proxy.IdleTimeout != 7*time.Second {
		t.Errorf("idle_timeout = %v", c.Proxy.IdleTimeout)
	}
}

func TestEnvironmentReachesMapsAndLists(t *testing.T) {
	c, err := load(t, "", []string{"GNOMON_PROVIDERS__OPENAI__BASE_URL=http://127.0.0.1:9", "GNOMON_KAFKA__BROKERS=a:1, b:2", "GNOMON_PROVIDERS__GROQ__BASE_URL=https://groq.example/openai", "GNOMON_PROVIDERS__GROQ__DIALECT=openai", "HOME=/x"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	openai := c.Providers["openai"]
	if openai.BaseURL != "http://127.0.0.1:9" || openai.Dialect != "openai" || !openai.IncludeUsage {
		t.Errorf("the built-in row keeps what is not set: %+v", openai)
	}
	if c.Providers["groq"].Dialect != "openai" || len(c.Kafka.Brokers) != 2 || c.Kafka.Brokers[1] != "b:2" {
		t.Errorf("groq %+v, brokers %v", c.Providers["groq"], c.Kafka.Brokers)
	}
}

func TestWorkloadNamesMayHoldDotsAndSlashes(t *testing.T) {
	c, err := load(t, "workloads:\n  support/summary.v2:\n    data_policy: rehearse\n    rehearse: {daily_usd: 5, probability: 0.1}\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !c.RehearsalPermitted("support/summary.v2") || c.RehearsalPermitted("other") {
		t.Errorf("workloads = %+v", c.Workloads)
	}
}

func TestWhatIsWrongIsNamedWithItsPlace(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		env        []string
		want       []string
	}{
		{"broken YAML names the line", "proxy:\n  addr: [\n", nil, []string{"gnomon.yaml", "line 2"}},
		{"an unknown key names line, key and the near one", "proxy:\n  adr: :1\n", nil, []string{"gnomon.yaml:2", `"proxy.adr"`, `"proxy.addr"`}},
		{"an unknown key in the environment", "", []string{"GNOMON_PROXY__ADR=:1"}, []string{"GNOMON_PROXY__ADR", "proxy.addr"}},
		{"a key set twice", "project: a\nproject: b\n", nil, []string{"project", "line 1"}},
		{"a number where a duration belongs", "proxy:\n  max_in_flight: many\n", nil, []string{"gnomon.yaml:2", "max_in_flight"}},
		{"a word where a number belongs", "observe: {days: x}\n", nil, []string{"gnomon.yaml:1: observe.days: \"x\" does not fit: want a whole number, like 14"}},
		{"a word where a duration belongs", "", []string{"GNOMON_PROXY__IDLE_TIMEOUT=soon"}, []string{"GNOMON_PROXY__IDLE_TIMEOUT: proxy.idle_timeout", `"soon"`, "a duration, like 30s"}},
		{"a word in a workload whose name holds a dot", "workloads:\n  a/b.c:\n    rehearse:\n      daily_usd: much\n", nil, []string{"gnomon.yaml:4: workloads.a/b.c.rehearse.daily_usd", `"much"`, "a number"}},
		{"every unknown key is told", "adm: 1\nproxy: {adr: 1}\n", []string{"GNOMON_PROJ=x"}, []string{`"adm"`, `"proxy.adr"`, "GNOMON_PROJ"}},
		{"every value that does not fit is told", "observe: {days: x, every: y}\n", nil, []string{"observe.days", "observe.every"}},
		{"a data policy nobody knows", "workloads:\n  w: {data_policy: reherse}\n", nil, []string{`"reherse" is neither "none" nor "rehearse"`}},
		{"a duration without a unit", "proxy: {connect_timeout: 10}\n", nil, []string{"gnomon.yaml:1: proxy.connect_timeout", "\"10\" does not fit", "a duration, like 30s"}},
		{"an address without port", "proxy:\n  addr: localhost\n", nil, []string{"gnomon.yaml:2", "proxy.addr", "host:port"}},
		{"the admin plane abroad without a token", "", []string{"GNOMON_ADMIN__ADDR=0.0.0.0:8081"}, []string{"GNOMON_ADMIN__ADDR", "token_file"}},
		{"the embedded broker abroad", "kafka: {listen: \"0.0.0.0:9092\"}\n", nil, []string{"kafka.listen", "loopback"}},
		{"TLS to the embedded broker", "kafka: {tls: {enabled: true}}\n", nil, []string{"kafka.brokers", "neither TLS nor SASL"}},
		{"a SASL mechanism nobody knows", "kafka: {brokers: [\"k:1\"], sasl: {mechanism: gssapi}}\n", nil, []string{"kafka.sasl.mechanism", "scram-sha-512"}},
		{"SASL without a password", "kafka: {brokers: [\"k:1\"], sasl: {mechanism: scram-sha-512, username: u}}\n", nil, []string{"kafka.sasl.password_file"}},
		{"a plain password over an open line", "kafka: {brokers: [\"k:1\"], sasl: {mechanism: plain, username: u, password: p}}\n", nil, []string{"kafka.tls.enabled"}},
		{"an authority that is not there", "kafka: {brokers: [\"k:1\"], tls: {ca_file: /nowhere}}\n", nil, []string{"kafka.tls", "/nowhere"}},
		{"a certificate without its key", "clickhouse: {dsn: \"https://h:1\", tls: {cert_file: a}}\n", nil, []string{"clickhouse.tls.cert_file", "key_file"}},
		{"what clients are shown, without its key", "proxy:\n  tls: {cert_file: a}\n", nil, []string{"gnomon.yaml:2: proxy.tls", "go together"}},
		{"what clients are shown, and is not there", "proxy: {tls: {cert_file: /nowhere/a.pem, key_file: /nowhere/b.pem}}\n", nil, []string{"proxy.tls", "/nowhere/a.pem"}},
		{"what clients are shown, and is no certificate", "proxy: {tls: {cert_file: /dev/null, key_file: /dev/null}}\n", nil, []string{"proxy.tls", "PEM"}},
		{"a port past the last", "proxy:\n  addr: 127.0.0.1:99999\n", nil, []string{"gnomon.yaml:2: proxy.addr", "99999 is no port"}},
		{"one port for three", "proxy: {addr: \":9000\"}\nadmin: {addr: \"localhost:9000\"}\nclickhouse: {listen: \"127.0.0.1:9000\"}\n", nil, []string{"gnomon.yaml:2: admin.addr: \"localhost:9000\" is the port of proxy.addr", "gnomon.yaml:3: clickhouse.listen"}},
		{"a power failure that may cost an hour", "spool: {sync_every: 1h}\n", nil, []string{"gnomon.yaml:1: spool.sync_every", "more than 1m"}},
		{"faults of every kind are told at once", "adm: 1\nobserve: {days: x}\nproject: Acme\nadmin: {addr: nowhere}\nproviders: {openai: {api_key_file: /nowhere/a}, anthropic: {api_key_file: /nowhere/b}}\n", []string{"GNOMON_PROJ=x"},
			[]string{`"adm"`, "GNOMON_PROJ", "observe.days", "project", "admin.addr", "providers.openai.api_key_file: open /nowhere/a", "/nowhere/b"}},
		{"a project in capitals", "project: Acme\n", nil, []string{"gnomon.yaml:1", "project", "lower-case"}},
		{"a provider without dialect", "providers:\n  groq:\n    base_url: https://x.example\n", nil, []string{"providers.groq.dialect", "openai, anthropic"}},
		{"a password in an address", "providers:\n  openai:\n    base_url: https://u:p@x.example\n", nil, []string{"gnomon.yaml:3", "api_key_file"}},
		{"a sample too thin to weigh", "workloads:\n  w: {data_policy: rehearse, rehearse: {daily_usd: 1, probability: 0.001}}\n", nil, []string{"probability", "0.02"}},
		{"rehearsal without permission", "workloads:\n  w: {rehearse: {daily_usd: 1}}\n", nil, []string{"data_policy"}},
		{"a secret given twice", "admin: {token: a, token_file: b}\n", nil, []string{"admin.token"}},
		{"a provider in capitals", "providers:\n  OpenAI: {dialect: openai, base_url: \"https://x.example\"}\n", nil, []string{"gnomon.yaml:2", "providers.OpenAI", "lower-case"}},
		{"a candidate of a provider that is not configured", "ladders:\n  - baseline: openai/gpt-4o\n    candidates: [groq/llama]\n", nil, []string{"gnomon.yaml:3", "ladders.0.candidates", "groq/llama", "add providers.groq"}},
		{"a baseline of a provider that is not configured", "ladders: [{baseline: azure/gpt-4o, candidates: [openai/gpt-4o-mini]}]\n", nil, []string{"ladders.0.baseline", "add providers.azure"}},
		{"a price without output", "prices: [{provider: openai, model: x, input: 1}]\n", nil, []string{"prices.0", "input and output"}},
		{"a price of a provider that is not configured", "prices: [{provider: groq, model: x, input: 1, output: 2}]\n", nil, []string{"prices.0.provider", "groq"}},
		{"a price below nothing", "prices: [{provider: openai, model: x, input: -1, output: 2}]\n", nil, []string{"prices.0", "-1"}},
		{"a budget of more than every request", "providers:\n  openai: {retry: {budget: 10}}\n", nil, []string{"gnomon.yaml:2", "providers.openai.retry.budget", "0.1"}},
		{"repetitions without end", "providers:\n  openai: {retry: {attempts: 100}}\n", nil, []string{"providers.openai.retry.attempts", "0 and 5"}},
		{"a breaker's rate in percent", "providers:\n  openai: {breaker: {rate: 50}}\n", nil, []string{"providers.openai.breaker.rate"}},
		{"a provider's time that runs backwards", "providers:\n  openai: {total_timeout: -1s}\n", nil, []string{"providers.openai.total_timeout", "negative"}},
		{"a host that is no address", "providers:\n  openai: {api_key: k, hosts: [{base_url: example}]}\n", nil, []string{"providers.openai.hosts.0.base_url", "https://host"}},
		{"hosts without a credential of gnomon's", "providers:\n  openai: {hosts: [{base_url: \"https://a.example\"}]}\n", nil, []string{"providers.openai.hosts", "api_key_file"}},
		{"a key given twice", "providers:\n  openai: {api_keys: [a, b, a]}\n", nil, []string{"providers.openai.api_keys", "the 3."}},
		{"a margin that is no number", "", []string{"GNOMON_QUALITY__MARGIN=NaN"}, []string{"quality.margin"}},
		{"a margin in percent", "quality: {margin: 2}\n", nil, []string{"quality.margin", "0.02"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.file, tt.env, nil)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not name %q", err, w)
				}
			}
		})
	}
}

func TestANamedFileMustExist(t *testing.T) {
	if _, err := Load(Options{File: filepath.Join(t.TempDir(), "none.yaml"), Environ: []string{}}); err == nil {
		t.Fatal("accepted")
	}
}

func TestAProviderMayHaveManyKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		file string
		env  []string
		want string
	}{
		"in the environment":       {"", []string{"GNOMON_PROVIDERS__OPENAI__API_KEYS=planted-a, planted-b"}, "planted-a [planted-b]"},
		"one more, and one a file": {"providers:\n  openai: {api_key: planted-a, api_keys: [planted-b], api_key_files: [" + file + "]}\n", nil, "planted-a [planted-b from-a-file]"},
		"one, in the list":         {"providers:\n  openai: {api_key_files: [" + file + "]}\n", nil, "from-a-file []"},
	} {
		c, err := load(t, tt.file, tt.env, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p := c.Providers["openai"]
		if got := fmt.Sprint(p.APIKey, " ", p.APIKeys); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if raw, err := c.Redacted().YAML(); err != nil || strings.Contains(string(raw), "planted") || strings.Contains(string(raw), "from-a-file") {
			t.Errorf("%s: shown as %s %v", name, raw, err)
		}
		if got := fmt.Sprint(p.APIKey, " ", c.Providers["openai"].APIKeys); got != tt.want {
			t.Errorf("%s: redacting changed it to %s", name, got)
		}
	}
}

func TestRedactedShowsNoSecretAndLoadsAgain(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(secret, []byte("planted-api-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, "admin: {token: planted-token}\nkafka: {brokers: [\"k:1\"], sasl: {mechanism: scram-sha-256, username: u, password: planted-sasl}}\nclickhouse: {dsn: \"http://u:planted-pass@h:1/gnomon\", read_dsn: \"clickhouse://h:1/gnomon?username=u&password=planted-query\"}\nproviders:\n  openai: {api_key_file: "+secret+"}\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Providers["openai"].APIKey != "planted-api-key" {
		t.Errorf("api key = %q", c.Providers["openai"].APIKey)
	}
	out, err := c.Redacted().YAML()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "planted") {
		t.Errorf("a secret is shown:\n%s", out)
	}
	var m map[string]any
	if err := yaml.Unmarshal(out, &m); err != nil || m["proxy"].(map[string]any)["idle_timeout"] != "5m0s" {
		t.Errorf("printed %v, %v", m, err)
	}
}

func TestWhatDoesNotFitIsToldWithoutSecretsAndWithoutGo(t *testing.T) {
	for _, file := range []string{"admin: planted\n", "admin: {token: [planted, planted]}\n", "kafka: {sasl: planted}\n", "providers: {openai: {api_key: {planted: planted}}}\n", "observe: {days: x}\nproxy: {idle_timeout: [1]}\n"} {
		_, err := load(t, file, nil, nil)
		if err == nil {
			t.Errorf("%q is accepted", file)
			continue
		}
		for _, bad := range []string{"planted", "strconv", "decod", "\x1f", "config."} {
			if strings.Contains(err.Error(), bad) && !(bad == "planted" && strings.Contains(err.Error(), "unknown key")) {
				t.Errorf("%q: %q holds %q", file, err, bad)
			}
		}
	}
}

// Who only asks a running gnomon is not stopped by what concerns the server.
func TestWhoOnlyAsksIsNotStoppedByTheServersFaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gnomon.yaml")
	text := "project: shop\nadmin: {addr: \"127.0.0.1:9999\"}\nproxy: {addr: nowhere, tls: {cert_file: /none, key_file: /none}}\nproviders: {openai: {api_key_file: /none}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Options{File: path, Environ: []string{}}); err == nil {
		t.Fatal("the server takes it")
	}
	c, err := Load(Options{File: path, Environ: []string{}, Asks: true})
	if err != nil || c.Project != "shop" || c.Admin.Addr != "127.0.0.1:9999" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestOneFaultIsNotToldAsAnother(t *testing.T) {
	for _, tt := range []struct{ name, file, not string }{
		{"a token that cannot be read", "admin: {addr: \"0.0.0.0:8081\", token_file: /nowhere}\n", "is not set"},
		{"a password that cannot be read", "kafka: {brokers: [\"k:1\"], sasl: {mechanism: scram-sha-512, username: u, password_file: /nowhere}}\n", "needs"},
		{"a provider with a value that does not fit", "providers: {groq: {dialect: openai, base_url: \"https://x.example\", idle_timeout: 7}}\nladders: [{baseline: groq/a, candidates: [groq/b]}]\n", "no configured provider"},
	} {
		if _, err := load(t, tt.file, nil, nil); err == nil || strings.Contains(err.Error(), tt.not) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := load(t, "proxy: {addr: \"127.0.0.1:9000\"}\nadmin: {addr: \"127.0.0.2:9000\", token: t}\nkafka: {brokers: [\"k:1\"], listen: \"127.0.0.1:9000\"}\nclickhouse: {listen: \"127.0.0.1:0\"}\n", nil, nil); err != nil {
		t.Errorf("ports that are apart: %v", err)
	}
}
