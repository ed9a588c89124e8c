package classifier

import (
	"math/bits"
	"slices"

	"github.com/gnomon-llm/gnomon/schemas"
)

// ShapeSize is how many figures a Shape has.
const ShapeSize = 22

// Shape is what of a request's features says what kind of prompt it is, each in
// 1/256: the sixteen of the turn, then how much stands around it. No weights are
// in it, so that other weights leave every Profile true.
func (f *Features) Shape() (s [ShapeSize]int32) {
	for i, x := range f.Lexical {
		s[i] = int32(x)
	}
	s[16], s[17], s[18], s[19] = int32(log2(f.SystemBytes)), int32(log2(uint32(f.Turns))), int32(log2(uint32(f.Tools))), int32(log2(uint32(f.Images)))
	s[20] = int32(log2(f.PromptTokens))
	s[21] = 256 * int32(bits.OnesCount64(uint64(f.Gates&(schemas.GateJSONMode|schemas.GateJSONSchema|schemas.GateReasoning|schemas.GateWebSearch))))
	return s
}

// farthest is where a single figure stops counting: four spreads, in 1/64.
const farthest = 4 * 64

// Strangeness is how far a request lies from a workload's graded ones: the
// squared distances of its figures from their means, each in spreads, in
// 1/4096, and what its task class adds. ok is false where the profile says
// nothing: there is none, or it is of other features.
//
// What was graded speaks of its system prompts alone: of another template the
// request is as strange as can be.
func Strangeness(f *Features, task TaskClass, p *schemas.Profile) (s uint32, ok bool) {
	if p.Pairs == 0 || p.Features != Version || len(p.Middle) != ShapeSize || len(p.Scale) != ShapeSize {
		return 0, false
	}
	if len(p.Templates) > 0 && !slices.Contains(p.Templates, f.SystemPrint) {
		return Strangest, true
	}
	shape := f.Shape()
	for i, x := range shape {
		d := int64(x) - int64(p.Middle[i])
		z := uint32(min(uint64(max(d, -d))*uint64(p.Scale[i])>>16, farthest))
		s += z * z
	}
	if t := int(task); t < len(p.Task) {
		s += p.Task[t]
	}
	return s, true
}

// Strangest is above whatever a prompt of a template that was graded can be.
const Strangest = 1 << 31
