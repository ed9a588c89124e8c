package main

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/internal/embedded"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/schemas"
)

// policyChildEnv names the folder of a process that changes policies until it is
// killed: broker, snapshot and whoever proposes in one, as in gnomon serve.
const policyChildEnv = "POLICY_CHILD"

const killedWorkloads = 3

func policyKeeper(ctx context.Context, dir string) (*activation.Keeper[schemas.Policy], *embedded.Broker, error) {
	b, err := embedded.StartBroker(ctx, embedded.BrokerConfig{Dir: filepath.Join(dir, "broker"), Listen: "127.0.0.1:0"})
	if err != nil {
		return nil, nil, err
	}
	cfg := pipeline.Config{Brokers: []string{b.Addr()}}
	if err := pipeline.EnsureTopics(ctx, cfg); err != nil {
		return nil, nil, err
	}
	k, err := activation.OpenKeeper(filepath.Join(dir, "policies.json"), recordTopic{cfg, schemas.TopicPolicies}, func([]schemas.Policy) {}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	go func() { _ = k.Run(ctx) }()
	for deadline := time.Now().Add(20 * time.Second); !k.Standing().Current; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, nil, fmt.Errorf("after 20 s the policies stand at %+v", k.Standing())
		}
	}
	return k, b, nil
}

// policyChild says each policy that it was told is in force.
func policyChild(dir string) error {
	ctx := context.Background()
	k, _, err := policyKeeper(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Println("ready", 0)
	for n := 0; ; n++ {
		workload := fmt.Sprintf("w%d", n%killedWorkloads)
		p := schemas.Policy{Project: "acme", Workload: workload, Mode: schemas.ModeCanary, Candidate: "openai/small", Actor: "ann", Reason: "try"}
		p.Replaces = uint32(len(k.History(p.Key())))
		if p, err = k.Propose(ctx, p); err != nil {
			return err
		}
		fmt.Println(workload, p.Version)
	}
}

func TestNoPolicyThatWasToldToBeInForceIsLostByKill9(t *testing.T) {
	const kills = 50
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(50, 9))
	told := map[string]uint32{}
	for n := range kills {
		if n%10 == 9 {
			// As a kill in the middle of rewriting its log leaves the broker: the snapshot holds.
			if err := os.RemoveAll(filepath.Join(dir, "broker")); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), policyChildEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var workload string
			var version uint32
			if _, err := fmt.Sscan(lines.Text(), &workload, &version); err != nil {
				break // cut by the kill
			}
			if workload == "ready" {
				time.AfterFunc(time.Duration(rnd.IntN(30_000))*time.Microsecond, func() { _ = cmd.Process.Kill() })
				continue
			}
			if version <= told[workload] { // it may be ahead: what was taken and killed before it was told
				t.Errorf("kill %d: %s is at version %d, and %d was told to be in force", n, workload, version, told[workload])
			}
			told[workload] = version
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	k, b, err := policyKeeper(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	changes := uint32(0)
	for workload, version := range told {
		changes += version
		for v, p := range k.History("acme/" + workload) {
			if p.Version != uint32(v+1) {
				t.Errorf("%s: version %d stands at place %d", workload, p.Version, v+1)
			}
		}
		if have := uint32(len(k.History("acme/" + workload))); have < version {
			t.Errorf("%s: version %d was told to be in force, %d are left", workload, version, have)
		}
	}
	if changes < kills/2 {
		t.Errorf("only %d changes in %d lives: the test does not cover what it says", changes, kills)
	}
	t.Logf("%d changes told to be in force, %d kills, %d times the broker's folder was gone", changes, kills, kills/10)
}
