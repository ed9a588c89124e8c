package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/schemas"
)

const day = 24 * time.Hour

// forEver is a retention without end.
const forEver time.Duration = -1

// topic is what a topic has to be.
type topic struct {
	name      string
	spread    bool // over Config.Partitions; else one partition
	log       bool // the source of a truth: one partition and never compacted, or gnomon does not start
	retention time.Duration
	maxBytes  int
	dlq       bool
}

// Sizes of the largest batch (so also record) a topic takes.
const (
	recordBytes     = 4 << 20
	payloadBytes    = 16 << 20
	deadLetterBytes = 20 << 20
)

var topics = []topic{
	{name: schemas.TopicRequests, spread: true, retention: 7 * day, maxBytes: recordBytes, dlq: true},
	{name: schemas.TopicHeartbeats, retention: 7 * day, maxBytes: recordBytes, dlq: true},
	{name: schemas.TopicAcks, retention: day, maxBytes: recordBytes},
	{name: schemas.TopicEvaluations, retention: 7 * day, maxBytes: recordBytes, dlq: true},
	{name: schemas.TopicFeedback, retention: 7 * day, maxBytes: recordBytes, dlq: true},
	{name: schemas.TopicPayloads, retention: day, maxBytes: payloadBytes, dlq: true},
	{name: schemas.TopicVerdicts, retention: 7 * day, maxBytes: recordBytes, dlq: true},
	{name: schemas.TopicEvidence, log: true, retention: forEver, maxBytes: recordBytes, dlq: true},
	{name: schemas.TopicPolicies, log: true, retention: forEver, maxBytes: recordBytes, dlq: true},
	{name: schemas.TopicSnapshots, retention: 7 * day, maxBytes: payloadBytes, dlq: true},
	{name: schemas.TopicNames, log: true, retention: forEver, maxBytes: recordBytes, dlq: true},
	{name: schemas.TopicKeys, log: true, retention: forEver, maxBytes: recordBytes},
}

// wanted is every topic with its dead letters.
func wanted() (all []topic) {
	for _, t := range topics {
		all = append(all, t)
		if t.dlq {
			all = append(all, topic{name: t.name + schemas.DLQSuffix, retention: 30 * day, maxBytes: deadLetterBytes})
		}
	}
	return all
}

// ErrTopic says that a topic is there but cannot be used as it is.
var ErrTopic = errors.New("topic is not as gnomon needs it")

// EnsureTopics makes the topics that are missing, and checks that logs have one
// partition and are not compacted. An error that is not ErrTopic is worth
// another try. Where topics may not be made (Config.NoCreate, or the cluster
// refuses) the error holds the commands with which an operator makes them.
func EnsureTopics(ctx context.Context, cfg Config) error {
	k, err := connect(cfg)
	if err != nil {
		return err
	}
	defer k.close()
	there, err := k.topics(ctx)
	if err != nil {
		return fmt.Errorf("topics of the broker at %v: %w", k.cfg.Brokers, err)
	}
	var missing []kafka.TopicConfig
	for _, t := range wanted() {
		if there[t.name] == 0 {
			missing = append(missing, k.configOf(t))
		}
	}
	switch {
	case len(missing) > 0 && k.cfg.NoCreate:
		return k.byHand(missing, errNoCreate)
	case len(missing) > 0:
		if err := k.create(ctx, missing); err != nil {
			return err
		}
		if there, err = k.appeared(ctx, missing); err != nil {
			return err
		}
	}
	for _, t := range wanted() {
		if n := there[t.name]; t.log && n != 1 {
			return fmt.Errorf("%w: %s has %d partitions and must have one, since its order decides; make it anew", ErrTopic, t.name, n)
		}
	}
	return k.checkLogs(ctx)
}

var errNoCreate = errors.New("kafka.create_topics is false, or this is only a look")

// byHand says which topics are missing, and the commands that make them.
func (k *cluster) byHand(missing []kafka.TopicConfig, why error) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d topics are missing and gnomon may not make them (%v); an operator has to:", len(missing), why)
	for _, t := range missing {
		fmt.Fprintf(&b, "\n  kafka-topics.sh --bootstrap-server %s --create --topic %s --partitions %d --replication-factor %d",
			k.cfg.Brokers[0], t.Topic, t.NumPartitions, t.ReplicationFactor)
		for _, c := range t.ConfigEntries {
			fmt.Fprintf(&b, " --config %s=%s", c.ConfigName, c.ConfigValue)
		}
	}
	return errors.New(b.String())
}

