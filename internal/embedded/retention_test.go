package embedded

import (
	"context"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

func TestOldRecordsGoOnlyWhereTheirTopicSaysSo(t *testing.T) {
	b, err := StartBroker(context.Background(), BrokerConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	c := &kafka.Client{Addr: kafka.TCP(b.Addr()), Timeout: 10 * time.Second}
	for _, x := range []struct {
		topic, retention string
		left             int64
	}{{"day", "86400000", 1}, {"week", "604800000", 2}, {"endless", "-1", 2}, {"unsaid", "", 2}} {
		topic := kafka.TopicConfig{Topic: x.topic, NumPartitions: 1, ReplicationFactor: 1}
		if x.retention != "" {
			topic.ConfigEntries = []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: x.retention}}
		}
		if resp, err := c.CreateTopics(context.Background(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{topic}}); err != nil || resp.Errors[x.topic] != nil {
			t.Fatal(err, resp)
		}
		w := &kafka.Writer{Addr: kafka.TCP(b.Addr()), Topic: x.topic, BatchSize: 1, RequiredAcks: kafka.RequireAll}
		for _, age := range []time.Duration{36 * time.Hour, 0} { // one batch each
			if err := w.WriteMessages(context.Background(), kafka.Message{Value: []byte("x"), Time: time.Now().Add(-age)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		b.cluster.ApplyRetention()
		resp, err := c.ListOffsets(context.Background(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{x.topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
		if err != nil {
			t.Fatal(err)
		}
		if p := resp.Topics[x.topic][0]; p.LastOffset-p.FirstOffset != x.left {
			t.Errorf("%s: offsets %d to %d are left, not %d records", x.topic, p.FirstOffset, p.LastOffset, x.left)
		}
	}
}
