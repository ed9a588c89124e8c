package pipeline

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestOnlyABrokerWithThreeReplicasFreesTheSpool(t *testing.T) {
	for _, c := range []struct {
		name     string
		replicas int
		insync   string // set after the topic was made; empty: as gnomon makes it
		frees    bool
	}{
		{"one replica: the store's acknowledgement is waited for", 1, "", false},
		{"three, of which one may have the record alone: the store's", 3, "1", false},
		{"three, of which two must have it: the broker's", 3, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBroker(t)
			if c.replicas > 1 && !realKafka() {
				t.Skip("the embedded broker has no replicas: make test-kafka")
			}
			b.replicas = c.replicas
			cfg := b.withTopics()
			if c.insync != "" {
				setInsync(t, cfg, c.insync)
			}
			sp := openSpool(t, t.TempDir())
			stop := shipping(t, cfg, sp) // and nobody ingests
			record(sp, 50)
			within(t, 20*time.Second, "all published", func() bool { return distinct(everything(t, cfg, schemas.TopicRequests)) == 50 })
			if c.frees {
				within(t, 10*time.Second, "all freed", sp.Settled)
			} else {
				time.Sleep(300 * time.Millisecond) // nothing to wait for: it must not come
				if sp.Settled() {
					t.Error("freed, and only the broker has it")
				}
			}
			stop()
			if err := sp.Close(); err != nil {
				t.Error(err)
			}
			said, err := CheckTopics(t.Context(), cfg)
			if err != nil || strings.HasPrefix(said, "its acknowledgement") != c.frees {
				t.Errorf("%q, %v", said, err)
			}
		})
	}
}

func setInsync(t *testing.T, cfg Config, n string) {
	t.Helper()
	k, err := connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	res, err := k.client.IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: schemas.TopicRequests,
		Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: minInsync, Value: n, ConfigOperation: kafka.ConfigOperationSet}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range res.Resources {
		if r.Error != nil {
			t.Fatal(r.Error)
		}
	}
	within(t, 10*time.Second, "the setting is known", func() bool {
		why, err := k.durable(t.Context(), schemas.TopicRequests)
		return err == nil && strings.Contains(why, minInsync+"="+n)
	})
}

func TestWhereTopicsMayNotBeMadeTheCommandsAreSaid(t *testing.T) {
	b := newBroker(t)
	cfg := b.config()
	cfg.NoCreate, cfg.Partitions, cfg.Replication = true, 12, 3
	err := EnsureTopics(t.Context(), cfg)
	if err == nil {
		t.Fatal("nothing was missing")
	}
	for _, want := range []string{
		"--create --topic gnomon.requests.v1 --partitions 12 --replication-factor 3 --config cleanup.policy=delete --config retention.ms=604800000",
		"--config min.insync.replicas=2",
		"--topic gnomon.policies.v1 --partitions 1 --replication-factor 3 --config cleanup.policy=delete --config retention.ms=-1",
		"--topic gnomon.policies.v1.dlq",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	k, err := connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	if there, err := k.topics(t.Context()); err != nil || there[schemas.TopicRequests] != 0 {
		t.Errorf("%v, %v", there, err)
	}
}

func TestABrokerWithTLSAndSASLIsReachedByEveryMechanism(t *testing.T) {
	if !realKafka() {
		t.Skip("the embedded broker knows neither: make test-kafka")
	}
	b := newBroker(t)
	b.withTopics()
	pem, err := os.ReadFile(filepath.Join(os.Getenv(kafkaFolder), "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	trusted.RootCAs.AppendCertsFromPEM(pem)
	secured := func(mechanism, password string, c *tls.Config) Config {
		cfg := b.config()
		cfg.Brokers, cfg.TLS, cfg.SASL = listed(t, "brokers-sasl"), c, SASL{Mechanism: mechanism, Username: "gnomon", Password: password}
		return cfg
	}
	for i, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		cfg := secured(mechanism, "gnomon-test", trusted)
		cfg.Group += mechanism
		store := newMemory()
		stop := ingesting(t, cfg, store)
		publish(t, cfg, schemas.TopicRequests, eventMessage(t, newEvent(9, uint64(i+1))))
		within(t, 20*time.Second, "the rows by "+mechanism, func() bool { return store.count() == i+1 })
		stop()
	}
	for what, cfg := range map[string]Config{
		"a wrong password":         secured("scram-sha-512", "no", trusted),
		"a wrong plain password":   secured("plain", "no", trusted),
		"an authority not trusted": secured("plain", "gnomon-test", &tls.Config{MinVersion: tls.VersionTLS12}),
		"no authentication":        secured("", "", trusted),
	} {
		if _, err := CheckTopics(t.Context(), cfg); err == nil {
			t.Errorf("%s got through", what)
		} else if strings.Contains(err.Error(), "gnomon-test") {
			t.Errorf("%s: the password is in %v", what, err)
		}
	}
}
