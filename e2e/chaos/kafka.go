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
// the fault that only a cluster has. Its topics are not emptied between seeds, and
// what a seed leaves there belongs to no other: one seed a cluster.
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
	faults = append(faults, fault{"a broker of the cluster is killed", 0, func(ctx context.Context, _ *world, rnd *rand.Rand) error {
		n := strconv.Itoa(1 + rnd.IntN(3))
		if err := script("stop", dir, n); err != nil {
			return err
		}
		pause(ctx, rnd, 2000)
		return script("start", dir, n)
	}})
	return nil
}
