package pipeline

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// Config says where the broker is and how roads are travelled. Brokers is
// required; the rest has defaults.
type Config struct {
	Brokers  []string // host:port
	ClientID string   // default gnomon
	Log      *slog.Logger
	TLS      *tls.Config // to the brokers; nil: not encrypted
	SASL     SASL        // zero: none

	Metrics prometheus.Registerer // of Ingest; nil: none

	Partitions  int    // of the requests topic where it has to be made; default 4
	Replication int    // of topics that have to be made; default 1, or 3 with three or more brokers named
	NoCreate    bool   // topics are checked and never made
	Group       string // prefix of ingest's consumer groups; default gnomon-ingest

	MaxBatchRows  int           // of one insert; default 25,000
	MaxBatchBytes int           // of one insert, as JSON; default 24 MiB, of which as many partitions as there are inserts hold more than 4 MiB
	Linger        time.Duration // how long a batch waits for more after its first event; default 300 ms
	InsertTimeout time.Duration // after which an insert's result is unknown; default 60 s
	Inserts       int           // at the same time; default 2
	OrphanAfter   time.Duration // a partition of another member stands still: the group is shared anew; default 15 s, doubling

	ShipLinger  time.Duration // how long the spool's first record waits for more; default 100 ms: a batch has its own cost, a quarter of the proxy's processor time at 1,000 requests/s where it was 10 ms
	ResendAfter time.Duration // published and not acknowledged; default 60 s, doubling per try
	FlushWithin time.Duration // at Ship's end; default 5 s
}

// SASL says who a client is.
type SASL struct {
	Mechanism          string // plain, scram-sha-256, scram-sha-512; empty: none
	Username, Password string
}

func (s SASL) mechanism() (sasl.Mechanism, error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case "plain":
		return plain.Mechanism{Username: s.Username, Password: s.Password}, nil
	case "scram-sha-256":
		return scram.Mechanism(scram.SHA256, s.Username, s.Password)
	case "scram-sha-512":
		return scram.Mechanism(scram.SHA512, s.Username, s.Password)
	}
	return nil, fmt.Errorf("pipeline: SASL mechanism %q is none of plain, scram-sha-256, scram-sha-512", s.Mechanism)
}

// Header is a record's header.
type Header struct {
	Key   string
	Value []byte
}

// Message is one record of a topic. Offset, Partition and Time are set on what
// was read; a message that is published is stamped by its arrival.
type Message struct {
	Key, Value []byte
	ID         string // of the record itself: the header event-id
	Headers    []Header
	Offset     int64
	Partition  int
	Time       time.Time
}

// Header returns the value of the first header of that key, "" when there is none.
func (m *Message) Header(key string) string {
	for i := range m.Headers {
		if m.Headers[i].Key == key {
			return string(m.Headers[i].Value)
		}
	}
	return ""
}

// Names of headers.
const (
	headerID       = "event-id"
	headerVersion  = "schema-version"
	headerType     = "content-type"
	headerProducer = "producer"
	headerRecord   = "record" // declared: the value is a schemas.Declared
	headerBoot     = "boot-id"
	headerSeq      = "seq"

	recordDeclared = "declared"
)

var errNoBrokers = errors.New("pipeline: no broker given: set kafka.brokers")

func (c Config) withDefaults() (Config, error) {
	if len(c.Brokers) == 0 {
		return c, errNoBrokers
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	orString(&c.ClientID, "gnomon")
	orString(&c.Group, "gnomon-ingest")
	or(&c.Partitions, 4)
	replicas := 1
	if len(c.Brokers) >= 3 {
		replicas = 3
	}
	or(&c.Replication, replicas)
	or(&c.MaxBatchRows, 25_000)
	or(&c.MaxBatchBytes, 24<<20)
	or(&c.Linger, 300*time.Millisecond)
	or(&c.InsertTimeout, time.Minute)
	or(&c.Inserts, 2)
	or(&c.OrphanAfter, 15*time.Second)
	or(&c.ShipLinger, 100*time.Millisecond)
	or(&c.ResendAfter, time.Minute)
	or(&c.FlushWithin, 5*time.Second)
	return c, nil
}

func or[T int | time.Duration](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

func orString(v *string, otherwise string) {
	if *v == "" {
		*v = otherwise
	}
}
