package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gnomon-llm/gnomon/activation"
)

// placesEvery is how often the proxy's disk is told which discovered workloads
// have a place: rarely one comes.
const placesEvery = time.Minute

// recallPlaces gives discovered workloads the places of the earlier life.
func (n *node) recallPlaces() {
	raw, err := os.ReadFile(n.placesFile())
	var places []uint64
	if err == nil {
		err = json.Unmarshal(raw, &places)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.Error("the places of discovered workloads cannot be read; they are found again", "path", n.placesFile(), "err", err)
	}
	n.proxy.Observer().Recall(places)
}

func (n *node) placesFile() string {
	return filepath.Join(n.c.DataDir, "proxy", "discovered.json")
}

// carryNames publishes that workloads go on under the names that earlier rules
// found them by, so that proxies without a memory of those, and readers, know. The
// proxy tells of one as long as no record says so.
func (n *node) carryNames(ctx context.Context) {
	tick := time.NewTicker(carryEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for found, of := range n.proxy.Observer().Carried() {
			record, due := activation.Carry(n.c.Project, found, of, n.nameActions().List(n.c.Project))
			if !due {
				continue
			}
			if _, err := n.nameActions().propose(ctx, record); err != nil { // or another proxy was first
				n.log.Warn("that a discovered workload goes on under its name cannot be published; it is tried again", "workload", found, "name", of, "err", err)
			}
		}
	}
}

// carryEvery is how often the proxy is asked which names go on.
const carryEvery = 5 * time.Second

// keepPlaces writes them, now and then, and at the end.
func (n *node) keepPlaces(ctx context.Context) {
	var kept []uint64
	tick := time.NewTicker(placesEvery)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case <-tick.C:
		}
		places := n.proxy.Observer().Places()
		if slices.Equal(places, kept) {
			continue
		}
		raw, err := json.Marshal(places)
		if err == nil {
			err = os.WriteFile(n.placesFile()+".tmp", raw, 0o600)
		}
		if err == nil {
			err = os.Rename(n.placesFile()+".tmp", n.placesFile())
		}
		if err != nil {
			n.log.Error("the places of discovered workloads cannot be written", "path", n.placesFile(), "err", err)
			continue
		}
		kept = places
	}
}
