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
