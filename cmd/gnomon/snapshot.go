package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// snapshots keeps the one atomic pointer the data plane reads, and makes a new
// Snapshot whenever a policy or a piece of evidence arrives.
type snapshots struct {
	current atomic.Pointer[classifier.Snapshot]

	mu       sync.Mutex
	parts    classifier.Parts
	evidence map[string]schemas.EvidenceRecord
	behind   bool                       // the evidence topic is being read again: what is revoked further on must not be acted on
	path     string                     // where evidence outlives the process; empty: nowhere
	keep     func(*classifier.Snapshot) // what is decided by is kept; nil: nothing is decided here
	changed  func()                     // what evidence stands on has: the analyzer is to look; nil: nobody asks
	pending  *time.Timer                // evidence has come: a new Snapshot is due; nil: none is
	log      *slog.Logger
}

// newSnapshots starts from what is known without a broker: the fixed parts and
// the evidence on disk.
func newSnapshots(parts classifier.Parts, path string, keep func(*classifier.Snapshot), log *slog.Logger) *snapshots {
	s := &snapshots{keep: keep, parts: parts, evidence: map[string]schemas.EvidenceRecord{}, behind: true, path: path, log: log}
	raw, err := os.ReadFile(path)
	var records []schemas.EvidenceRecord
	switch {
	case path == "" || errors.Is(err, fs.ErrNotExist):
	case err != nil:
		log.Error("evidence snapshot cannot be read: nothing is acted on until the evidence topic has been read", "err", err)
	case json.Unmarshal(raw, &records) != nil:
		log.Error("evidence snapshot is damaged: nothing is acted on until the evidence topic has been read", "path", path)
	}
	for _, r := range records {
		s.evidence[evidenceKey(&r)] = r
	}
	s.rebuild()
	return s
}

// get is the data plane's read: one atomic load.
func (s *snapshots) get() *classifier.Snapshot { return s.current.Load() }

// setPolicies is the Keeper's onChange: only policies of this project matter here.
func (s *snapshots) setPolicies(all []schemas.Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts.Policies = nil
	for _, p := range all {
		if p.Project == s.parts.Project {
			s.parts.Policies = append(s.parts.Policies, p)
		}
	}
	s.rebuild()
}

// setNames is the Keeper's onChange: what discovered workloads of this project
// are called.
func (s *snapshots) setNames(all []schemas.Naming) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := namesIn(all, s.parts.Project)
	if slices.Equal(names, s.parts.Names) {
		return
	}
	s.parts.Names = names
	s.rebuild()
	s.tell()
}

// namesIn are what discovered workloads of a project are called, as a Snapshot
// has them.
func namesIn(all []schemas.Naming, project string) (names []classifier.Name) {
	for _, n := range all {
		if n.Project == project && n.Name != "" {
			names = append(names, classifier.Name{Found: n.Workload, Name: n.Name})
		}
	}
	return names
}

// setKnowledge takes what a configuration says of routes and scores.
func (s *snapshots) setKnowledge(l []classifier.Ladder, providers []classifier.Provider, threshold float64, m *classifier.Model) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.get().Model().Hash()
	s.parts.Ladders, s.parts.Providers, s.parts.DraftThreshold, s.parts.Model = l, providers, threshold, m
	s.rebuild()
	if was != m.Hash() {
		s.log.Warn("requests are scored by other weights from here on: evidence that stands on the scores of those before is held, and gathered anew",
			"before", fmt.Sprintf("%016x", was), "now", fmt.Sprintf("%016x", m.Hash()), "held", len(s.get().Stale()))
		s.tell()
	}
}

func (s *snapshots) tell() {
	if s.changed != nil {
		s.changed()
	}
}

// addEvidence takes one record of the evidence topic; a later one of the same
// candidate replaces it.
func (s *snapshots) addEvidence(value []byte) {
	var r schemas.EvidenceRecord
	if err := json.Unmarshal(value, &r); err != nil {
		s.log.Error("evidence record cannot be read and is ignored", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Project != s.parts.Project {
		return
	}
	key := evidenceKey(&r)
	before, known := s.evidence[key]
	if known && before.At.After(r.At) {
		return
	}
	s.evidence[key] = r
	switch {
	case s.behind:
	case before.State == schemas.EvidenceReady && r.State != schemas.EvidenceReady: // what is revoked is obeyed at once
		s.rebuild()
		s.save()
	case s.pending == nil:
		s.pending = time.AfterFunc(evidenceLinger, s.settle)
	}
}

// evidenceLinger is how long evidence waits for more: a look of the analyzer
// tells of every candidate one by one, and is one new Snapshot.
const evidenceLinger = 100 * time.Millisecond

// settle makes the Snapshot that evidence has made due.
func (s *snapshots) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = nil
	s.rebuild()
	s.save()
}

// evidenceCurrent is called when the evidence topic has been read to its end.
func (s *snapshots) evidenceCurrent() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = false
	s.rebuild()
	s.save()
}

// evidenceBehind reports whether the evidence topic is still being read.
func (s *snapshots) evidenceBehind() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behind
}

func evidenceKey(r *schemas.EvidenceRecord) string {
	return r.Project + "\x00" + r.Workload + "\x00" + r.Provider + "\x00" + r.RequestModel + "\x00" + r.Candidate
}

// rebuild makes a new Snapshot; mu is held (or nobody else knows s yet).
func (s *snapshots) rebuild() {
	parts := s.parts
	parts.Evidence = nil
	for _, key := range slices.Sorted(maps.Keys(s.evidence)) {
		r := s.evidence[key]
		if r.Provider == "" { // of a build that did not tell providers apart; the analyzer says it again
			continue
		}
		parts.Evidence = append(parts.Evidence, evidenceIn(&r))
	}
	next := classifier.NewSnapshot(parts)
	s.current.Store(next)
	if s.keep != nil {
		s.keep(next)
	}
}

// evidenceIn is a record as a Snapshot has it.
func evidenceIn(r *schemas.EvidenceRecord) classifier.Evidence {
	e := classifier.Evidence{Workload: r.Workload, Provider: r.Provider, RequestModel: r.RequestModel, Candidate: r.Candidate, State: r.State, OutputRatio: r.OutputRatio,
		Scorer: r.Scorer, Members: r.Members}
	if r.Adequacy != nil {
		e.Adequacy = *r.Adequacy
	}
	if r.Profile != nil {
		e.Profile = *r.Profile
	}
	return e
}

// save keeps the evidence for a start without a broker; mu is held. Where the
// disk does not take it, the next start knows less and acts less.
func (s *snapshots) save() {
	if s.path == "" {
		return
	}
	raw, err := json.Marshal(slices.Collect(maps.Values(s.evidence)))
	if err == nil {
		err = os.MkdirAll(filepath.Dir(s.path), 0o700)
	}
	if err == nil {
		err = os.WriteFile(s.path+".tmp", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(s.path+".tmp", s.path)
	}
	if err != nil {
		s.log.Error("evidence snapshot cannot be written", "path", s.path, "err", err)
	}
}
