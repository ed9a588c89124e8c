package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// useKafka puts the addresses of a cluster in the place of its folder, and adds
// the fault that only a cluster has. What a seed leaves in its topics belongs to no
// other: each seed has the cluster anew.
func useKafka(o *options) error {
	dir := o.kafka
	raw, err := os.ReadFile(filepath.Join(dir, "brokers"))
	if err != nil {
		return fmt.Errorf("-kafka names no folder of deploy/kafka-test/cluster.sh: %w", err)
	}
	o.kafka = strings.TrimSpace(string(raw))
	script := func(args ...string) error {
		out, err := exec.Command("deploy/kafka-test/cluster.sh", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("cluster.sh %v: %w: %s", args, err, out)
		}
		return nil
	}
	// On a machine that is too busy a broker of it may end by itself while it starts.
	o.renew = func() (err error) {
		for range 3 {
			if err = script("renew", dir); err == nil {
				return nil
			}
		}
		return err
	}
	faults = append(faults, fault{name: "a broker of the cluster is killed", do: func(ctx context.Context, _ *world, rnd *rand.Rand) error {
		n := strconv.Itoa(1 + rnd.IntN(3))
		if err := script("stop", dir, n); err != nil {
			return err
		}
		pause(ctx, rnd, 2000)
		return script("start", dir, n)
	}})
	return nil
}
