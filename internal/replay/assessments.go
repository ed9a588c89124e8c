package replay

import (
	"context"
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

// Assess says of a kept body what the proxy said of it.
type Assess func(*schemas.Payload) (classifier.Features, classifier.Assessment)

// Reassess assesses the kept bodies of r's period again and adds what was found
// to r. Bodies assessed by other features or weights than this build's are
// counted apart.
func Reassess(ctx context.Context, r *Result, payloads Payloads, assess Assess, log Log) error {
	p := player{ctx: ctx, log: log, snapshots: map[uint64]*source{}, result: r}
	model := map[uint64]bool{}
	seen := map[string]bool{}
	return payloads(ctx, func(body *schemas.Payload) error {
		ev := &body.Event
		if ev.Project != r.Project || ev.Ts.Before(r.From) || !ev.Ts.Before(r.To) || seen[ev.RequestID] {
			return nil
		}
		seen[ev.RequestID] = true
		same, known := model[ev.SnapshotHash]
		if !known {
			src, err := p.origin(ev.SnapshotHash)
			if err != nil {
				return err
			}
			same, model[ev.SnapshotHash] = src, src
		}
		var in classifier.Inputs
		if !same || in.UnmarshalBinary(ev.Inputs) != nil {
			r.Assessments.NotRemade++
			r.Assessments.Note = "some were made by a build with other features or weights"
			return nil
		}
		r.Assessments.Bodies++
		in.Features.Gates &^= ways
		f, a := assess(body)
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

// ways are found out for a snapshot's candidates, after the assessment: whether
// a request can be said in their dialect.
const ways = schemas.GateInOpenAI | schemas.GateInAnthropic | schemas.GateInGemini

// origin says whether the snapshot's build assesses as this one does.
func (p *player) origin(hash uint64) (bool, error) {
	record, found, err := p.kept(schemas.KindSnapshot, hash)
	sealed := classifier.Sealed{Origin: classifier.Origin{Version: record.ClassifierVer, Model: record.ModelHash}}
	return found && sealed.Assesses(), err
}
