package simulator

import (
	"fmt"
	"math"
	"strings"
)

// hard reports whether a prompt is one of its workload's hard ones.
func (w *World) hard(i item) bool {
	return unit(mix(w.seed, uint64(i), forPrompt, 1)) < w.Workloads[i.workload()].quality.hard
}

// promptTokens is the length of a user turn. Hard prompts are longer, as they
// are in life.
func (w *World) promptTokens(i item) int {
	s := w.Workloads[i.workload()].sizes
	h := mix(w.seed, uint64(i), forPrompt, 2)
	tokens := 0.0
	if s.pareto > 0 {
		tokens = s.prompt * math.Pow(1-unit(h), -1/s.pareto)
	} else {
		tokens = lognormal(s.prompt, s.sigma, normal(h))
	}
	if w.hard(i) {
		tokens *= 1.5
	}
	return int(min(max(tokens, 8), 110_000))
}

// question is the text of a user turn. Hard ones are running text and ask for
// thought; the others have a sentence a line.
func (w *World) question(i item) string {
	wl := &w.Workloads[i.workload()]
	h := mix(w.seed, uint64(i), forText)
	body := ""
	if n := w.promptTokens(i) * tokenBytes; w.hard(i) {
		body = flow()[wl.shape].cut(h, n) + hardWords[h%uint64(len(hardWords))]
	} else {
		body = lines()[wl.shape].cut(h, n)
	}
	switch wl.shape {
	case labels:
		return "Message " + i.ref() + ":\n" + body
	case extraction:
		return "Mail " + i.ref() + "\n" + orderText(h) + body
	case rag:
		return passages(body) + "\nQuestion " + i.ref() + ": " + flow()[chat].cut(h, 70) + "?"
	case tools:
		return "Task " + i.ref() + ":\n" + body
	case review:
		return fmt.Sprintf("Change %s\ndiff --git a/internal/%s.go b/internal/%s.go\n@@ -%d,7 +%d,9 @@\n%s", i.ref(), name(h), name(h), h%400, h%400, body)
	case summary:
		return "Transcript " + i.ref() + "\n" + body
	case clauses:
		return "Document " + i.ref() + "\n" + body
	case phrases:
		return "Product " + i.ref() + ":\n" + body
	default:
		return body + "\n" + i.ref()
	}
}

// hardWords close a hard prompt.
var hardWords = []string{
	" Consider every exception, compare the alternatives step by step, and explain why each of the others does not hold before you decide.",
	" Note that two of the statements above contradict each other; work out which one was made later and derive the consequences for the rest.",
	" Take the conditions of the earlier agreement into account, prove that they do not overlap, and calculate what follows if they do.",
}

// orderText states what an order mail orders; see order for the same facts as
// JSON.
func orderText(h uint64) string {
	o := newOrder(h)
	var b strings.Builder
	fmt.Fprintf(&b, "Order %s for %s, total %d.%02d %s, wanted in week %d.\n", o.id, o.customer, o.cents/100, o.cents%100, o.currency, o.week)
	for _, l := range o.lines {
		fmt.Fprintf(&b, "%d x %s\n", l.count, l.article)
	}
	return b.String()
}

func passages(body string) string {
	var b strings.Builder
	const each = 700
	for n := 1; len(body) > 0; n++ {
		cut := min(each, len(body))
		fmt.Fprintf(&b, "[%d] %s\n", n, body[:cut])
		body = body[cut:]
	}
	return b.String()
}

func name(h uint64) string {
	return []string{"ledger", "billing", "session", "stock", "mailer", "search", "import", "export", "auth", "report"}[h%10]
}

// systemPrompt is the workload's system prompt, of its fixed length.
func (w *World) systemPrompt(n int) string {
	wl := &w.Workloads[n]
	text := wl.system
	if more := wl.sizes.system*tokenBytes - len(text) - toolBytes(wl); more > 0 {
		text += "\n\nGuidelines:\n" + lines()[rag].cut(uint64(n)*977, more)
	}
	return text
}

func toolBytes(wl *Workload) int {
	if wl.shape != tools {
		return 0
	}
	return len(anthropicTools)
}

// anthropicTools are the agent's tools.
const anthropicTools = `[{"name":"stock_level","description":"How many pieces of an article a warehouse holds now.","input_schema":{"type":"object","properties":{"article":{"type":"string"},"warehouse":{"type":"string"}},"required":["article","warehouse"]}},` +
	`{"name":"move_stock","description":"Move pieces of an article between warehouses.","input_schema":{"type":"object","properties":{"article":{"type":"string"},"from":{"type":"string"},"to":{"type":"string"},"pieces":{"type":"integer"}},"required":["article","from","to","pieces"]}},` +
	`{"name":"reorder","description":"Order an article from its supplier.","input_schema":{"type":"object","properties":{"article":{"type":"string"},"pieces":{"type":"integer"},"urgent":{"type":"boolean"}},"required":["article","pieces"]}},` +
	`{"name":"notify","description":"Tell a person something.","input_schema":{"type":"object","properties":{"who":{"type":"string"},"about":{"type":"string"}},"required":["who","about"]}}]`
