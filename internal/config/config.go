package config

import (
	"os"
	"path/filepath"
	"time"
)

// Config is everything that can be set. Field comments are the reference that
// docs/operators.md is checked against.
type Config struct {
	Project    string              `koanf:"project"`    // the tenant all traffic of this gnomon belongs to
	DataDir    string              `koanf:"data_dir"`   // spool, snapshot, embedded broker and engine
	Proxy      Proxy               `koanf:"proxy"`      // the data plane
	Admin      Admin               `koanf:"admin"`      // console, API, metrics
	Kafka      Kafka               `koanf:"kafka"`      // broker
	ClickHouse ClickHouse          `koanf:"clickhouse"` // store
	Engine     Engine              `koanf:"engine"`     // the embedded ClickHouse engine
	Spool      Spool               `koanf:"spool"`      // the local log of events
	Providers  map[string]Provider `koanf:"providers"`  // rows of the data plane, by name
	Ladders    []Ladder            `koanf:"ladders"`    // cheaper models per baseline; empty: the built-in, dated ones
	Prices     []Price             `koanf:"prices"`     // your own, before the built-in book's
	Workloads  map[string]Workload `koanf:"workloads"`  // what a workload permits
	Classifier Classifier          `koanf:"classifier"` // how requests are assessed
	Observe    Observe             `koanf:"observe"`    // the observation period
	Quality    Quality             `koanf:"quality"`    // the bar a candidate must clear
	Log        Log                 `koanf:"log"`        // gnomon's own log
}

// Proxy configures the data plane.
type Proxy struct {
	Addr           string        `koanf:"addr"`                // host:port it listens on
	MaxInFlight    int           `koanf:"max_in_flight"`       // requests at once; past it a clear 503
	CaptureBytes   int           `koanf:"capture_bytes"`       // of a body that are looked at; forwarding has no bound
	CaptureTotal   int           `koanf:"capture_total_bytes"` // of all bodies held at once; past it they stream by unread
	ConnectTimeout time.Duration `koanf:"connect_timeout"`     // to a provider
	HeaderTimeout  time.Duration `koanf:"header_timeout"`      // until a provider's first byte
	IdleTimeout    time.Duration `koanf:"idle_timeout"`        // between two reads from a provider
	TotalTimeout   time.Duration `koanf:"total_timeout"`       // for a call to a provider, its answer included; 0: none
	SendTimeout    time.Duration `koanf:"send_timeout"`        // in which a client must take some more of its answer
	DrainTimeout   time.Duration `koanf:"drain_timeout"`       // for answers in flight when asked to stop
	DraftThreshold float64       `koanf:"draft_threshold"`     // score up to which a workload without a policy would be routed
	RequireKey     bool          `koanf:"require_key"`         // refuse requests without a gnomon key
	TLS            ServerTLS     `koanf:"tls"`                 // on the listening side
}

// ServerTLS configures what gnomon shows to those who connect to it.
type ServerTLS struct {
	CertFile string `koanf:"cert_file"` // PEM certificate, and those between it and the root; empty: plain HTTP
	KeyFile  string `koanf:"key_file"`  // its key
}

// Admin configures console, API and metrics.
type Admin struct {
	Addr      string   `koanf:"addr"`       // host:port; other than loopback needs a token
	Token     string   `koanf:"token"`      // secret; better: token_file
	TokenFile string   `koanf:"token_file"` // file holding the token
	Hosts     []string `koanf:"hosts"`      // Host names it answers to besides IP literals and localhost
}

// Kafka configures the broker.
type Kafka struct {
	Brokers      []string  `koanf:"brokers"`       // host:port of a Kafka cluster; empty: the embedded broker
	Listen       string    `koanf:"listen"`        // of the embedded broker; loopback only
	Partitions   int       `koanf:"partitions"`    // of the requests topic where gnomon makes it
	Replication  int       `koanf:"replication"`   // of topics that gnomon makes; 0: 3 where three or more brokers are named, else 1
	CreateTopics bool      `koanf:"create_topics"` // false: topics are checked, never made; what is missing is said, with the commands
	TLS          TLS       `koanf:"tls"`           // to the brokers
	SASL         KafkaSASL `koanf:"sasl"`          // who gnomon is to the brokers
}

// TLS configures an encrypted connection.
type TLS struct {
	Enabled  bool   `koanf:"enabled"`   // files given below enable it, too
	CAFile   string `koanf:"ca_file"`   // PEM certificates to trust; empty: the system's
	CertFile string `koanf:"cert_file"` // PEM certificate that gnomon shows; empty: none
	KeyFile  string `koanf:"key_file"`  // its key
}

