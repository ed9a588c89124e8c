package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Assessments are those made again of requests whose bodies were kept.
type Assessments struct {
	Bodies    uint64 `json:"bodies"`    // of the period, that were kept and assessed again
	Differing uint64 `json:"differing"` // features or assessment are not those recorded
	NotRemade uint64 `json:"not_remade"`
	Note      string `json:"note,omitempty"` // why none, or not all, were made again
}

// Payloads calls fn for every body that is kept.
type Payloads func(ctx context.Context, fn func(*schemas.Payload) error) error

// Assess says of a kept body what the proxy said of it under a model's weights.
type Assess func(*schemas.Payload, *classifier.Model) (classifier.Features, classifier.Assessment)

// Reassess assesses the kept bodies of r's period again and adds what was found
// to r. Bodies assessed by other features than this build's, or by weights that
// were not kept, are counted apart.
func Reassess(ctx context.Context, r *Result, payloads Payloads, assess Assess, log Log) error {
	p := player{ctx: ctx, log: log, snapshots: map[uint64]*source{}, models: builtinModels(), result: r}
	origins := map[uint64]*classifier.Sealed{}
	seen := map[string]bool{}
	return payloads(ctx, func(body *schemas.Payload) error {
		ev := &body.Event
		if ev.Project != r.Project || ev.Ts.Before(r.From) || !ev.Ts.Before(r.To) || seen[ev.RequestID] {
			return nil
		}
		seen[ev.RequestID] = true
		origin, known := origins[ev.SnapshotHash]
		if !known {
			var err error
			if origin, err = p.origin(ev.SnapshotHash); err != nil {
				return err
			}
			origins[ev.SnapshotHash] = origin
		}
		model, err := p.assessedBy(origin)
		if err != nil {
			return err
		}
		var in classifier.Inputs
		if model == nil || in.UnmarshalBinary(ev.Inputs) != nil {
			r.Assessments.NotRemade++
			r.Assessments.Note = "some were made by a build with other features, or by weights that were not kept"
			return nil
		}
		if ev.BaselineReject == schemas.RejectClassifier && in.Assessment == (classifier.Assessment{}) {
			r.Assessments.NotRemade++ // whether it fails, or is late, is no matter of the body
			r.Assessments.Note = "of some nothing was recorded, for the classifier had failed or taken too long"
			return nil
		}
		r.Assessments.Bodies++
		in.Features.Gates &^= ways
		f, a := assess(body, model)
		f.Gates &^= ways
		if f == in.Features && a == in.Assessment {
			return nil
		}
		r.Assessments.Differing++
		if len(r.Differences) < shown {
			r.Differences = append(r.Differences, Difference{ev.RequestID, ev.Ts.Truncate(time.Millisecond), []Field{
				{"features and assessment of the kept body", fmt.Sprintf("%+v %+v", in.Features, in.Assessment), fmt.Sprintf("%+v %+v", f, a)},
			}})
		}
		return nil
	})
}

// ways are found out beside the body: whether a request can be said in the
// dialects of a snapshot's candidates, and whether its caller brought a credential.
const ways = schemas.GateInOpenAI | schemas.GateInAnthropic | schemas.GateInGemini | schemas.GateAnonymous

// origin is what the record of a snapshot says of the build that decided.
func (p *player) origin(hash uint64) (*classifier.Sealed, error) {
	record, _, err := p.kept(schemas.KindSnapshot, hash)
	return &classifier.Sealed{Origin: classifier.Origin{Version: record.ClassifierVer, Model: record.ModelHash}}, err
}

func builtinModels() map[uint64]*classifier.Model {
	m := classifier.Builtin()
	return map[uint64]*classifier.Model{m.Hash(): m}
}

// assessedBy is the model under which requests were assessed for a snapshot;
// nil where its weights were not kept, or its features are not this build's.
func (p *player) assessedBy(s *classifier.Sealed) (*classifier.Model, error) {
	hash := s.Origin.Model
	m, known := p.models[hash]
	if !known && hash != 0 && s.Origin.Version == classifier.Version {
		record, found, err := p.kept(schemas.KindWeights, hash)
		if err != nil {
			return nil, err
		}
		var file []byte
		if found && json.Unmarshal(record.Record, &file) == nil {
			m, _ = classifier.ReadWeights(file) // nil when they are of another layout, or damaged
		}
		p.models[hash] = m
	}
	if m == nil || !s.Assesses(m) {
		return nil, nil
	}
	return m, nil
}
