package classifier

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/gnomon-llm/gnomon/internal/tokens"
)

// TestPredictedTokens measures the prediction against a tokenizer, per kind of
// text. The figures are the stated error.
func TestPredictedTokens(t *testing.T) {
	kinds := map[string][]string{
		"prose": {prose(300), prose(3000), prose(12_000)},
		"German": {"Der Kunde fragt, warum die Rechnung des letzten Monats zweimal abgebucht wurde, und wie der Unterschied zu erklären ist. Bitte antworten Sie höflich und kurz.",
			"Übersetzen Sie den folgenden Absatz ins Französische und erläutern Sie dabei schwierige Wendungen."},
		"Chinese":  {"请把下面的文字翻译成英文,并且解释其中比较难懂的词语。客户想知道上个月的账单为什么被扣了两次。"},
		"Russian":  {"Клиент спрашивает, почему счёт за прошлый месяц был списан дважды, и как можно объяснить разницу."},
		"code":     {codeSample(30), codeSample(200)},
		"JSON":     {jsonSample(t, 20), jsonSample(t, 200)},
		"numbers":  {strings.Repeat("3.14159, 2.71828; 100200300 -7 ", 30)},
		"markdown": {strings.Repeat("## Heading\n\n- **first** point, see [link](https://example.com/a/b?c=d)\n- `code` and _more_\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", 10)},
	}
	limit := map[string]float64{"prose": .15, "German": .35, "Chinese": .5, "Russian": .5, "code": .35, "JSON": .35, "numbers": .4, "markdown": .35}
	for kind, texts := range kinds {
		for _, text := range texts {
			f, _ := Assess(chat, chatBody(t, text))
			want := float64(counted(t, text) + 7)
			off := float64(f.PromptTokens)/want - 1
			t.Logf("%-9s %6d bytes: %5.0f tokens, predicted %5d (%+.0f %%)", kind, len(text), want, f.PromptTokens, 100*off)
			if math.Abs(off) > limit[kind] {
				t.Errorf("%s is off by more than %.0f %%", kind, 100*limit[kind])
			}
		}
	}
}

func TestPredictedTokensOfGradedPrompts(t *testing.T) {
	rows := gradedPrompts(t)
	var off []float64
	for i := 0; i < len(rows); i += 25 {
		f, _ := Assess(chat, chatBody(t, rows[i]))
		off = append(off, math.Abs(float64(f.PromptTokens)/float64(counted(t, rows[i])+7)-1))
	}
	slices.Sort(off)
	median, p95 := off[len(off)/2], off[len(off)*95/100]
	t.Logf("%d prompts: off by %.1f %% in the middle, by less than %.1f %% in 95 of 100", len(off), 100*median, 100*p95)
	if median > .10 || p95 > .35 {
		t.Error("the stated error does not hold")
	}
}

// counted is what the tokenizer says of a text.
func counted(t *testing.T, text string) int {
	t.Helper()
	n, err := tokens.O200K.Count([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func codeSample(lines int) string {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "\tif err := store.Insert(ctx, rows[%d:%d]); err != nil {\n\t\treturn fmt.Errorf(\"insert batch %%d: %%w\", %d, err)\n\t}\n", i, i+100, i)
	}
	return b.String()
}

func jsonSample(t testing.TB, n int) string {
	t.Helper()
	type row struct {
		ID    string   `json:"id"`
		Total float64  `json:"total"`
		Tags  []string `json:"tags"`
	}
	var rows []row
	for i := range n {
		rows = append(rows, row{fmt.Sprintf("order-%05d", i*37), float64(i) * 1.25, []string{"express", "gift"}})
	}
	text, err := json.MarshalIndent(rows, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