// KafkaSASL configures authentication to Kafka.
type KafkaSASL struct {
	Mechanism    string `koanf:"mechanism"`     // plain, scram-sha-256 or scram-sha-512; empty: none
	Username     string `koanf:"username"`      // of gnomon
	Password     string `koanf:"password"`      // secret; better: password_file
	PasswordFile string `koanf:"password_file"` // file holding it
}

// ClickHouse configures the store.
type ClickHouse struct {
	DSN          string `koanf:"dsn"`           // secret; clickhouse:// or http:// address of a server; empty: the embedded engine
	ReadDSN      string `koanf:"read_dsn"`      // secret; the same server as a read-only user, for all that only reads; empty: dsn
	Listen       string `koanf:"listen"`        // of the embedded engine
	PasswordFile string `koanf:"password_file"` // the writer's password; empty: one is made in data_dir
	TLS          TLS    `koanf:"tls"`           // to the server; an address with https or secure=true enables it, too
}

// Engine configures the embedded ClickHouse engine.
type Engine struct {
	Library  string `koanf:"library"`   // path of libchdb; empty: CHDB_LIB_PATH, then the cache folder
	MemoryMB int    `koanf:"memory_mb"` // bound of the engine process
}

// Spool configures the local log of events.
type Spool struct {
	MaxMB     int           `koanf:"max_mb"`     // bound on disk; past it events are dropped and counted
	SyncEvery time.Duration `koanf:"sync_every"` // fsync by group commit; what is younger than this a power failure may cost; at most 1m
}

// Provider is one row of the data plane.
type Provider struct {
	Dialect      string   `koanf:"dialect"`       // openai, anthropic or gemini
	BaseURL      string   `koanf:"base_url"`      // scheme, host and the path before the provider's own
	APIKey       string   `koanf:"api_key"`       // secret; stored credential for gnomon keys, rehearsal and routed requests
	APIKeyFile   string   `koanf:"api_key_file"`  // file holding it
	APIKeys      []string `koanf:"api_keys"`      // secrets; more of them: each call on a stored credential takes the one least in use
	APIKeyFiles  []string `koanf:"api_key_files"` // files holding more of them, one each
	Hosts        []Host   `koanf:"hosts"`         // in the place of base_url for calls on stored credentials
	IncludeUsage bool     `koanf:"include_usage"` // ask for stream usage where the client did not say
	AllowPrivate bool     `koanf:"allow_private"` // its name may resolve to a private address; one over http, or written as an address, may anyway
	PriceList    string   `koanf:"price_list"`    // whose prices hold, where it is not named as its list (gnomon prices)

	ConnectTimeout time.Duration `koanf:"connect_timeout"` // to it; 0: proxy.connect_timeout
	HeaderTimeout  time.Duration `koanf:"header_timeout"`  // until its first byte, and until a candidate's answer has begun; 0: proxy.header_timeout
	IdleTimeout    time.Duration `koanf:"idle_timeout"`    // between two reads from it; 0: proxy.idle_timeout
	TotalTimeout   time.Duration `koanf:"total_timeout"`   // for a call to it; 0: proxy.total_timeout

	Retry   Retry   `koanf:"retry"`   // of requests routed to it
	Breaker Breaker `koanf:"breaker"` // of each of its models, as a candidate
}

// Host is one of the addresses of a provider.
type Host struct {
	BaseURL string `koanf:"base_url"` // as the provider's
	Weight  int    `koanf:"weight"`   // of the traffic, against the others; 0: 1
}

// Retry says when a candidate is asked again before its baseline answers.
type Retry struct {
	Attempts *int          `koanf:"attempts"` // more than the first; unset: 1
	Budget   float64       `koanf:"budget"`   // share of the requests routed to the provider that may be asked again; 0: 0.1
	MaxWait  time.Duration `koanf:"max_wait"` // longest Retry-After that is waited for; 0: 1 s
}

// Breaker says when a candidate is left alone, so that its baseline serves.
type Breaker struct {
	Failures int           `koanf:"failures"` // in a row; 0: 3
	Rate     float64       `koanf:"rate"`     // of at least ten calls within window that fail; 0: 0.5
	Window   time.Duration `koanf:"window"`   // that rate looks back; 0: 30 s
	Pause    time.Duration `koanf:"pause"`    // for which it is left alone; 0: 30 s
	Probes   int           `koanf:"probes"`   // calls at once after the pause, until one has gone well; 0: 1
}

