package simulator

import (
	"fmt"
	"math"
	"strings"
)

// World is the hidden truth: a seed, and the workloads.
type World struct {
	Workloads []Workload
	seed      uint64
	scale     float64
	systems   [][]byte // the system prompts as JSON strings
}

// NewWorld returns the simulated company. scale multiplies the volume of its
// traffic: 1 makes a good 200,000 requests in 14 days.
func NewWorld(seed uint64, scale float64) *World {
	w := &World{Workloads: company(), seed: seed, scale: scale}
	for n := range w.Workloads {
		w.systems = append(w.systems, appendText(nil, w.systemPrompt(n)))
	}
	return w
}

// toolCall is a call that an answer asks for.
type toolCall struct{ name, args string }

// answer is what a simulated model says to a prompt.
type answer struct {
	text   string
	calls  []toolCall
	tokens int    // of output
	finish string // stop, tool_calls or length
}

// variants of a closed answer. Each is a function of the item: two models that
// are right say the same.
const (
	right      = 0
	wrong      = 1 // as the baseline errs
	weakWrong  = 2 // as the candidate errs
	otherWrong = 3 // as either errs on another day
)

// answer is what model says to i when it is asked for the attempt-th time (from
// 0). The baseline is the workload's own model; every other is its candidate.
func (w *World) answer(i item, model string, attempt uint64, day int64, maxTokens int) answer {
	wl := &w.Workloads[i.workload()]
	weak := model != wl.Model
	a := answer{finish: "stop"}
	if wl.shape.closed() && !w.reports(i) {
		variant := w.variant(i, weak, attempt, day)
		a.text, a.calls = w.say(i, variant, weak)
		length := len(a.text)
		for _, c := range a.calls {
			length += len(c.name) + len(c.args)
			a.finish = "tool_calls"
		}
		a.tokens = length/tokenBytes + 1
	} else {
		a.tokens = w.proseTokens(i, weak, attempt)
		h := mix(w.seed, uint64(i), forAnswer)
		if weak || unit(mix(h, attempt)) < wl.quality.noise && attempt > 0 {
			h = mix(h, attempt, boolKey(weak)) // other words
		}
		a.text = flow()[wl.shape].cut(h, a.tokens*tokenBytes)
	}
	if maxTokens > 0 && a.tokens > maxTokens {
		a.finish, a.tokens = "length", maxTokens
		if len(a.text) > maxTokens*tokenBytes {
			a.text = a.text[:maxTokens*tokenBytes]
		}
	}
	return a
}

// reports tells that an agent's turn ends in prose instead of a tool call.
func (w *World) reports(i item) bool {
	return w.Workloads[i.workload()].shape == tools && unit(mix(w.seed, uint64(i), forAnswer, 7)) < .15
}

// proseTokens is the length of a free answer.
func (w *World) proseTokens(i item, weak bool, attempt uint64) int {
	wl := &w.Workloads[i.workload()]
	h := mix(w.seed, uint64(i), forAnswer, 3)
	tokens := lognormal(wl.sizes.output, wl.sizes.outSigma, normal(h))
	if w.hard(i) {
		tokens *= 1.3
	}
	if weak {
		q := wl.quality
		// exp(σz − σ²/2) has mean 1: ratio is the mean ratio of totals.
		tokens *= q.ratio * math.Exp(q.ratioSD*normal(mix(h, attempt, 11))-q.ratioSD*q.ratioSD/2)
	}
	return int(min(max(math.Round(tokens), 2), 8000))
}

// variant decides whether a model is right. The candidate agrees with the
// baseline unless it slips where the baseline is right, or knows better, or
// errs otherwise, where the baseline is wrong.
func (w *World) variant(i item, weak bool, attempt uint64, day int64) int {
	q := &w.Workloads[i.workload()].quality
	base := right
	if unit(mix(w.seed, uint64(i), forAnswer, 5)) >= q.strong {
		base = wrong
	}
	if !weak {
		if attempt > 0 && unit(mix(w.seed, uint64(i), forNoise, attempt)) < q.noise {
			return otherWrong
		}
		return base
	}
	u := unit(mix(w.seed, uint64(i), forSlip, attempt))
	if base == right {
		if u < w.slip(i, day) {
			return weakWrong
		}
		return right
	}
	switch {
	case u < q.rescue:
		return right
	case u < q.rescue+errOtherwise:
		return weakWrong
	}
	return wrong
}

