package analyzer

import (
	"fmt"

	"github.com/gnomon-llm/gnomon/analyzer/report"
)

// fewestOfMember is how many pairs it takes for what was merged into a workload
// to have been judged: of its own, or since the merge of the traffic together.
const fewestOfMember = 30

// unjudged is a discovered workload that was merged into another and that the
// pairs say next to nothing of.
type unjudged struct {
	member string
	pairs  int // of the traffic together, since the merge
}

// unjudgedMember returns the member of a workload of which the fewest pairs are
// graded, where they are too few; nil where all are judged. What was only named,
// and not merged with anything, is the workload that it was.
func (o *observed) unjudgedMember(k key, pairs []scored) (worst *unjudged) {
	members := o.members[k.workload]
	own, together := map[string]int{}, 0
	for i := range pairs {
		own[pairs[i].Recorded]++
	}
	if len(members) == 1 && own[k.workload] == 0 {
		return nil
	}
	for _, m := range members {
		if own[m.Found] >= fewestOfMember {
			continue
		}
		if together = 0; own[k.workload] > 0 {
			for i := range pairs {
				if pairs[i].Recorded == k.workload && !pairs[i].Came.Before(m.Since) {
					together++
				}
			}
		}
		if together < fewestOfMember && (worst == nil || together < worst.pairs) {
			worst = &unjudged{m.Found, together}
		}
	}
	return worst
}

func mergedLack(u *unjudged) lack {
	more := report.Plural(fewestOfMember-u.pairs, "more pair", "more pairs")
	return lack{fmt.Sprintf("%s was merged into this workload, or another was parted from it, and %s graded since of what goes by its name: what the pairs of before say holds of other requests. %s are needed.",
		u.member, report.Plural(u.pairs, "pair is", "pairs are"), more), "merged: " + more}
}
