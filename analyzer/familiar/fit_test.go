package familiar

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/gnomon-llm/gnomon/classifier"
)

// prompts of about so many bytes, with a system prompt of a template.
func prompts(r *rand.Rand, n int, bytes, template uint64) (out []Seen) {
	for range n {
		var s Seen
		s.Features.PromptHash, s.Features.SystemPrint, s.Task = r.Uint64(), template, classifier.TaskChat
		s.Features.PromptTokens, s.Features.SystemBytes = uint32(bytes/4), 300
		for j := range s.Features.Lexical {
			s.Features.Lexical[j] = int16(float64(bytes)/4 + 60*r.NormFloat64())
		}
		out = append(out, s)
	}
	return out
}

// novel is the share of prompts that a profile of others calls novel.
func novel(of, by []Seen) float64 {
	p := Fit(by)
	n := 0
	for i := range of {
		if s, ok := classifier.Strangeness(&of[i].Features, of[i].Task, p); ok && s > p.Bound {
			n++
		}
	}
	return float64(n) / float64(len(of))
}

func TestWhatIsUnlikeTheGradedIsNovel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	graded := prompts(r, 200, 1000, 7)
	otherTask := prompts(r, 100, 1000, 7)
	for i := range otherTask {
		otherTask[i].Task = classifier.TaskMath
	}
	for _, row := range []struct {
		name        string
		of          []Seen
		least, most float64
	}{
		{"their own kind", prompts(r, 2000, 1000, 7), 0, .05},
		{"longer ones", prompts(r, 100, 3000, 7), 1, 1},
		{"another template", prompts(r, 100, 1000, 8), 1, 1},
		{"another task alone is a hint, no proof", otherTask, .02, 1},
	} {
		if got := novel(row.of, graded); got < row.least || got > row.most {
			t.Errorf("%s: %.3f are novel", row.name, got)
		}
	}
}

func TestAProfileNeedsEnough(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	if p := Fit(prompts(r, fewest-1, 1000, 7)); p != nil {
		t.Errorf("of too few: %+v", p)
	}
	one := prompts(r, 100, 1000, 7)
	for i := range one {
		one[i].Cluster = "one long session"
	}
	if p := Fit(one); p != nil {
		t.Errorf("of one session: %+v", p)
	}
	if Fit(nil) != nil {
		t.Error("of nothing")
	}
}

func TestTheOrderOfPromptsChangesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	all := append(prompts(r, 60, 1000, 7), prompts(r, 60, 2000, 9)...)
	want := Fit(all)
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if got := Fit(all); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\n%+v", got, want)
	}
	if !reflect.DeepEqual(want.Templates, []uint64{7, 9}) {
		t.Errorf("templates %v", want.Templates)
	}
}

func TestASystemPromptThatVariesIsNoTemplate(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	all := prompts(r, 100, 1000, 7)
	for i := range all {
		all[i].Features.SystemPrint = r.Uint64()
	}
	if p := Fit(all); p == nil || p.Templates != nil {
		t.Errorf("%+v", p)
	}
}

func TestInputsOfOtherFeaturesAreNotRead(t *testing.T) {
	in := classifier.Inputs{Workload: "w", Assessment: classifier.Assessment{Task: classifier.TaskMath, Version: classifier.Version}}
	if s, ok := Unpack(in.AppendBinary(nil)); !ok || s.Task != classifier.TaskMath {
		t.Errorf("%+v, %v", s, ok)
	}
	in.Assessment.Version++
	if _, ok := Unpack(in.AppendBinary(nil)); ok {
		t.Error("features of another version are not these")
	}
	if _, ok := Unpack(nil); ok {
		t.Error("nothing was read")
	}
}