// errOtherwise is the chance that the candidate errs in another way where the
// baseline is wrong.
const errOtherwise = .03

// slip is the chance that the candidate is wrong on i, where the baseline is
// right: harder prompts, bad days and odd sessions raise it.
func (w *World) slip(i item, day int64) float64 {
	q := &w.Workloads[i.workload()].quality
	p := q.slip / (1 + q.hard*(q.harder-1))
	if w.hard(i) {
		p *= q.harder
	}
	z := normal(mix(w.seed, uint64(i.workload()), uint64(i.session()), forWeather))
	p *= math.Exp(q.session*z - q.session*q.session/2)
	p += q.daySD * normal(mix(w.seed, uint64(i.workload()), uint64(day), forWeather, 1))
	return min(max(p, 0), 1)
}

// difference returns what is expected of the candidate on i: the true
// difference in quality, and the difference that a grader sees which holds the
// candidate's answer against the baseline's.
func (w *World) difference(i item, day int64) (truth, agreement float64) {
	q := &w.Workloads[i.workload()].quality
	slip := w.slip(i, day)
	return -q.strong*slip + (1-q.strong)*q.rescue,
		-q.strong*slip - (1-q.strong)*(q.rescue+errOtherwise)
}

// say writes a closed answer. The candidate writes JSON in its own manner: the
// same members in another order, with white space.
func (w *World) say(i item, variant int, weak bool) (string, []toolCall) {
	h := mix(w.seed, uint64(i), forText)
	switch w.Workloads[i.workload()].shape {
	case labels:
		words := w.Workloads[i.workload()].words
		return words[(h>>7+uint64(variant))%uint64(len(words))], nil
	case extraction:
		return newOrder(h).spoil(variant).json(weak), nil
	case tools:
		return "", []toolCall{newCall(mix(h, 1), variant, weak)}
	case review:
		return finding(mix(h, 1), variant, weak), nil
	case clauses:
		return clauseList(mix(h, 1), variant, weak), nil
	default:
		return phrase(h, variant), nil
	}
}

type order struct {
	id, customer, currency string
	cents, week            int
	lines                  []orderLine
}

type orderLine struct {
	article string
	count   int
}

func newOrder(h uint64) order {
	r := stream(h, forText)
	o := order{
		id:       fmt.Sprintf("PO-%06d", r.IntN(1e6)),
		customer: []string{"Nordwind", "Bergfex", "Kalmar", "Oriel", "Trail Depot", "Vela", "Hinterland", "Two Rivers"}[r.IntN(8)],
		currency: []string{"EUR", "USD", "SEK"}[r.IntN(3)],
		cents:    1000 + r.IntN(5_000_000), week: 1 + r.IntN(52),
	}
	for range 5 + r.IntN(22) {
		o.lines = append(o.lines, orderLine{fmt.Sprintf("A-%05d", r.IntN(1e5)), 1 + r.IntN(240)})
	}
	return o
}

// spoil makes the variant's error: a wrong total, a wrong count, a lost line.
func (o order) spoil(variant int) order {
	switch variant {
	case wrong:
		o.cents += 100
	case weakWrong:
		o.lines = o.lines[:len(o.lines)-1]
	case otherWrong:
		o.week++
	}
	return o
}

func (o order) json(weak bool) string {
	var b strings.Builder
	if weak {
		fmt.Fprintf(&b, `{"customer": %q, "order_id": %q, "week": %d, "currency": %q, "total": %d.%02d, "lines": [`, o.customer, o.id, o.week, o.currency, o.cents/100, o.cents%100)
		for n, l := range o.lines {
			fmt.Fprintf(&b, `%s{"count": %d, "article": %q}`, sep(n, ", "), l.count, l.article)
		}
	} else {
		fmt.Fprintf(&b, `{"order_id":%q,"customer":%q,"total":%d.%02d,"currency":%q,"week":%d,"lines":[`, o.id, o.customer, o.cents/100, o.cents%100, o.currency, o.week)
		for n, l := range o.lines {
			fmt.Fprintf(&b, `%s{"article":%q,"count":%d}`, sep(n, ","), l.article, l.count)
		}
	}
	b.WriteString("]}")
	return b.String()
}

