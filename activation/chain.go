package activation

import (
	"cmp"
	"slices"
	"time"
)

// Record is one version of something that many must agree on without a lock: it
// names the version it replaces, and every reader accepts the first record, in
// the order of its topic, that continues what it has accepted. Policies and keys
// are Records.
type Record[R any] interface {
	Key() string // of what the record is a version of; its key on the topic
	Noun() string
	Valid() bool
	Place() (version, replaces uint32)
	Next(at time.Time) R // as the version after the one it replaces
	Same(R) bool
	By() string
}

// chain is the accepted history of all keys: the state machine of the log. It
// is not safe for concurrent use.
type chain[R Record[R]] struct {
	versions map[string][]R // by Key, version i+1 at index i
}

func newChain[R Record[R]]() *chain[R] { return &chain[R]{versions: map[string][]R{}} }

// accept applies one record and reports whether it continued the accepted
// version. A record seen before, or one that lost the race, is ignored.
func (c *chain[R]) accept(p R) bool {
	have := c.versions[p.Key()]
	if version, replaces := p.Place(); int(replaces) != len(have) || version != replaces+1 {
		return false
	}
	c.versions[p.Key()] = append(have, p)
	return true
}

// current returns the accepted version of a key, nil when it has none.
func (c *chain[R]) current(key string) *R {
	have := c.versions[key]
	if len(have) == 0 {
		return nil
	}
	p := have[len(have)-1]
	return &p
}

// latest returns the accepted version of every key, by key.
func (c *chain[R]) latest() []R {
	var all []R
	for _, have := range c.versions {
		all = append(all, have[len(have)-1])
	}
	slices.SortFunc(all, func(a, b R) int { return cmp.Compare(a.Key(), b.Key()) })
	return all
}

// all returns every accepted record, a key's in the order of its versions.
func (c *chain[R]) all() []R {
	var all []R
	for _, p := range c.latest() {
		all = append(all, c.versions[p.Key()]...)
	}
	return all
}

// beyond returns what c has accepted and other has not: what a topic that other
// was read from has lost.
func (c *chain[R]) beyond(other *chain[R]) []R {
	var missing []R
	for _, p := range c.latest() {
		have := c.versions[p.Key()]
		if n := len(other.versions[p.Key()]); n < len(have) {
			missing = append(missing, have[n:]...)
		}
	}
	return missing
}

// differs names a key of which c and other have accepted different records
// under one version; empty when there is none.
func (c *chain[R]) differs(other *chain[R]) string {
	for _, p := range c.latest() {
		mine, theirs := c.versions[p.Key()], other.versions[p.Key()]
		for i := range min(len(mine), len(theirs)) {
			if !mine[i].Same(theirs[i]) {
				return p.Key()
			}
		}
	}
	return ""
}
