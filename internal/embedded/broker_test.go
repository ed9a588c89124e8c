package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/internal/embedded"
)

func startBroker(t testing.TB, dir string) *embedded.Broker {
	t.Helper()
	b, err := embedded.StartBroker(context.Background(), embedded.BrokerConfig{Dir: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func createTopic(addr, topic string, configs ...kafka.ConfigEntry) error {
	c := &kafka.Client{Addr: kafka.TCP(addr), Timeout: 10 * time.Second}
	resp, err := c.CreateTopics(context.Background(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: topic, NumPartitions: 1, ReplicationFactor: 1, ConfigEntries: configs},
	}})
	if err != nil {
		return err
	}
	return resp.Errors[topic]
}

func write(t testing.TB, addr, topic string, from, to int) {
	t.Helper()
	w := &kafka.Writer{Addr: kafka.TCP(addr), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond}
	defer func() { _ = w.Close() }()
	var msgs []kafka.Message
	for i := from; i < to; i++ {
		msgs = append(msgs, kafka.Message{Key: []byte("k"), Value: fmt.Append(nil, i)})
	}
	if err := w.WriteMessages(context.Background(), msgs...); err != nil {
		t.Fatal(err)
	}
}

func TestTheBrokerKeepsRecordsAndOffsetsOverARestart(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	b := startBroker(t, dir)
	if err := createTopic(b.Addr(), "a"); err != nil {
		t.Fatal(err)
	}
	write(t, b.Addr(), "a", 0, 1000)
	read := func(addr string, n int) (first, last string) {
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: "a", GroupID: "g", MaxWait: 50 * time.Millisecond})
		defer func() { _ = r.Close() }()
		for i := range n {
			m, err := r.FetchMessage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = string(m.Value)
			}
			last = string(m.Value)
			if i == n-1 {
				if err := r.CommitMessages(ctx, m); err != nil {
					t.Fatal(err)
				}
			}
		}
		return first, last
	}
	if first, last := read(b.Addr(), 400); first != "0" || last != "399" {
		t.Fatalf("read %s to %s", first, last)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = startBroker(t, dir)
	write(t, b.Addr(), "a", 1000, 1100)
	if first, last := read(b.Addr(), 700); first != "400" || last != "1099" {
		t.Errorf("after the restart the group read %s to %s", first, last)
	}
}

func TestTheBrokerLosesNothingThatItAcknowledgedByKill9(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	var addr string
	if _, err := fmt.Fscan(out, &addr); err != nil {
		t.Fatal(err)
	}
	if err := createTopic(addr, "a"); err != nil {
		t.Fatal(err)
	}
	acknowledged := make(chan int, 1)
	go func() { // writes until the broker is gone
		w := &kafka.Writer{Addr: kafka.TCP(addr), Topic: "a", RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, MaxAttempts: 1}
		defer func() { _ = w.Close() }()
		n := 0
		for w.WriteMessages(context.Background(), kafka.Message{Value: fmt.Append(nil, n)}) == nil {
			if n++; n == 200 {
				_ = cmd.Process.Kill()
			}
		}
		acknowledged <- n
	}()
	n := <-acknowledged
	_ = cmd.Wait()
	b := startBroker(t, dir)
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{b.Addr()}, Topic: "a", MaxWait: 50 * time.Millisecond})
	defer func() { _ = r.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for i := range n {
		if m, err := r.ReadMessage(ctx); err != nil || string(m.Value) != fmt.Sprint(i) {
			t.Fatalf("record %d of %d is %q, %v", i, n, m.Value, err)
		}
	}
}

func TestTheBrokerRefuses(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, dir)
	for _, c := range []struct{ name, dir, listen, want string }{
		{"an address that others reach", t.TempDir(), "0.0.0.0:0", "kafka.listen"},
		{"an address of another machine", t.TempDir(), "192.0.2.1:19092", "kafka.listen"},
		{"no address", t.TempDir(), "19092", "kafka.listen"},
		{"a taken port", t.TempDir(), b.Addr(), "kafka.listen"},
		{"a folder in use", dir, "127.0.0.1:0", "in use by process"},
		{"a folder that cannot be made", filepath.Join("/dev/null", "x"), "127.0.0.1:0", "data_dir"},
	} {
		t.Run(c.name, func(t *testing.T) {
			other, err := embedded.StartBroker(context.Background(), embedded.BrokerConfig{Dir: c.dir, Listen: c.listen})
			if err == nil {
				_ = other.Close()
				t.Fatal("it started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v does not say %q", err, c.want)
			}
		})
	}
}

func TestNoTopicIsMadeByUseNorCompacted(t *testing.T) {
	b := startBroker(t, t.TempDir())
	if err := createTopic(b.Addr(), "c", kafka.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"}); err == nil {
		t.Error("a compacted topic was made")
	}
	if err := createTopic(b.Addr(), "d", kafka.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "delete"}); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	c := &kafka.Client{Addr: kafka.TCP(b.Addr()), Timeout: 10 * time.Second}
	if r, err := c.IncrementalAlterConfigs(context.Background(), &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: "d", Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "cleanup.policy", Value: "compact,delete"}}},
	}}); err == nil && r.Resources[0].Error == nil {
		t.Error("a topic was made compacted")
	}
	w := &kafka.Writer{Addr: kafka.TCP(b.Addr()), Topic: "nobody-made-this", MaxAttempts: 1, BatchTimeout: time.Millisecond}
	defer func() { _ = w.Close() }()
	if err := w.WriteMessages(context.Background(), kafka.Message{Value: []byte("x")}); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("writing to a topic that is not there: %v", err)
	}
}
