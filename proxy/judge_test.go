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

// TestWorkloadsKeepTheirNamesWhenTheRulesChange runs a project through a version
// of the rules that calls every template something else: two of its templates it
// takes for one, and one of them it parts.
func TestWorkloadsKeepTheirNamesWhenTheRulesChange(t *testing.T) {
	const people, policy, seen, fresh, alike, parted = 1, 2, 3, 4, 5, 60
	was := func(print uint64) string {
		if print >= parted {
			return "~parted-2"
		}
		return fmt.Sprintf("~found-2%d", print)
	}
	is := func(print uint64) string {
		if print == alike {
			print = seen
		}
		return fmt.Sprintf("~print-3%d", print)
	}
	rules := func(f func(uint64) string, print uint64) func(string, []byte) string {
		return func(string, []byte) string { return f(print) }
	}
	ask := func(o *Observer, s *classifier.Snapshot, print uint64) string {
		o.judge.name, o.judge.earlier = rules(is, print), []func(string, []byte) string{rules(was, print)}
		return o.found.name(&o.judge, s, "openai.chat", nil, &classifier.Features{SystemPrint: 1000 + print})
	}
	given := classifier.Parts{Project: "acme", Names: []classifier.Name{{Found: was(people), Name: "letters"}}, Policies: []schemas.Policy{{Project: "acme", Workload: was(policy), Version: 1, Mode: schemas.ModeLive}}}
	s := classifier.NewSnapshot(given)
	newObserver := func() *Observer {
		return NewObserver("acme", func() *classifier.Snapshot { return s }, testBook(t))
	}

	before := newObserver()
	names := map[uint64]string{}
	for _, print := range []uint64{people, policy, seen, parted, parted + 1} {
		before.judge.name = rules(was, print)
		names[print] = before.found.name(&before.judge, s, "openai.chat", nil, &classifier.Features{SystemPrint: print})
	}
	after := newObserver()
	after.Recall(before.Places())
	for range 2 {
		for print, name := range names {
			if got := ask(after, s, print); got != name {
				t.Errorf("%s goes on as %s", name, got)
			}
		}
	}
	if got := ask(after, s, fresh); got != is(fresh) {
		t.Errorf("what no rules had found before is %s", got)
	}
	if got := ask(after, s, alike); got != is(alike) {
		t.Errorf("what was never seen is %s", got)
	}
	carried := after.Carried()
	if len(carried) != len(names) || len(after.Carried()) != 0 {
		t.Errorf("%v is told", carried)
	}
	// A proxy without a memory of then goes by what was told, in this version of the
	// rules and in the next one's, which does not have the first one's.
	for found, of := range carried {
		given.Names = append(given.Names, classifier.Name{Found: found, Name: of})
	}
	s = classifier.NewSnapshot(given)
	without := newObserver()
	for print, name := range names {
		if got := ask(without, s, print); got != name {
			t.Errorf("without a memory %s goes on as %s", name, got)
		}
		without.judge.earlier, without.judge.name = []func(string, []byte) string{rules(is, print)}, rules(func(p uint64) string { return fmt.Sprintf("~next-4%d", p) }, print)
		if got := without.found.name(&without.judge, s, "openai.chat", nil, &classifier.Features{SystemPrint: 5000 + print}); got != name {
			t.Errorf("two versions on %s is %s", name, got)
		}
	}
}
