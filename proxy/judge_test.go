package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// finder discovers what it is asked for: fingerprints stand for prompts.
func finder(d *discovered, s *classifier.Snapshot) func(print uint64) string {
	return func(print uint64) string {
		j := judge{name: func(string, []byte) string { return fmt.Sprintf("~found-%d", print) }}
		return d.name(&j, s, "openai.chat", nil, &classifier.Features{SystemPrint: print})
	}
}

func TestDiscoveredWorkloadsAreBoundedAndTheSameWhateverTheOrder(t *testing.T) {
	s := classifier.NewSnapshot(classifier.Parts{})
	const most, all = 20, 300
	var want []string
	for seed := range uint64(5) { // proxies, each with the same traffic in another order
		find := finder(&discovered{max: most}, s)
		order := rand.New(rand.NewPCG(1, seed)).Perm(all)
		for range 2 {
			for _, i := range order {
				find(uint64(i))
			}
		}
		names := map[string]bool{}
		for i := range all {
			names[find(uint64(i))] = true
		}
		var got []string
		for name := range names {
			got = append(got, name)
		}
		if slices.Sort(got); len(got) != most+1 || !names[otherFound] {
			t.Fatalf("order %d: %d names, %s among them: %v", seed, len(got), otherFound, names[otherFound])
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("order %d: %v, want %v", seed, got, want)
		}
	}
}

func TestBelowTheBoundNoNameIsTakenAway(t *testing.T) {
	find := finder(&discovered{max: 20}, classifier.NewSnapshot(classifier.Parts{}))
	for i := range uint64(20) {
		if got, want := find(i), fmt.Sprintf("~found-%d", i); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestARestartRemembersWhichNamesHadAPlace(t *testing.T) {
	s := classifier.NewSnapshot(classifier.Parts{})
	first := &Observer{found: discovered{max: 20}}
	find := finder(&first.found, s)
	for i := range uint64(300) {
		find(i)
	}
	second := &Observer{found: discovered{max: 20}}
	second.Recall(first.Places())
	again := finder(&second.found, s)
	for i := range uint64(300) { // without Recall the first of them would have places
		if got, want := again(i), find(i); got != want {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
}

func TestWhatIsSpokenOfKeepsItsNameBeyondTheBound(t *testing.T) {
	s := classifier.NewSnapshot(classifier.Parts{
		Project:  "p",
		Policies: []schemas.Policy{{Project: "p", Workload: "~found-7"}},
		Evidence: []classifier.Evidence{{Workload: "~found-8"}},
		Names:    []classifier.Name{{Found: "~found-9", Name: "nine"}},
	})
	find := finder(&discovered{}, s) // no place for any
	for print, want := range map[uint64]string{1: otherFound, 7: "~found-7", 8: "~found-8", 9: "nine"} {
		if got := find(print); got != want {
			t.Errorf("%d: %s, want %s", print, got, want)
		}
	}
}
