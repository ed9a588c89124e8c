package rehearsal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// memory is a Rehearser's state as it rests between two lives: what was spent
// today, the open strata, and what the gates have seen.
type memory struct {
	Version   int                      `json:"version"`
	SavedAt   time.Time                `json:"saved_at"`
	Workloads map[string]workloadState `json:"workloads"`
}

type workloadState struct {
	Pace  pace             `json:"pace"`
	Gates map[string]*gate `json:"gates"`
}

const memoryVersion = 1

// State returns the memory as JSON. What is on its way counts as spent: better
// to spend less than to forget it in a crash.
func (r *Rehearser) State(now time.Time) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := memory{Version: memoryVersion, SavedAt: now.UTC(), Workloads: map[string]workloadState{}}
	for name, w := range r.workloads {
		p := w.sampler.s
		p.Spent, p.Reserved = p.Spent+p.Reserved, 0
		m.Workloads[name] = workloadState{p, w.gates}
	}
	return json.MarshalIndent(m, "", " ")
}

// Restore takes over the memory that State wrote.
func (r *Rehearser) Restore(state []byte) error {
	var m memory
	if err := json.Unmarshal(state, &m); err != nil {
		return fmt.Errorf("read the rehearsal's memory: %w", err)
	}
	if m.Version != memoryVersion {
		return fmt.Errorf("the rehearsal's memory has version %d, not %d", m.Version, memoryVersion)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, s := range m.Workloads {
		w := r.workload(name, Plan{})
		w.sampler.s = s.Pace
		for key, g := range s.Gates {
			if g != nil {
				w.gates[key] = g
			}
		}
	}
	return nil
}

// stateFile is the memory's name in the data folder.
const stateFile = "rehearsal.json"

func (r *Rehearser) save(dir string, now time.Time) error {
	if dir == "" {
		return nil
	}
	r.saving.Lock()
	defer r.saving.Unlock()
	b, err := r.State(now)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep what rehearsal has spent: %w", err)
	}
	tmp := filepath.Join(dir, stateFile+".tmp")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("keep what rehearsal has spent: %w", err)
	}
	return os.Rename(tmp, filepath.Join(dir, stateFile))
}

// load restores the memory of an earlier life; none is no error.
func (r *Rehearser) load(dir string) error {
	if dir == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.Restore(b)
}

// AtLeast raises what each workload has spent today to what another road knows.
func (r *Rehearser) AtLeast(spent map[string]schemas.NanoUSD, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, usd := range spent {
		if plan, ok := r.cfg.Plan(name); ok {
			r.workload(name, plan).sampler.AtLeast(usd, now)
		}
	}
}
