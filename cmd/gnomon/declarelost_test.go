package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/schemas"
)

func TestWhatALostDiskHeldIsDeclaredUntilItComesAfterAll(t *testing.T) {
	n := testNode(t)
	const boot = 4242
	long := time.Now().Add(-time.Hour)
	publish := func(topic string, record any, headers ...pipeline.Header) {
		t.Helper()
		value, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		headers = append(headers, pipeline.Header{Key: "schema-version", Value: []byte(schemas.SchemaVersion)})
		if err := n.pub.Publish(t.Context(), topic, pipeline.Message{Key: []byte("k"), Value: value, Headers: headers}); err != nil {
			t.Fatal(err)
		}
	}
	row := func(seq uint64) {
		publish(schemas.TopicRequests, schemas.RequestEvent{Version: schemas.SchemaVersion, Project: "acme", Ts: long.UTC(), RequestID: uuid.Must(uuid.NewV7()).String(),
			Revision: 1, BootID: boot, Seq: seq, Status: schemas.StatusOK, Workload: "chat", Mode: schemas.ModeObserve, Arm: schemas.ArmNone})
	}
	for seq := range uint64(6) {
		row(seq + 1)
	}
	publish(schemas.TopicHeartbeats, schemas.Heartbeat{Version: schemas.SchemaVersion, BootID: boot, Proxy: "gone", At: long.UTC(), Accepted: 10, Ended: 10, LastSeq: 10})
	account := func() string {
		r, err := n.reader.Load().Query(t.Context(), fmt.Sprintf("SELECT stored, declared, difference FROM gnomon.completeness WHERE boot_id = %d", boot))
		if err != nil || len(r.Rows) != 1 {
			return fmt.Sprint(r, err)
		}
		return fmt.Sprint(r.Rows[0]...)
	}
	until(t, "six of ten are stored", func() bool { return account() == "6 0 4" })
	set := []string{"--set", "clickhouse.listen=" + n.c.ClickHouse.Listen, "--set", "kafka.listen=" + n.c.Kafka.Listen}
	gnomon := func(want int, says string, args ...string) {
		t.Helper()
		if code, out, errs := call(t, append(append([]string{"declare-lost"}, args...), set...)...); code != want || !strings.Contains(out+errs, says) {
			t.Errorf("gnomon declare-lost %v: status %d: %s%s", args, code, out, errs)
		}
	}
	gnomon(exitDone, "4242")
	gnomon(exitDone, "Nobody", "--silent", "2h")
	gnomon(exitError, "silent for 2h", "4242", "--silent", "2h")
	gnomon(exitUsage, "no boot id", "front-1")
	gnomon(exitDone, "4 that the store does not have", "4242")
	until(t, "four are declared", func() bool { return account() == "6 4 0" })
	gnomon(exitDone, "Nobody")
	row(7)
	until(t, "a row that comes after all beats its declaration", func() bool { return account() == "7 3 0" })
}
