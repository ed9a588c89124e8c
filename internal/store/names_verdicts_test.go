package store

import (
	"fmt"
	"testing"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestVerdictsFollowTheNamesOfTheirWorkloads(t *testing.T) {
	g := given{found: []string{"~a", "~b", "~c"}, names: []string{"mail", "notes", "notes"}}
	for name, tt := range map[string]struct{ computed, want []string }{
		"one is called by its name":                     {[]string{"x", "~a"}, []string{"x", "mail"}},
		"of several that are one now there is none":     {[]string{"~b", "~c", "~d"}, []string{"~d"}},
		"what was judged under the name before, stands": {[]string{"notes", "~b"}, []string{"notes"}},
		"both candidates of one are still of one":       {[]string{"~a", "~a"}, []string{"mail", "mail"}},
	} {
		var all []schemas.Verdict
		for _, w := range tt.computed {
			all = append(all, schemas.Verdict{Workload: w})
		}
		var got []string
		for _, v := range g.verdicts(all) {
			got = append(got, v.Workload)
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}
