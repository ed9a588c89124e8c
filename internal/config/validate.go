package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

var (
	projectName  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	providerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	modelName    = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*/\S+$`)
)

// validate checks every value once, and says for each wrong one where it was
// set and what would be right.
func (c *Config) validate(o origins, more func(*Config, Wrong)) error {
	var errs []error
	wrong := func(key, format string, args ...any) {
		inner := strings.ReplaceAll(key, ".", delim)
		errs = append(errs, fmt.Errorf("%s: %s: %s", o.of(inner), key, fmt.Sprintf(format, args...)))
	}
	if !projectName.MatchString(c.Project) {
		wrong("project", "%q is no project name: lower-case letters, digits and -", c.Project)
	}
	if c.DataDir == "" {
		wrong("data_dir", "must name a folder")
	}
	checkAddr := func(key, addr string) {
		if _, port, err := net.SplitHostPort(addr); err != nil || port == "" {
			wrong(key, "%q is no address: want host:port, like 127.0.0.1:8081 or :8080", addr)
		} else if _, err := net.LookupPort("tcp", port); err != nil {
			wrong(key, "%q is no address: %s is no port: want 1 to 65535", addr, port)
		}
	}
	checkAddr("proxy.addr", c.Proxy.Addr)
	checkAddr("admin.addr", c.Admin.Addr)
	checkAddr("kafka.listen", c.Kafka.Listen)
	checkAddr("clickhouse.listen", c.ClickHouse.Listen)
	for _, b := range c.Kafka.Brokers {
		checkAddr("kafka.brokers", b)
	}
	c.validateApart(wrong)
	if !loopback(c.Kafka.Listen) {
		wrong("kafka.listen", "%q is not on loopback: the embedded broker has no authentication; use kafka.brokers for a cluster", c.Kafka.Listen)
	}
	if !loopback(c.Admin.Addr) && c.Admin.Token == "" {
		wrong("admin.addr", "%q is not on loopback and admin.token_file is not set: whoever reaches it could switch traffic", c.Admin.Addr)
	}
	if _, err := c.Proxy.TLS.Certificate(); err != nil {
		wrong("proxy.tls", "%v", err)
	}
	c.validateKafka(wrong)
	c.validateBounds(wrong)
	c.validateProviders(wrong)
	c.validatePrices(wrong)
	c.validateWorkloads(wrong)
	for key, dsn := range map[string]string{"clickhouse.dsn": c.ClickHouse.DSN, "clickhouse.read_dsn": c.ClickHouse.ReadDSN} {
		u, err := url.Parse(dsn)
		if dsn != "" && (err != nil || u.Host == "" || !slices.Contains([]string{"clickhouse", "tcp", "http", "https"}, u.Scheme)) {
			wrong(key, "want clickhouse://user:password@host:9000/gnomon or http://user:password@host:8123/gnomon")
		}
	}
	if more != nil {
		more(c, wrong)
	}
	return errors.Join(errs...)
}

// validateApart sees to it that no two of this process's listeners want one port.
func (c *Config) validateApart(wrong Wrong) {
	type listener struct{ key, addr, host, port string }
	all := []listener{{key: "proxy.addr", addr: c.Proxy.Addr}, {key: "admin.addr", addr: c.Admin.Addr}}
	if len(c.Kafka.Brokers) == 0 {
		all = append(all, listener{key: "kafka.listen", addr: c.Kafka.Listen})
	}
	if c.ClickHouse.DSN == "" && c.ClickHouse.ReadDSN == "" {
		all = append(all, listener{key: "clickhouse.listen", addr: c.ClickHouse.Listen})
	}
	for i := range all {
		l := &all[i]
		l.host, l.port, _ = net.SplitHostPort(l.addr)
		switch ip, err := netip.ParseAddr(l.host); {
		case l.host == "localhost":
			l.host = "127.0.0.1"
		case err == nil && ip.IsUnspecified():
			l.host = "" // every address of the machine
		}
		for _, m := range all[:i] {
			if l.port != "" && l.port != "0" && l.port == m.port && (l.host == m.host || l.host == "" || m.host == "") {
				wrong(l.key, "%q is the port of %s, %q: each needs one of its own", l.addr, m.key, m.addr)
				break
			}
		}
	}
}

// validateKafka looks at how a cluster is reached.
func (c *Config) validateKafka(wrong Wrong) {
	k := &c.Kafka
	if k.Partitions < 1 || k.Partitions > 10_000 {
		wrong("kafka.partitions", "%d is not between 1 and 10000", k.Partitions)
	}
	if k.Replication < 0 {
		wrong("kafka.replication", "is negative")
	}
	if m := k.SASL.Mechanism; !slices.Contains([]string{"", "plain", "scram-sha-256", "scram-sha-512"}, m) {
		wrong("kafka.sasl.mechanism", "%q is none of plain, scram-sha-256, scram-sha-512", m)
	} else if m != "" && (k.SASL.Username == "" || k.SASL.Password == "") {
		wrong("kafka.sasl.mechanism", "%s needs kafka.sasl.username and kafka.sasl.password_file", m)
	} else if m == "" && k.SASL.Username != "" {
		wrong("kafka.sasl.username", "is of no use without kafka.sasl.mechanism")
	}
	if len(k.Brokers) == 0 && (k.TLS != TLS{} || k.SASL != KafkaSASL{}) {
		wrong("kafka.brokers", "is empty, and the embedded broker knows neither TLS nor SASL: name a cluster, or take kafka.tls and kafka.sasl away")
	}
	if k.SASL.Mechanism == "plain" && !k.TLS.On() && slices.ContainsFunc(k.Brokers, func(b string) bool { return !loopback(b) }) {
		wrong("kafka.sasl.mechanism", "plain sends the password as it is: set kafka.tls.enabled, or use scram-sha-512")
	}
	for key, t := range map[string]TLS{"kafka.tls": k.TLS, "clickhouse.tls": c.ClickHouse.TLS} {
		if (t.CertFile == "") != (t.KeyFile == "") {
			wrong(key+".cert_file", "and key_file go together")
		} else if _, err := t.Client(); err != nil {
			wrong(key, "%v", err)
		}
	}
	if c.ClickHouse.DSN == "" && c.ClickHouse.ReadDSN == "" && c.ClickHouse.TLS.On() {
		wrong("clickhouse.tls", "is of no use to the embedded engine: set clickhouse.dsn")
	}
}

func (c *Config) validateBounds(wrong Wrong) {
	positive := map[string]bool{
		"proxy.max_in_flight":   c.Proxy.MaxInFlight > 0,
		"proxy.capture_bytes":   c.Proxy.CaptureBytes > 0,
		"proxy.connect_timeout": c.Proxy.ConnectTimeout > 0,
		"proxy.header_timeout":  c.Proxy.HeaderTimeout > 0,
		"proxy.idle_timeout":    c.Proxy.IdleTimeout > 0,
		"proxy.total_timeout":   c.Proxy.TotalTimeout >= 0,
		"proxy.send_timeout":    c.Proxy.SendTimeout > 0,
		"proxy.drain_timeout":   c.Proxy.DrainTimeout > 0,
		"engine.memory_mb":      c.Engine.MemoryMB >= 200,
		"spool.max_mb":          c.Spool.MaxMB >= 8,
		"spool.sync_every":      c.Spool.SyncEvery >= time.Millisecond,
		"observe.days":          c.Observe.Days > 0,
		"observe.every":         c.Observe.Every > 0,
	}
	for _, key := range slices.Sorted(mapsKeys(positive)) {
		if !positive[key] {
			wrong(key, "is too small")
		}
	}
	if c.Spool.SyncEvery > time.Minute {
		wrong("spool.sync_every", "%v is more than 1m: a power failure may cost all requests of that time", c.Spool.SyncEvery)
	}
	if !(c.Proxy.DraftThreshold >= 0 && c.Proxy.DraftThreshold <= 1) {
		wrong("proxy.draft_threshold", "%v is not between 0 and 1", c.Proxy.DraftThreshold)
	}
	if !(c.Quality.Margin > 0 && c.Quality.Margin < 1) {
		wrong("quality.margin", "%v is not between 0 and 1 (0.02 is two points)", c.Quality.Margin)
	}
	if !(c.Quality.Alpha > 0 && c.Quality.Alpha <= 0.5) {
		wrong("quality.alpha", "%v is not between 0 and 0.5", c.Quality.Alpha)
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		wrong("log.level", "%q is none of debug, info, warn, error", c.Log.Level)
	}
	if !slices.Contains([]string{"text", "json"}, c.Log.Format) {
		wrong("log.format", "%q is none of text, json", c.Log.Format)
	}
}

func (c *Config) validateProviders(wrong Wrong) {
	for _, name := range slices.Sorted(mapsKeys(c.Providers)) {
		p, key := c.Providers[name], "providers."+name
		if !providerName.MatchString(name) || slices.Contains([]string{"v1", "v1beta"}, name) {
			wrong(key, "%q is no provider name: lower-case letters, digits, - and _; not v1", name)
		}
		if !slices.Contains([]string{"openai", "anthropic", "gemini"}, p.Dialect) {
			wrong(key+".dialect", "%q is none of openai, anthropic, gemini", p.Dialect)
		}
		checkProviderURL(p.BaseURL, key, key+".base_url", wrong)
		for i, h := range p.Hosts {
			checkProviderURL(h.BaseURL, key, fmt.Sprintf("%s.hosts.%d.base_url", key, i), wrong)
			if h.Weight < 0 || h.Weight > 1_000_000 {
				wrong(fmt.Sprintf("%s.hosts.%d.weight", key, i), "%d is not between 0 and 1000000", h.Weight)
			}
		}
		all := append([]string{p.APIKey}, p.APIKeys...)
		for i, k := range all {
			if strings.TrimSpace(k) == "" && len(all) > 1 || slices.Contains(all[:i], k) {
				wrong(key+".api_keys", "the %d. is empty or given twice", i+1) // and never shown
			}
		}
		if len(p.Hosts) > 0 && p.APIKey == "" {
			wrong(key+".hosts", "are used for calls on a stored credential alone: set %s.api_key_file", key)
		}
		p.validateLive(key, wrong)
	}
	for i, l := range c.Ladders {
		key := fmt.Sprintf("ladders.%d", i)
		c.checkModel(key+".baseline", l.Baseline, wrong)
		if len(l.Candidates) == 0 || len(l.Candidates) > 16 {
			wrong(key+".candidates", "want 1 to 16 cheaper models, has %d", len(l.Candidates))
		}
		for _, m := range l.Candidates {
			c.checkModel(key+".candidates", m, wrong)
		}
	}
}

// checkModel looks at a model of a ladder: of a provider that is no row of the data
// plane nothing is asked for, and nothing can be sent to it.
func (c *Config) checkModel(key, model string, wrong Wrong) {
	provider, _, _ := strings.Cut(model, "/")
	if !modelName.MatchString(model) {
		wrong(key, "%q: want provider/model", model)
	} else if _, ok := c.Providers[provider]; !ok {
		wrong(key, "%q: %s is no configured provider (%s): add providers.%s, or name one of these", model, provider, strings.Join(slices.Sorted(mapsKeys(c.Providers)), ", "), provider)
	}
}

func checkProviderURL(address, provider, key string, wrong Wrong) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.Fragment != "" {
		wrong(key, "is no address of a provider: want https://host, without query")
	} else if u.User != nil {
		wrong(key, "holds a password: put it in %s.api_key_file", provider)
	}
}

// validateLive looks at a provider's bounds, repetitions and breaker.
func (p *Provider) validateLive(key string, wrong Wrong) {
	durations := map[string]time.Duration{
		"connect_timeout": p.ConnectTimeout, "header_timeout": p.HeaderTimeout, "idle_timeout": p.IdleTimeout, "total_timeout": p.TotalTimeout,
		"retry.max_wait": p.Retry.MaxWait, "breaker.window": p.Breaker.Window, "breaker.pause": p.Breaker.Pause,
	}
	for _, name := range slices.Sorted(mapsKeys(durations)) {
		if durations[name] < 0 {
			wrong(key+"."+name, "is negative")
		}
	}
	if w := p.Breaker.Window; w > 0 && w < 10*time.Millisecond {
		wrong(key+".breaker.window", "%v is too short: it is looked at in ten parts", w)
	}
	if n := p.Retry.Attempts; n != nil && (*n < 0 || *n > 5) {
		wrong(key+".retry.attempts", "%d is not between 0 and 5", *n)
	}
	if b := p.Retry.Budget; !(b >= 0 && b <= 1) {
		wrong(key+".retry.budget", "%v is not between 0 and 1 (0.1 is one request of ten)", b)
	}
	if r := p.Breaker.Rate; !(r >= 0 && r <= 1) {
		wrong(key+".breaker.rate", "%v is not between 0 and 1", r)
	}
	if p.Breaker.Failures < 0 {
		wrong(key+".breaker.failures", "is negative")
	}
	if p.Breaker.Probes < 0 {
		wrong(key+".breaker.probes", "is negative")
	}
}

func (c *Config) validatePrices(wrong Wrong) {
	for i, p := range c.Prices {
		key := fmt.Sprintf("prices.%d", i)
		if _, ok := c.Providers[p.Provider]; !ok {
			wrong(key+".provider", "%q is no configured provider", p.Provider)
		}
		if p.Model == "" {
			wrong(key+".model", "is missing")
		}
		if p.Input == nil || p.Output == nil {
			wrong(key, "input and output are both needed, in US dollars per million tokens")
		}
		for _, rate := range []*float64{p.Input, p.Output, p.CacheRead, p.CacheWrite, p.CacheWrite1h} {
			if rate != nil && !(*rate >= 0 && *rate < 1e6) {
				wrong(key, "%v is no price: want US dollars per million tokens", *rate)
			}
		}
	}
}

func (c *Config) validateWorkloads(wrong Wrong) {
	for _, name := range slices.Sorted(mapsKeys(c.Workloads)) {
		w, key := c.Workloads[name], "workloads."+name
		if !slices.Contains([]string{"", DataPolicyNone, DataPolicyRehearse}, w.DataPolicy) {
			wrong(key+".data_policy", "%q is neither \"none\" nor \"rehearse\"", w.DataPolicy)
		}
		r := w.Rehearse
		if r.DailyUSD < 0 {
			wrong(key+".rehearse.daily_usd", "is negative")
		}
		if r.Probability != 0 && (r.Probability < 0.02 || r.Probability > 1) {
			wrong(key+".rehearse.probability", "%v is not between 0.02 and 1: below 2 %% no weighting repairs the sample", r.Probability)
		}
		if r.DailyUSD > 0 && w.DataPolicy != DataPolicyRehearse {
			wrong(key+".rehearse", "is set, but data_policy does not permit keeping bodies: set data_policy: rehearse")
		}
	}
}

// loopback reports whether an address can be reached from this machine only.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // reported as malformed elsewhere
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