// Price is a price of your own, in US dollars per million tokens. It replaces what
// the built-in book says of the model; what is left out is not charged apart (a
// cache read is billed as input), but for input and output, which are needed.
type Price struct {
	Provider     string   `koanf:"provider"`       // a configured provider's name
	Model        string   `koanf:"model"`          // as requests name it
	Tier         string   `koanf:"tier"`           // batch, flex, priority, fast; empty: the standard one
	Input        *float64 `koanf:"input"`          // of prompt tokens
	Output       *float64 `koanf:"output"`         // of answer tokens, reasoning included
	CacheRead    *float64 `koanf:"cache_read"`     // of prompt tokens read from a cache
	CacheWrite   *float64 `koanf:"cache_write"`    // of prompt tokens written to a cache for 5 minutes
	CacheWrite1h *float64 `koanf:"cache_write_1h"` // of those written for an hour
}

// Ladder names the cheaper models for a baseline, first choice first.
type Ladder struct {
	Baseline   string   `koanf:"baseline"`   // provider/model
	Candidates []string `koanf:"candidates"` // provider/model
}

// Workload is what a workload permits beyond being observed.
type Workload struct {
	DataPolicy string   `koanf:"data_policy"` // none (default) or rehearse: bodies go to a short-lived topic
	Rehearse   Rehearse `koanf:"rehearse"`
}

// Rehearse bounds what rehearsal of a workload may spend.
type Rehearse struct {
	DailyUSD    float64 `koanf:"daily_usd"`   // cap a day; 0: rehearsal is off
	Probability float64 `koanf:"probability"` // share of requests drawn, .02 to 1; 0: paced by the cap
}

// Classifier is how requests are assessed.
type Classifier struct {
	Weights string `koanf:"weights"` // file of weights (gnomon train); empty: the shipped ones
}

// Observe is the observation period.
type Observe struct {
	Days  int           `koanf:"days"`  // before a verdict may be ready
	Every time.Duration `koanf:"every"` // between two looks of the analyzer
}

// Quality is the bar a candidate must clear.
type Quality struct {
	Margin float64 `koanf:"margin"` // how much worse it may be, in points of quality (0.02 = 2 pp)
	Alpha  float64 `koanf:"alpha"`  // chance of being wrong, over all looks
}

// Log configures gnomon's own log.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn, error
	Format string `koanf:"format"` // text or json
}

// Default returns the configuration without file, environment or flags.
func Default() Config {
	return Config{
		Project: "default",
		DataDir: defaultDataDir(),
		Proxy: Proxy{
			Addr: ":8080", MaxInFlight: 20_000, CaptureBytes: 4 << 20, CaptureTotal: 256 << 20,
			ConnectTimeout: 10 * time.Second, HeaderTimeout: 10 * time.Minute, IdleTimeout: 5 * time.Minute,
			SendTimeout: time.Minute, DrainTimeout: 30 * time.Second, DraftThreshold: 0.7,
		},
		Admin:      Admin{Addr: "127.0.0.1:8081"},
		Kafka:      Kafka{Listen: "127.0.0.1:19092", Partitions: 4, CreateTopics: true},
		ClickHouse: ClickHouse{Listen: "127.0.0.1:18123"},
		Engine:     Engine{MemoryMB: 500},
		Spool:      Spool{MaxMB: 1024, SyncEvery: 200 * time.Millisecond},
		Providers: map[string]Provider{
			"openai":    {Dialect: "openai", BaseURL: "https://api.openai.com", IncludeUsage: true},
			"anthropic": {Dialect: "anthropic", BaseURL: "https://api.anthropic.com"},
		},
		Observe: Observe{Days: 14, Every: time.Hour},
		Quality: Quality{Margin: 0.02, Alpha: 0.05},
		Log:     Log{Level: "info", Format: "text"},
	}
}

// defaultDataDir is the user's data folder for gnomon, or ./gnomon-data where
// no home is known (a container).
func defaultDataDir() string {
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "gnomon")
	}
	if home, err := os.UserHomeDir(); err == nil && home != "" {
		return filepath.Join(home, ".local", "share", "gnomon")
	}
	return "gnomon-data"
}

// RehearsalPermitted reports whether the workload's bodies may be kept for
// rehearsal.
func (c *Config) RehearsalPermitted(workload string) bool {
	w, ok := c.Workloads[workload]
	return ok && w.DataPolicy == DataPolicyRehearse && w.Rehearse.DailyUSD > 0
}

// Data policies.
const (
	DataPolicyNone     = "none"
	DataPolicyRehearse = "rehearse"
)
