package pipeline

import (
	"context"
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

// kafkaFolder names the environment variable with the folder of a cluster that
// deploy/kafka-test/cluster.sh has made. It is no configuration of gnomon, and
// without it the embedded broker is tested.
const kafkaFolder = "KAFKA_TEST_DIR"

// realKafka says that these tests run against Apache Kafka.
func realKafka() bool { return os.Getenv(kafkaFolder) != "" }

// testBroker is the broker under test; it can be stopped and started on its
// address, and lose all it has.
type testBroker struct {
	t     testing.TB
	addrs []string
	// replicas of topics made by withTopics; 0: as gnomon would, which on three
	// brokers makes the broker's acknowledgement free the spool.
	replicas int

	dir string // embedded
	b   *embedded.Broker
}

func newBroker(t testing.TB) *testBroker {
	t.Helper()
	tb := &testBroker{t: t}
	if realKafka() {
		tb.addrs = listed(t, "brokers")
		tb.start()
		tb.lose()
		t.Cleanup(tb.start) // the next test's, too
		return tb
	}
	tb.dir, tb.addrs = t.TempDir(), []string{"127.0.0.1:0"}
	tb.start()
	t.Cleanup(tb.stop)
	return tb
}

// listed reads addresses that cluster.sh has written.
func listed(t testing.TB, file string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(os.Getenv(kafkaFolder), file))
	if err != nil {
		t.Fatalf("%s names no cluster made by deploy/kafka-test/cluster.sh up: %v", kafkaFolder, err)
	}
	return strings.Split(strings.TrimSpace(string(raw)), ",")
}

// cluster runs a verb of cluster.sh.
func (tb *testBroker) cluster(args ...string) {
	tb.t.Helper()
	args = append([]string{args[0], os.Getenv(kafkaFolder)}, args[1:]...)
	cmd := exec.Command("../../deploy/kafka-test/cluster.sh", args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		tb.t.Fatalf("cluster.sh %v: %v", args, err)
	}
}

func (tb *testBroker) start() {
	tb.t.Helper()
	if realKafka() {
		tb.cluster("start")
		return
	}
	b, err := embedded.StartBroker(context.Background(), embedded.BrokerConfig{Dir: tb.dir, Listen: tb.addrs[0], Log: testLog(tb.t)})
	if err != nil {
		tb.t.Fatal(err)
	}
	tb.b, tb.addrs = b, []string{b.Addr()}
}

// stop ends the broker: the embedded one in good order, Kafka's by kill -9.
func (tb *testBroker) stop() {
	if realKafka() {
		tb.cluster("stop")
		return
	}
	if tb.b != nil {
		_ = tb.b.Close()
		tb.b = nil
	}
}

// lose takes every record away, and every topic: the embedded broker's folder,
// Kafka's topics. The broker is away meanwhile, or refuses.
func (tb *testBroker) lose() {
	tb.t.Helper()
	if !realKafka() {
		tb.stop()
		tb.dir = tb.t.TempDir()
		tb.start()
		return
	}
	k, err := connect(tb.config())
	if err != nil {
		tb.t.Fatal(err)
	}
	defer k.close()
	ctx := context.Background() // in a cleanup the test's is over
	within(tb.t, 15*time.Second, "all topics deleted", func() bool {
		there, err := k.topics(ctx)
		if err != nil {
			k.forget()
			return false
		}
		var names []string
		for name := range there {
			if !strings.HasPrefix(name, "__") {
				names = append(names, name)
			}
		}
		if len(names) == 0 {
			return true
		}
		_, _ = k.client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: names})
		k.forget()
		return false
	})
}

// loseAndFill is lose, with topics and records made anew; of the embedded
// broker's nobody sees anything before it is filled.
func (tb *testBroker) loseAndFill(fill func(Config)) {
	tb.t.Helper()
	if realKafka() {
		tb.lose()
		fill(tb.withTopics())
		return
	}
	tb.stop()
	addrs := tb.addrs
	tb.dir, tb.addrs = tb.t.TempDir(), []string{"127.0.0.1:0"}
	tb.start()
	fill(tb.withTopics())
	tb.stop()
	tb.addrs = addrs
	tb.start()
}

func (tb *testBroker) config() Config {
	return Config{Brokers: tb.addrs, Log: testLog(tb.t), Linger: 50 * time.Millisecond, Group: fmt.Sprintf("%s-%p", tb.t.Name(), tb), Replication: tb.replicas}
}

// withTopics makes the topics. A cluster that was killed and had its topics
// deleted may not serve a partition of the same name for minutes: then they are
// made once more, while nothing is in them yet.
func (tb *testBroker) withTopics() Config {
	tb.t.Helper()
	cfg := tb.config()
	for range 5 {
		within(tb.t, 20*time.Second, "topics made", func() bool {
			err := EnsureTopics(context.Background(), cfg)
			if err != nil {
				tb.t.Log(err)
			}
			return err == nil
		})
		if !realKafka() || tb.settled(cfg) {
			return cfg
		}
		tb.t.Log("not every partition is served: the topics are made anew")
		tb.lose()
	}
	tb.t.Fatal("not every partition is served")
	return cfg
}

// settled waits until every partition has a leader that knows it: the cluster's
// brokers learn of new topics one after the other.
func (tb *testBroker) settled(cfg Config) bool {
	k, err := connect(cfg)
	if err != nil {
		tb.t.Fatal(err)
	}
	defer k.close()
	deadline := time.Now().Add(10 * time.Second)
	for _, t := range wanted() {
		n := 1
		if t.spread {
			n = max(k.cfg.Partitions, 1)
		}
		for p := range n {
			for {
				_, _, err := k.ends(context.Background(), t.name, p)
				if err == nil {
					break
				}
				if time.Now().After(deadline) {
					return false
				}
				k.forget()
				time.Sleep(50 * time.Millisecond)
			}
		}
	}
	return true
}
