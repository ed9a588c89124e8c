package training

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/gnomon-llm/gnomon/analyzer/familiar"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// looked is a graded prompt as the proxy records it.
type looked struct {
	row *Row
	familiar.Seen
	novelty uint16 // of the assessment: by the weights' own words
}

func lookAt(rows []Row) map[string][]looked {
	by := map[string][]looked{}
	for i := range rows {
		r := &rows[i]
		f, a := classifier.Assess("openai.chat", ChatBody(r.Prompt))
		by[r.Workload] = append(by[r.Workload], looked{r, familiar.Seen{Features: f, Task: a.Task, Cluster: r.Group}, a.Novelty})
	}
	return by
}

// guard is what the profile of one workload tells apart.
type guard struct {
	source, sibling, any  float64 // AUC: prompts of other sources, of other workloads of its own, of all others, against its own unseen ones
	words                 float64 // AUC of the assessment's novelty, against prompts of other sources
	ownNovel, sourceNovel float64 // share that the bound calls novel
}

// guarded fits a profile to so many prompts of each workload and tries it on its
// other prompts and on those of others. A workload takes part with 40 unseen
// prompts.
func guarded(by map[string][]looked, pairs int, draw uint64) (out []guard) {
	names := slices.Sorted(maps.Keys(by))
	for _, name := range names {
		all := slices.Clone(by[name])
		slices.SortFunc(all, func(a, b looked) int {
			return cmp.Or(cmp.Compare(foldOf(a.row.Group, 1<<30, draw), foldOf(b.row.Group, 1<<30, draw)), cmp.Compare(a.row.ID, b.row.ID))
		})
		if len(all) < pairs+40 {
			continue
		}
		graded := map[string]bool{}
		var prompts []familiar.Seen
		for _, p := range all[:pairs] {
			graded[p.row.Group] = true
			prompts = append(prompts, p.Seen)
		}
		profile := familiar.Fit(prompts)
		if profile == nil {
			continue
		}
		tell := func(p *looked) float64 {
			s, _ := classifier.Strangeness(&p.Features, p.Task, profile)
			return float64(s)
		}
		own := slices.DeleteFunc(all[pairs:], func(p looked) bool { return graded[p.row.Group] })
		var mine, words, far, farWords, near []float64
		for i := range own {
			mine, words = append(mine, tell(&own[i])), append(words, float64(own[i].novelty))
		}
		for _, other := range names {
			for i := range by[other] {
				switch p := &by[other][i]; {
				case p.row.Source != own[0].row.Source:
					far, farWords = append(far, tell(p)), append(farWords, float64(p.novelty))
				case other != name:
					near = append(near, tell(p))
				}
			}
		}
		g := guard{source: AUC(far, mine), sibling: math.NaN(), any: AUC(slices.Concat(far, near), mine), words: AUC(farWords, words),
			ownNovel: above(mine, profile), sourceNovel: above(far, profile)}
		if len(near) > 0 {
			g.sibling = AUC(near, mine)
		}
		out = append(out, g)
	}
	return out
}

func above(strange []float64, p *schemas.Profile) float64 {
	n := 0
	for _, s := range strange {
		if s > float64(p.Bound) {
			n++
		}
	}
	return float64(n) / float64(len(strange))
}

// meanOf is over the guards that have the figure, and the least of them.
func meanOf(all []guard, figure func(guard) float64) (mean, least float64) {
	n := 0.0
	least = math.Inf(1)
	for _, g := range all {
		if v := figure(g); !math.IsNaN(v) {
			mean, least, n = mean+v, min(least, v), n+1
		}
	}
	return mean / n, least
}

// TestThePromptsOfAnotherSourceAreNovel holds the workload's own guard to R11's
// goal, and the assessment's novelty beside it, which knows no workload, to
// being no guard.
func TestThePromptsOfAnotherSourceAreNovel(t *testing.T) {
	all := guarded(lookAt(reference(t)), pairsEach, 1)
	source, least := meanOf(all, func(g guard) float64 { return g.source })
	words, _ := meanOf(all, func(g guard) float64 { return g.words })
	own, _ := meanOf(all, func(g guard) float64 { return g.ownNovel })
	if len(all) < 40 || source < .95 || least < .6 || own > .08 {
		t.Errorf("%d workloads: AUC %.3f, at least %.3f; %.3f of their own are novel", len(all), source, least, own)
	}
	if words > .8 {
		t.Errorf("the words that the weights know would do: AUC %.3f", words)
	}
}

// TestBenchRoutingNovelty prints R11's novelty.
func TestBenchRoutingNovelty(t *testing.T) {
	by := lookAt(benched(t))
	fmt.Printf("\nR11 novelty: a workload's graded prompts against its own unseen ones; AUC, mean over workloads [least] (goal .9)\n")
	fmt.Printf("%-8s %9s %18s %20s %14s %22s %20s %12s\n", "graded", "workloads", "other sources", "siblings in source", "all others", "weights' words alone", "own called novel", "others")
	for _, pairs := range []int{pairsEach, 100, 200} {
		all := guarded(by, pairs, 1)
		source, leastSource := meanOf(all, func(g guard) float64 { return g.source })
		sibling, leastSibling := meanOf(all, func(g guard) float64 { return g.sibling })
		every, _ := meanOf(all, func(g guard) float64 { return g.any })
		words, _ := meanOf(all, func(g guard) float64 { return g.words })
		own, _ := meanOf(all, func(g guard) float64 { return g.ownNovel })
		far, _ := meanOf(all, func(g guard) float64 { return g.sourceNovel })
		fmt.Printf("%-8d %9d %10.3f [%.3f] %12.3f [%.3f] %14.3f %22.3f %18.1f %% %10.1f %%\n", pairs, len(all), source, leastSource, sibling, leastSibling, every, words, 100*own, 100*far)
	}
}
