package dashboards

import (
	"slices"
	"strings"
)

// maxNear is how many names are offered for one that is not known.
const maxNear = 3

// Unknown is the error that there is no such workload, with the names that are
// nearest to it among those that are known.
func Unknown(project, name string, known []string) *Error {
	e := &Error{Kind: NotFound, Code: "unknown_workload", Message: "There is no workload " + name + " in project " + project + ".",
		Hint: "A workload is there from its first request on: gnomon workloads lists them."}
	if near := Near(name, known); len(near) > 0 {
		e.Hint = "There is " + strings.Join(near, ", ") + "."
	}
	return e
}

// Near returns the few of the known names that somebody may have meant by another
// one, the nearest first: names that hold it or are held by it, and those that a
// few letters make of it.
func Near(name string, known []string) []string {
	type found struct {
		name string
		far  int
	}
	var all []found
	want := strings.ToLower(name)
	for _, k := range known {
		have := strings.ToLower(k)
		far := distance(want, have)
		if len(want) >= 3 && (strings.Contains(have, want) || len(have) >= 3 && strings.Contains(want, have)) {
			far = 1
		}
		if k != name && far <= max(1, len(want)/3) && far < len(want) {
			all = append(all, found{k, far})
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return a.far - b.far })
	near := make([]string, 0, maxNear)
	for _, f := range all[:min(maxNear, len(all))] {
		near = append(near, f.name)
	}
	return near
}

// distance is Levenshtein's.
func distance(a, b string) int {
	prev := make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		left := i + 1
		for j := range len(b) {
			cost := prev[j]
			if a[i] != b[j] {
				cost++
			}
			here := min(left+1, prev[j+1]+1, cost)
			prev[j], left = left, here
		}
		prev[len(b)] = left
	}
	return prev[len(b)]
}
