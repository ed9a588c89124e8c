package classifier

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Contribution is one reason for a score.
type Contribution struct {
	Text  string  // "a long question (812 words)"
	Share float64 // of the predicted gain, in standard deviations of the graded prompts; above 0 speaks for the strong model
}

// explained is how many contributions Explain returns.
const explained = 5

// lexicalWords are the features in words; the value follows.
var lexicalWords = [16][2]string{
	lexBytes: {"the length of the question", "%.0f bytes"}, lexWords: {"how many words it has", "%.0f"},
	lexWordLen: {"the length of its words", "%.1f letters"}, lexDigits: {"its digits", "%.0f %%"},
	lexUpper: {"its capitals", "%.0f %%"}, lexMarks: {"its punctuation", "%.0f %%"}, lexHigh: {"its letters of other scripts", "%.0f %%"},
	lexNumbers: {"how many numbers it has", "%.0f"}, lexLines: {"how many lines it has", "%.0f"},
	lexOptions: {"lettered options to choose from", "%.0f"}, lexQuestions: {"how many questions it asks", "%.0f"},
	lexCode: {"marks that stand in code", "%.0f"}, lexMath: {"mathematical marks", "%.0f"},
	lexUnique: {"how many of its words differ", "%.0f %%"}, lexLong: {"its long words", "%.0f %%"},
	lexReason: {"words that ask for steps", "%.0f"},
}

// Explain returns the strongest contributions to a request's score, strongest
// first, against a middling prompt of the graded data. It is for people; the
// score itself is Assess's.
func Explain(dialect string, body []byte) []Contribution {
	features, assessment := Assess(dialect, body)
	return builtin.Contributions(&features, &assessment)
}

// Contributions is Explain from what was recorded: no body is needed. The words
// themselves are not recorded; what they did is what the features leave of the
// score. Of an assessment by another version nothing is said.
func (m *Model) Contributions(f *Features, a *Assessment) []Contribution {
	if a.Version != Version {
		return nil
	}
	out := make([]Contribution, 0, len(f.Lexical)+2)
	say := func(text string, gain int64) {
		if points := float64(gain) / 65536; math.Abs(points) >= 0.05 {
			out = append(out, Contribution{Text: text, Share: points})
		}
	}
	for j, x := range f.Lexical {
		say(lexicalWords[j][0]+" ("+fmt.Sprintf(lexicalWords[j][1], lexicalValue(j, x))+")", m.feature(j, x))
	}
	if int(a.Task) < len(m.w.Task) {
		say("its kind of task ("+a.Task.String()+")", int64(m.w.Task[a.Task]))
	}
	say("what its words are about", m.unrank(a.Score)-m.shape(f, a.Task))
	slices.SortStableFunc(out, func(a, b Contribution) int {
		if c := math.Abs(b.Share) - math.Abs(a.Share); c != 0 {
			return int(math.Copysign(1, c))
		}
		return strings.Compare(a.Text, b.Text)
	})
	return out[:min(len(out), explained)]
}

// lexicalValue turns a feature back into what it counts.
func lexicalValue(j int, v int16) float64 {
	switch j {
	case lexWordLen, lexOptions:
		return float64(v) / 256
	case lexDigits, lexUpper, lexMarks, lexHigh, lexUnique, lexLong:
		return float64(v) / 4096 * 100
	}
	k, part := int(v)>>8, float64(int(v)&255)/256
	return math.Round(math.Ldexp(1+part, k)) - 1
}
