// Package familiar draws what a workload's graded prompts look like, so that a
// proxy can tell a prompt that is unlike them.
//
// The one idea: evidence speaks of prompts like those that were graded. A
// profile holds the mean and the spread of a few figures that are recorded with
// every request anyway (classifier.Features.Shape), how common each task class
// is, the templates of the system prompts, and how strange the graded prompts
// look among themselves: what is stranger than 98 in 100 of those is novel. It is
// of one workload; nothing is compared with prompts at large.
//
// What it does not do: it reads no prompt and no word of one. Two tasks whose
// prompts have the same shape are the same to it.
package familiar

import (
	"math"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Seen is a graded prompt as it was recorded.
type Seen struct {
	Features classifier.Features
	Task     classifier.TaskClass
	Cluster  string // its session: what came together says little about what is to come
}

// Unpack reads what an event keeps; false where it is of other features than
// this build's.
func Unpack(inputs []byte) (Seen, bool) {
	var in classifier.Inputs
	if in.UnmarshalBinary(inputs) != nil || in.Assessment.Version != classifier.Version {
		return Seen{}, false
	}
	return Seen{Features: in.Features, Task: in.Assessment.Task}, true
}

const (
	fewest    = 30   // prompts below which nothing is called novel
	own       = .98  // share of a workload's own prompts that are not
	folds     = 10   // by which it is found how strange they are to each other
	templates = 8    // more than this, and than a twentieth of the prompts: the system prompt varies
	leastSD   = 26   // of a figure, in 1/256: where all are alike, a little may differ
	steepest  = 4096 // of a task class's cost, for e-folds
)

// fold puts a session into one of the folds, all of it.
func (s *Seen) fold() int {
	if s.Cluster == "" {
		return int(s.Features.PromptHash % folds)
	}
	return int(xxhash.Sum64String(s.Cluster) % folds)
}

// Fit draws the profile of the prompts, whatever their order; nil where they, or
// their sessions, are too few.
func Fit(prompts []Seen) *schemas.Profile {
	if len(prompts) < fewest {
		return nil
	}
	p := draw(prompts)
	p.Templates = templatesOf(prompts)
	strange := make([]uint32, 0, len(prompts))
	for k := range folds {
		var rest, out []Seen
		for _, s := range prompts {
			if s.fold() == k {
				out = append(out, s)
			} else {
				rest = append(rest, s)
			}
		}
		if len(rest) < fewest/2 {
			return nil
		}
		among := draw(rest)
		for i := range out {
			d, _ := classifier.Strangeness(&out[i].Features, out[i].Task, among)
			strange = append(strange, d)
		}
	}
	slices.Sort(strange)
	// The rank that a new one of the same kind exceeds in 2 of 100, as far as so
	// few can tell.
	rank := int(math.Ceil(own * float64(len(strange)+1)))
	p.Bound = strange[min(rank, len(strange))-1]
	return p
}

// draw is a profile without templates and bound.
func draw(prompts []Seen) *schemas.Profile {
	n := float64(len(prompts))
	var sum, square [classifier.ShapeSize]float64
	tasks := make([]float64, classifier.TaskTranslation+1)
	for i := range prompts {
		for j, x := range prompts[i].Features.Shape() {
			sum[j] += float64(x)
			square[j] += float64(x) * float64(x)
		}
		if t := int(prompts[i].Task); t < len(tasks) {
			tasks[t]++
		}
	}
	p := &schemas.Profile{Features: classifier.Version, Pairs: uint32(len(prompts)), Middle: make([]int32, len(sum)), Scale: make([]uint32, len(sum)), Task: make([]uint32, len(tasks))}
	for j := range sum {
		mean := sum[j] / n
		sd := math.Sqrt(max(square[j]/n-mean*mean, 0)) + leastSD
		p.Middle[j], p.Scale[j] = int32(math.Round(mean)), uint32(math.Round(64*65536/sd))
	}
	for t, c := range tasks {
		p.Task[t] = uint32(math.Round(-2 * steepest * math.Log((c+.5)/(n+.5*float64(len(tasks))))))
	}
	return p
}

// templatesOf are the system prompts' templates; nil where they vary.
func templatesOf(prompts []Seen) []uint64 {
	all := make([]uint64, len(prompts))
	for i := range prompts {
		all[i] = prompts[i].Features.SystemPrint
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > templates && len(all)*20 > len(prompts) {
		return nil
	}
	return slices.Clone(all)
}