func newCall(h uint64, variant int, weak bool) toolCall {
	article, pieces := fmt.Sprintf("A-%05d", h%100_000), 1+int(h>>20%90)
	if variant != right {
		pieces += 10 * variant
	}
	places := []string{"north", "south", "harbour", "airport"}
	from, to := places[(h>>30)%4], places[(h>>32)%4]
	var c toolCall
	switch h >> 40 % 4 {
	case 0:
		if variant != right {
			from = places[((h>>30)+uint64(variant))%4]
		}
		c = toolCall{"stock_level", fmt.Sprintf(`{"article":%q,"warehouse":%q}`, article, from)}
	case 1:
		c = toolCall{"move_stock", fmt.Sprintf(`{"article":%q,"from":%q,"to":%q,"pieces":%d}`, article, from, to, pieces)}
	case 2:
		c = toolCall{"reorder", fmt.Sprintf(`{"article":%q,"pieces":%d,"urgent":%t}`, article, pieces, h>>50%2 == 0)}
	default:
		c = toolCall{"notify", fmt.Sprintf(`{"who":%q,"about":%q}`, "shift lead "+to, fmt.Sprintf("%s: %d pieces", article, pieces))}
	}
	if weak {
		c.args = strings.ReplaceAll(c.args, `":`, `": `)
	}
	return c
}

func finding(h uint64, variant int, weak bool) string {
	severity := []string{"none", "low", "medium", "high"}
	level := h >> 10 % 4
	line, rule := int(h>>16%400), []string{"error-ignored", "lock-held", "leak", "injection", "naming", "off-by-one"}[h>>26%6]
	switch variant {
	case wrong:
		line += 3
	case weakWrong:
		level, rule = 0, "none" // overlooked
		if h>>10%4 == 0 {
			level = 1
		}
	case otherWrong:
		level = (level + 1) % 4
	}
	verdict := "approve"
	if level >= 2 {
		verdict = "request_changes"
	}
	if weak {
		return fmt.Sprintf("```json\n{\n  \"severity\": %q,\n  \"verdict\": %q,\n  \"rule\": %q,\n  \"line\": %d\n}\n```", severity[level], verdict, rule, line)
	}
	return fmt.Sprintf(`{"verdict":%q,"severity":%q,"line":%d,"rule":%q}`, verdict, severity[level], line, rule)
}

func clauseList(h uint64, variant int, weak bool) string {
	r := stream(h)
	kinds := []string{"liability", "term", "renewal"}
	n := 1 + r.IntN(9)
	if variant == weakWrong {
		n++
	}
	var b strings.Builder
	b.WriteByte('[')
	for k := range n {
		deviates := r.IntN(4) == 0
		if variant == wrong && k == 0 || variant == otherWrong && k == n-1 {
			deviates = !deviates
		}
		kind, number, page := kinds[r.IntN(3)], fmt.Sprintf("%d.%d", 1+r.IntN(30), 1+r.IntN(9)), 1+r.IntN(80)
		if weak {
			fmt.Fprintf(&b, `%s{"page": %d, "clause": %q, "deviates": %t, "kind": %q}`, sep(k, ", "), page, number, deviates, kind)
		} else {
			fmt.Fprintf(&b, `%s{"kind":%q,"clause":%q,"page":%d,"deviates":%t}`, sep(k, ","), kind, number, page, deviates)
		}
	}
	b.WriteByte(']')
	return b.String()
}

// phrase is a short German name, always below the length of a closed answer.
func phrase(h uint64, variant int) string {
	kind := []string{"Wanderrucksack", "Regenjacke", "Trinkflasche", "Campingstuhl", "Schlafsack", "Stirnlampe", "Zelt", "Handschuhe"}
	trait := []string{"leicht", "wasserdicht", "faltbar", "warm", "robust", "winddicht", "klein"}
	return fmt.Sprintf("%s %s %d", kind[(h>>5)%8], trait[(h>>9+uint64(variant))%7], h>>20%90)
}

func sep(n int, s string) string {
	if n == 0 {
		return ""
	}
	return s
}

func boolKey(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
