package proxy

import (
	"errors"
	"sync"

	"github.com/gnomon-llm/gnomon/classifier"
)

// judge is the classifier as the observer uses it; tests put a failing one here.
type judge struct {
	assess func(m *classifier.Model, dialect string, body []byte) (classifier.Features, classifier.Assessment)
	name   func(dialect string, body []byte) string
	decide func(*classifier.Inputs, *classifier.Snapshot) classifier.Decision
}

var builtinJudge = judge{assess: (*classifier.Model).Assess, name: classifier.DiscoverName, decide: classifier.Decide}

// discovered remembers the names found for system prompts, by fingerprint: the
// same template always has the same name, and finding it walks the body again.
type discovered struct {
	mu    sync.RWMutex
	names map[uint64]string
}

func (d *discovered) name(j *judge, dialect string, body []byte, f *classifier.Features) string {
	d.mu.RLock()
	name, ok := d.names[f.SystemPrint]
	d.mu.RUnlock()
	if ok {
		return name
	}
	name = j.name(dialect, body)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names == nil || len(d.names) >= maxWorkloads {
		d.names = make(map[uint64]string)
	}
	d.names[f.SystemPrint] = name
	return name
}

var errUnknownEncoding = errors.New("unknown content encoding")
