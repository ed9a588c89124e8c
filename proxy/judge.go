package proxy

import (
	"errors"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/classifier"
)

// judge is the classifier as the observer uses it; tests put a failing one here.
type judge struct {
	assess func(m *classifier.Model, dialect string, body []byte) (classifier.Features, classifier.Assessment)
	name   func(dialect string, body []byte) string
	// earlier are the rules of before by which workloads were found, the latest
	// first: a workload that has a name by them goes on under it.
	earlier []func(dialect string, body []byte) string
	decide  func(*classifier.Inputs, *classifier.Snapshot) classifier.Decision
}

// builtinJudge has no earlier rules: names of version 1 were given up before any
// was kept. A third version keeps the function of the second.
var builtinJudge = judge{assess: (*classifier.Model).Assess, name: classifier.DiscoverName, decide: classifier.Decide}

// maxDiscovered is how many workloads may be discovered in a project.
const maxDiscovered = 500

// otherFound is the workload of what is discovered beyond them.
const otherFound = "~other"

// discovered finds the names of requests without a feature, and bounds their
// number. Of more names than fit those stay whose hashes are the lowest: which
// they are depends on what was seen alone, not on its order, so that proxies
// that see the same traffic agree without speaking to each other, and a restart
// comes to the same names again. A name that a policy, evidence or a person
// speaks of is kept whatever its hash.
//
// It also remembers names by fingerprint, for finding one walks the body again.
type discovered struct {
	max    int
	mu     sync.RWMutex
	names  map[uint64]foundAs // by fingerprint
	lowest []uint64           // hashes of the names that have a place, ascending
	carry  map[string]string  // found → the name by which earlier rules found it, and it goes on
}

// foundAs is what rules call a template.
type foundAs struct {
	name    string
	earlier []string // by each of the earlier rules
}

// name returns the workload of a request, as it is called.
func (d *discovered) name(j *judge, s *classifier.Snapshot, dialect string, body []byte, f *classifier.Features) string {
	d.mu.RLock()
	found, ok := d.names[f.SystemPrint]
	d.mu.RUnlock()
	if !ok {
		found.name = j.name(dialect, body)
		for _, rules := range j.earlier {
			found.earlier = append(found.earlier, rules(dialect, body))
		}
		d.mu.Lock()
		if d.names == nil || len(d.names) >= maxWorkloads {
			d.names = make(map[uint64]foundAs)
		}
		d.names[f.SystemPrint] = found
		d.mu.Unlock()
	}
	if name := s.NameOf(found.name); name != found.name || s.Spoken(found.name) {
		return name
	}
	for _, was := range found.earlier {
		if name, known := d.known(s, was); known && was != found.name {
			d.carries(found.name, was)
			return name
		}
	}
	if d.place(xxhash.Sum64String(found.name)) {
		return found.name
	}
	return otherFound
}

// known is what a workload is called that rules of before have found: a person
// named it, a policy or evidence speaks of it, or it has a place from then.
func (d *discovered) known(s *classifier.Snapshot, was string) (name string, known bool) {
	if name = s.NameOf(was); name != was || s.Spoken(was) {
		return name, true
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	_, known = slices.BinarySearch(d.lowest, xxhash.Sum64String(was))
	return name, known
}

// carries notes that a workload goes on under an earlier name, for others to know.
func (d *discovered) carries(found, was string) {
	d.mu.RLock()
	_, noted := d.carry[found]
	d.mu.RUnlock()
	if noted {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.carry == nil || len(d.carry) >= maxWorkloads {
		d.carry = map[string]string{}
	}
	d.carry[found] = was
}

// Carried returns the workloads that go on under names by which rules of before
// found them, since it was last asked: whoever has not seen those must be told.
func (o *Observer) Carried() map[string]string {
	o.found.mu.Lock()
	defer o.found.mu.Unlock()
	carried := o.found.carry
	o.found.carry = nil
	return carried
}

// place says whether a name has a place among the lowest, and takes one.
func (d *discovered) place(hash uint64) bool {
	d.mu.RLock()
	at, have := slices.BinarySearch(d.lowest, hash)
	full := len(d.lowest) >= d.max
	d.mu.RUnlock()
	if have || full && at >= d.max {
		return have
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, have = slices.BinarySearch(d.lowest, hash); have || at >= d.max {
		return have
	}
	d.lowest = slices.Insert(d.lowest, at, hash)
	d.lowest = d.lowest[:min(len(d.lowest), d.max)]
	return true
}

// Places returns the hashes of the discovered names that have a place, for
// Recall after a restart.
func (o *Observer) Places() []uint64 {
	o.found.mu.RLock()
	defer o.found.mu.RUnlock()
	return slices.Clone(o.found.lowest)
}

// Recall gives discovered names the places that they had in an earlier life.
func (o *Observer) Recall(places []uint64) {
	for _, hash := range places {
		o.found.place(hash)
	}
}

var errUnknownEncoding = errors.New("unknown content encoding")
