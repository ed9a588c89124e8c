package activation

import (
	"slices"

	"github.com/gnomon-llm/gnomon/schemas"
)

// chain is the accepted history of all workloads: the state machine of the
// policy log. It is not safe for concurrent use.
type chain struct {
	versions map[string][]schemas.Policy // by Policy.Key, version i+1 at index i
}

func newChain() *chain { return &chain{versions: map[string][]schemas.Policy{}} }

// accept applies one record and reports whether it continued the accepted
// version. A record seen before, or one that lost the race, is ignored.
func (c *chain) accept(p schemas.Policy) bool {
	have := c.versions[p.Key()]
	if int(p.Replaces) != len(have) || p.Version != p.Replaces+1 {
		return false
	}
	c.versions[p.Key()] = append(have, p)
	return true
}

// current returns the accepted version of a workload, nil when it has none.
func (c *chain) current(key string) *schemas.Policy {
	have := c.versions[key]
	if len(have) == 0 {
		return nil
	}
	p := have[len(have)-1]
	return &p
}

// latest returns the accepted version of every workload, by key.
func (c *chain) latest() []schemas.Policy {
	var all []schemas.Policy
	for _, have := range c.versions {
		all = append(all, have[len(have)-1])
	}
	slices.SortFunc(all, func(a, b schemas.Policy) int {
		if a.Key() < b.Key() {
			return -1
		}
		return 1
	})
	return all
}

// all returns every accepted record, a workload's in the order of its versions.
func (c *chain) all() []schemas.Policy {
	var all []schemas.Policy
	for _, p := range c.latest() {
		all = append(all, c.versions[p.Key()]...)
	}
	return all
}

// beyond returns what c has accepted and other has not: what a topic that other
// was read from has lost.
func (c *chain) beyond(other *chain) []schemas.Policy {
	var missing []schemas.Policy
	for _, p := range c.latest() {
		have := c.versions[p.Key()]
		if n := len(other.versions[p.Key()]); n < len(have) {
			missing = append(missing, have[n:]...)
		}
	}
	return missing
}

// differs names a workload of which c and other have accepted different records
// under one version; empty when there is none.
func (c *chain) differs(other *chain) string {
	for _, p := range c.latest() {
		mine, theirs := c.versions[p.Key()], other.versions[p.Key()]
		for i := range min(len(mine), len(theirs)) {
			a, b := mine[i], theirs[i]
			if a.Mode != b.Mode || a.Candidate != b.Candidate || a.Share != b.Share || a.Threshold != b.Threshold || !a.At.Equal(b.At) || a.Actor != b.Actor || string(a.Salt) != string(b.Salt) {
				return p.Key()
			}
		}
	}
	return ""
}
