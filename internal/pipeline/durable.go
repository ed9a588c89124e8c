package pipeline

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/internal/spool"
	"github.com/gnomon-llm/gnomon/schemas"
)

// A topic keeps what it has acknowledged when each partition has this many
// replicas, and an acknowledgement means that so many of them have the record:
// then any one machine may be lost with its disk.
const (
	durableReplicas = 3
	durableInsync   = 2
	minInsync       = "min.insync.replicas"
	// A replica that was behind must not become the leader, or what was acknowledged
	// is gone with no disk lost (some managed services permit it by default); nor may
	// the topic forget what the store has not had time to take.
	unclean        = "unclean.leader.election.enable"
	retentionBytes = "retention.bytes"
	retentionMs    = "retention.ms"
	durableKept    = 7 * 24 * time.Hour

	durableEvery = 10 * time.Second // a topic's settings may be changed
)

// durable reports whether the broker's acknowledgement of a record of the topic
// is as good as the store's, and why not. What cannot be learned is a no.
func (k *cluster) durable(ctx context.Context, topic string) (why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	meta, err := k.client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return "", err
	}
	for _, t := range meta.Topics {
		if t.Error != nil {
			return "", t.Error
		}
		for _, p := range t.Partitions {
			if len(p.Replicas) < durableReplicas {
				return fmt.Sprintf("partition %d of %s has not %d replicas, which the broker's would take, but %d", p.ID, topic, durableReplicas, len(p.Replicas)), nil
			}
		}
	}
	if len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) == 0 {
		return "", kafka.UnknownTopicOrPartition
	}
	res, err := k.client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{minInsync, unclean, retentionBytes, retentionMs}},
	}})
	if err != nil {
		return "", err
	}
	told := map[string]string{}
	for _, r := range res.Resources {
		if r.Error != nil {
			return "", r.Error
		}
		for _, e := range r.ConfigEntries {
			told[e.ConfigName] = e.ConfigValue
		}
	}
	return unsafe(topic, told), nil
}

// unsafe names the setting of a topic by which it may lose what it acknowledged;
// empty when there is none.
func unsafe(topic string, told map[string]string) string {
	if n, err := strconv.Atoi(told[minInsync]); err != nil || n < durableInsync {
		return fmt.Sprintf("%s has %s=%s, not %d", topic, minInsync, told[minInsync], durableInsync)
	}
	if told[unclean] == "true" {
		return fmt.Sprintf("%s has %s=true: a replica that is behind may become its leader", topic, unclean)
	}
	if n, err := strconv.ParseInt(told[retentionBytes], 10, 64); told[retentionBytes] != "" && (err != nil || n >= 0) {
		return fmt.Sprintf("%s has %s=%s: it may forget what the store has not taken yet; set -1", topic, retentionBytes, told[retentionBytes])
	}
	if n, err := strconv.ParseInt(told[retentionMs], 10, 64); told[retentionMs] != "" && (err != nil || n >= 0 && n < durableKept.Milliseconds()) {
		return fmt.Sprintf("%s has %s=%s, less than the %v that the store may be away", topic, retentionMs, told[retentionMs], durableKept)
	}
	return ""
}

// shortcut remembers whether the broker's acknowledgement frees the spool. It
// is used by one goroutine.
type shortcut struct {
	k     *cluster
	asked time.Time
	open  bool
	said  string
}

// holds asks the broker again when the answer is old. While it cannot be asked
// the store's acknowledgement is waited for.
func (s *shortcut) holds(ctx context.Context) bool {
	if !s.asked.IsZero() && time.Since(s.asked) < durableEvery {
		return s.open
	}
	why, err := s.k.durable(ctx, schemas.TopicRequests)
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		why = err.Error()
	}
	s.asked, s.open = time.Now(), why == ""
	say := "the broker's acknowledgement frees the spool: every partition has three replicas and two must have a record"
	if !s.open {
		say = "the store's acknowledgement frees the spool, not the broker's: " + why
	}
	if say != s.said {
		s.said = say
		s.k.log.Info(say)
	}
	return s.open
}

// free tells the spool that records need not be kept for the store: the broker
// will not lose them.
func free(sp *spool.Spool, recs []spool.Record) {
	have := map[uint64][][2]uint64{}
	for i := range recs {
		r := &recs[i]
		have[r.BootID] = append(have[r.BootID], [2]uint64{r.FirstSeq, r.Last})
	}
	for boot, ranges := range have {
		sp.Acked(&schemas.Ack{Version: schemas.SchemaVersion, BootID: boot, Ranges: union(ranges)})
	}
}

// CheckTopics looks at the topics without making any, and says in words what
// frees the spool. The error is EnsureTopics's.
func CheckTopics(ctx context.Context, cfg Config) (said string, err error) {
	cfg.NoCreate = true
	if err := EnsureTopics(ctx, cfg); err != nil {
		return "", err
	}
	k, err := connect(cfg)
	if err != nil {
		return "", err
	}
	defer k.close()
	why, err := k.durable(ctx, schemas.TopicRequests)
	switch {
	case err != nil:
		return "", err
	case why != "":
		return "the store's acknowledgement frees the spool: " + why, nil
	}
	return "its acknowledgement frees the spool", nil
}
