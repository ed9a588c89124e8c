package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/schemas"
)

// decidedBy keeps what this proxy decides by, so that its decisions can be taken
// again: each snapshot, each price book and weights that are not the
// shipped ones, once per hash, on disk and then on its
// topic. Whoever changes a policy waits for neither: a disk that hangs must not
// hold up a roll-back. They are published again at every start: a broker that has
// lost its folder meanwhile costs nothing.
type decidedBy struct {
	dir     string // empty: nowhere but on the topic
	publish func(ctx context.Context, topic string, msgs ...pipeline.Message) error
	log     *slog.Logger
	more    chan struct{} // to publish
	dirty   chan struct{} // to write

	mu      sync.Mutex
	known   map[string]bool                   // seen in this life, by file name
	waiting map[string]schemas.SnapshotRecord // not published in this life
	unsaved map[string]schemas.SnapshotRecord // not on disk
}

// keptFor is how long a file stays after its last use: longer than a broker
// keeps the topic.
const keptFor = 8 * 24 * time.Hour

func newDecidedBy(dir string, publish func(context.Context, string, ...pipeline.Message) error, log *slog.Logger) *decidedBy {
	return &decidedBy{dir: dir, publish: publish, log: log, more: make(chan struct{}, 1), dirty: make(chan struct{}, 1),
		known: map[string]bool{}, waiting: map[string]schemas.SnapshotRecord{}, unsaved: map[string]schemas.SnapshotRecord{}}
}

// keep is called with every snapshot that is decided by. What
// cannot be kept is told, and no reason not to serve: its decisions will be
// reported as not replayable.
func (k *decidedBy) keep(s *classifier.Snapshot) {
	sealed := s.Sealed()
	at := time.Now().UTC().Truncate(time.Millisecond)
	if prices := s.Parts().Prices; prices != nil {
		k.add(schemas.SnapshotRecord{Kind: schemas.KindPriceBook, Hash: sealed.Prices, At: at}, prices)
	}
	if m := s.Model(); m != classifier.Builtin() { // which every build brings along
		k.add(schemas.SnapshotRecord{Kind: schemas.KindWeights, Hash: m.Hash(), At: at}, m.Weights().Encode())
	}
	k.add(schemas.SnapshotRecord{
		Kind: schemas.KindSnapshot, Hash: sealed.Hash, Project: sealed.Parts.Project, At: at, ClassifierVer: sealed.Origin.Version,
		ModelHash: sealed.Origin.Model, RulesHash: sealed.Origin.Rules, PricesHash: sealed.Prices, PoliciesHash: sealed.PoliciesHash(),
	}, &sealed)
}

func (k *decidedBy) add(r schemas.SnapshotRecord, whole any) {
	name := fmt.Sprintf("%s-%016x.json", r.Kind, r.Hash)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[name] {
		return
	}
	raw, err := json.Marshal(whole)
	if err != nil {
		k.log.Error("a snapshot cannot be kept: decisions by it cannot be replayed", "file", name, "err", err)
		return
	}
	r.Version, r.Record = schemas.SchemaVersion, raw
	k.known[name], k.waiting[name], k.unsaved[name] = true, r, r
	for _, c := range []chan struct{}{k.more, k.dirty} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// save writes to disk what is decided by, until ctx ends.
func (k *decidedBy) save(ctx context.Context) {
	for {
		k.flush()
		select {
		case <-ctx.Done():
			k.flush()
			return
		case <-k.dirty:
		}
	}
}

// flush writes what is not on disk yet.
func (k *decidedBy) flush() {
	k.mu.Lock()
	due := k.unsaved
	k.unsaved = map[string]schemas.SnapshotRecord{}
	k.mu.Unlock()
	for name, r := range due {
		if err := k.write(name, &r); err != nil {
			k.log.Error("a snapshot cannot be written to disk: if this process ends before the broker has it, decisions by it cannot be replayed", "file", name, "err", err)
		}
	}
}

// write keeps a record on disk; one that is there from an earlier life is in use
// again.
func (k *decidedBy) write(name string, r *schemas.SnapshotRecord) error {
	if k.dir == "" {
		return nil
	}
	path := filepath.Join(k.dir, name)
	now := time.Now()
	if os.Chtimes(path, now, now) == nil {
		return nil
	}
	raw, err := json.Marshal(r)
	if err == nil {
		err = os.MkdirAll(k.dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(path+".tmp", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	return err
}

// run publishes what waits until ctx ends, beginning with what earlier lives
// left on disk.
func (k *decidedBy) run(ctx context.Context) error {
	if err := k.recall(); err != nil {
		k.log.Error("snapshots of earlier lives cannot be read: what the store lacks of them cannot be replayed", "dir", k.dir, "err", err)
	}
	for {
		k.mu.Lock()
		names := slices.Sorted(maps.Keys(k.waiting)) // price books before the snapshots that name them
		records := make([]schemas.SnapshotRecord, len(names))
		for i, name := range names {
			records[i] = k.waiting[name]
		}
		k.mu.Unlock()
		for i := range records {
			value, err := json.Marshal(&records[i])
			if err != nil {
				return fmt.Errorf("snapshot %s: %w", names[i], err)
			}
			if err := k.publish(ctx, schemas.TopicSnapshots, pipeline.Message{Key: []byte(names[i]), Value: value}); err != nil {
				return err
			}
			k.mu.Lock()
			delete(k.waiting, names[i])
			k.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-k.more:
		}
	}
}

// recall adds what earlier lives left on disk to what waits, and removes what
// nobody has used for long.
func (k *decidedBy) recall() error {
	if k.dir == "" {
		return nil
	}
	entries, err := os.ReadDir(k.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(k.dir, e.Name())
		info, infoErr := e.Info()
		if infoErr != nil || !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		if time.Since(info.ModTime()) > keptFor {
			err = errors.Join(err, os.Remove(path))
			continue
		}
		var r schemas.SnapshotRecord
		raw, readErr := os.ReadFile(path)
		if readErr == nil {
			readErr = json.Unmarshal(raw, &r)
		}
		if readErr != nil {
			err = errors.Join(err, readErr)
			continue
		}
		k.mu.Lock()
		if !k.known[e.Name()] {
			k.known[e.Name()], k.waiting[e.Name()] = true, r
		}
		k.mu.Unlock()
	}
	return err
}