// appeared waits for topics just made: a cluster's brokers learn of them one
// after the other.
func (k *cluster) appeared(ctx context.Context, made []kafka.TopicConfig) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	wait := backoff{first: 20 * time.Millisecond, limit: 500 * time.Millisecond}
	for {
		k.forget()
		there, err := k.topics(ctx)
		i := slices.IndexFunc(made, func(t kafka.TopicConfig) bool { return there[t.Topic] == 0 })
		if err == nil && i < 0 {
			return there, nil
		}
		if !wait.wait(ctx) {
			if err == nil {
				err = fmt.Errorf("%s is not there yet", made[i].Topic)
			}
			return nil, fmt.Errorf("topics just made: %w", err)
		}
	}
}

func (k *cluster) topics(ctx context.Context) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	res, err := k.client.Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return nil, err
	}
	there := make(map[string]int, len(res.Topics))
	for _, t := range res.Topics {
		if t.Error == nil {
			there[t.Name] = len(t.Partitions)
		}
	}
	return there, nil
}

func (k *cluster) configOf(t topic) kafka.TopicConfig {
	partitions := 1
	if t.spread {
		partitions = k.cfg.Partitions
	}
	retention := int64(t.retention / time.Millisecond)
	if t.retention == forEver {
		retention = -1
	}
	c := kafka.TopicConfig{
		Topic: t.name, NumPartitions: partitions, ReplicationFactor: k.cfg.Replication,
		ConfigEntries: []kafka.ConfigEntry{
			{ConfigName: "cleanup.policy", ConfigValue: "delete"},
			{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(retention, 10)},
			{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(t.maxBytes)},
		},
	}
	if k.cfg.Replication >= durableReplicas {
		c.ConfigEntries = append(c.ConfigEntries, kafka.ConfigEntry{ConfigName: minInsync, ConfigValue: strconv.Itoa(durableInsync)})
	}
	return c
}

// endless reports whether a topic must keep its records for ever.
func endless(name string) bool {
	return slices.ContainsFunc(topics, func(t topic) bool { return t.name == name && t.retention == forEver })
}

func (k *cluster) create(ctx context.Context, missing []kafka.TopicConfig) error {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	res, err := k.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: missing})
	if err != nil {
		return fmt.Errorf("making topics: %w", err)
	}
	for name, err := range res.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			if errors.Is(err, kafka.TopicAuthorizationFailed) || errors.Is(err, kafka.ClusterAuthorizationFailed) || errors.Is(err, kafka.PolicyViolation) {
				return k.byHand(missing, err)
			}
			return fmt.Errorf("making topic %s: %w", name, err)
		}
	}
	return nil
}

// checkLogs refuses logs that would be compacted: an old version of a policy is
// part of its history, and compaction is where records get lost.
func (k *cluster) checkLogs(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, exchange)
	defer cancel()
	req := &kafka.DescribeConfigsRequest{}
	for _, t := range topics {
		if t.log {
			req.Resources = append(req.Resources, kafka.DescribeConfigRequestResource{
				ResourceType: kafka.ResourceTypeTopic, ResourceName: t.name, ConfigNames: []string{"cleanup.policy", "retention.ms"},
			})
		}
	}
	res, err := k.client.DescribeConfigs(ctx, req)
	if err != nil {
		k.log.Warn("the configuration of the log topics could not be read: see yourself that they are not compacted", "err", err)
		return nil
	}
	for _, r := range res.Resources {
		i := slices.IndexFunc(r.ConfigEntries, func(e kafka.DescribeConfigResponseConfigEntry) bool { return e.ConfigName == "cleanup.policy" })
		if i >= 0 && r.ConfigEntries[i].ConfigValue != "delete" {
			return fmt.Errorf("%w: %s has cleanup.policy=%s and must have delete", ErrTopic, r.ResourceName, r.ConfigEntries[i].ConfigValue)
		}
		i = slices.IndexFunc(r.ConfigEntries, func(e kafka.DescribeConfigResponseConfigEntry) bool { return e.ConfigName == "retention.ms" })
		if i >= 0 && endless(r.ResourceName) && r.ConfigEntries[i].ConfigValue != "-1" {
			return fmt.Errorf("%w: %s has retention.ms=%s and must have -1: what expires is forgotten by every new reader", ErrTopic, r.ResourceName, r.ConfigEntries[i].ConfigValue)
		}
	}
	return nil
}
