package classifier

import (
	"errors"
	"fmt"
)

// Rules is the version of the code of Decide: it changes whenever the same
// Inputs and Snapshot could be decided otherwise. TestDecisionsAreTheSame holds
// it against thousands of decisions. Tables need no change of it: they are
// hashed.
const Rules uint32 = 4

// Origin is the build that took a decision: what of it no snapshot brings along.
type Origin struct {
	Version uint32 // of features and weights
	Model   uint64 // hash of the weights
	Rules   uint64 // hash of Decide's version and tables
}

// thisBuild is the origin of decisions under a model's weights; nil: the shipped
// ones.
func thisBuild(m *Model) Origin {
	if m == nil {
		m = builtin
	}
	return Origin{Version: Version, Model: m.hash, Rules: rulesHash()}
}

// rulesHash identifies Decide: its version and every table it reads.
func rulesHash() uint64 {
	type need struct {
		Gate   uint64
		Reject uint64
	}
	tables := struct {
		Rules                                uint32
		Routable                             string
		Needs                                []need
		Translated                           map[string]uint64
		Output                               []uint32
		Cached, Context, Ceiling, Candidates uint64
		Farthest, Shape                      uint64 // of the guard against novel prompts
	}{Rules: Rules, Routable: routable, Output: expectedOutput[:], Translated: map[string]uint64{},
		Cached: minCached, Context: smallContext, Ceiling: smallOutput, Candidates: maxCandidates, Farthest: farthest, Shape: ShapeSize}
	for _, n := range needs {
		tables.Needs = append(tables.Needs, need{uint64(n.gate), uint64(n.reject)})
	}
	for dialect, gate := range translated {
		tables.Translated[dialect] = uint64(gate)
	}
	return sum(tables)
}

// Sealed is a snapshot as it may be kept: without prices, which are kept apart,
// and without the salts of its policies, of which the digests are enough.
type Sealed struct {
	Hash   uint64
	Prices uint64 // hash of the price book
	Origin Origin
	Parts  Parts
}

// Sealed returns what has to be kept of a snapshot so that its decisions can be
// taken again.
func (s *Snapshot) Sealed() Sealed {
	p := s.parts
	p.Policies, p.Sealed = sealedPolicies(&s.parts), true
	out := Sealed{Hash: s.hash, Origin: s.origin, Parts: p}
	if p.Prices != nil {
		out.Prices = p.Prices.Hash()
	}
	out.Parts.Prices, out.Parts.Model = nil, nil
	return out
}

// PoliciesHash identifies the policies alone, of which a snapshot is one state.
func (s *Sealed) PoliciesHash() uint64 { return sum(s.Parts.Policies) }

// ErrOrigin says that a decision was taken by a build that decides otherwise
// than this one.
var ErrOrigin = errors.New("taken by another build")

// Open makes the snapshot again, from what was kept and its own price book. What
// this build cannot decide as it was decided then is refused: another version of
// the rules, another price book, parts that this build does not know.
//
// Other weights are no hindrance: the assessment is among the Inputs. It cannot
// be made again then, see Assesses.
func (s *Sealed) Open(prices Pricer) (*Snapshot, error) {
	if rules := rulesHash(); s.Origin.Rules != rules {
		return nil, fmt.Errorf("%w: its rules are %016x, those of this build %016x", ErrOrigin, s.Origin.Rules, rules)
	}
	p := s.Parts
	if p.Prices = prices; prices == nil && s.Prices != 0 || prices != nil && prices.Hash() != s.Prices {
		return nil, fmt.Errorf("its price book is %016x, and another one is at hand", s.Prices)
	}
	again := newSnapshot(p, s.Origin)
	if again.hash != s.Hash {
		return nil, fmt.Errorf("%w: what was kept of snapshot %016x makes %016x: a newer build kept more than this one knows, or the record was changed", ErrOrigin, s.Hash, again.hash)
	}
	return again, nil
}

// Assesses reports whether this build assesses under a model as the snapshot was
// assessed for: the same features and the same weights.
func (s *Sealed) Assesses(m *Model) bool {
	now := thisBuild(m)
	return s.Origin.Version == now.Version && s.Origin.Model == now.Model
}

// Admits returns how many scores a threshold lets through: those below it, in
// 1/65535; 0 lets nothing through. It is how Decide reads a threshold.
func Admits(threshold float64) uint32 { return admits(threshold) }
