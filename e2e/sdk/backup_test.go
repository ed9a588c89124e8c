package sdk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The handbook's backup: gnomon stopped, its data folder copied, and the copy put
// in its place.
func TestACopyOfTheDataFolderIsABackup(t *testing.T) {
	g := askedAndStored(t)
	if out, err := g.cli("activate", "e2e/openai", "--candidate", "openai/gpt-4o-mini", "--share", "100%", "--reason", "test", "--override", "--unseen"); err != nil {
		t.Fatalf("activate: %v\n%s", err, out)
	}
	g.complete()
	before := g.rows("SELECT groupArray((request_id, status, cost)) FROM (SELECT * FROM gnomon.requests FINAL ORDER BY request_id)")
	g.stop()
	data, copied := filepath.Join(g.dir, "data"), filepath.Join(g.dir, "copied")
	if out, err := exec.Command("cp", "-a", data, copied).CombinedOutput(); err != nil { // with its modes: the writer's password is nobody else's
		t.Fatalf("%v\n%s", err, out)
	}
	// What comes after the backup is lost with the folder.
	g.start()
	if err := newClients(g).one(t.Context(), "openai", "plain", "plain-later"); err != nil {
		t.Fatal(err)
	}
	g.count(6)
	g.stop()
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(copied, data); err != nil {
		t.Fatal(err)
	}
	g.start()
	g.count(5)
	if after := g.rows("SELECT groupArray((request_id, status, cost)) FROM (SELECT * FROM gnomon.requests FINAL ORDER BY request_id)"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("restored %v\nof %v", after, before)
	}
	// And it goes on: policy, accounts and new requests.
	if err := newClients(g).one(t.Context(), "openai", "plain", "plain-after"); err != nil {
		t.Fatal(err)
	}
	g.count(6)
	g.complete()
	if mode := g.rows("SELECT mode FROM gnomon.accepted_policies ORDER BY version DESC LIMIT 1"); len(mode) != 1 || mode[0][0] == "observe" {
		t.Errorf("the policy is %v", mode)
	}
}
