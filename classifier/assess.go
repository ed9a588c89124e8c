package classifier

import "math"

// Assess reads a request's body once and says what of it a decision may use,
// and how much the strong model is needed. It decodes nothing but a bounded
// look at the text, allocates nothing, and is the same on every machine.
//
// dialect is openai.chat, anthropic.messages, openai.responses or
// gemini.generate; bodies of other dialects are read as far as their keys are the same. A body that is no
// JSON object has GateUnreadable.
func Assess(dialect string, body []byte) (Features, Assessment) { return builtin.Assess(dialect, body) }

// Assess is the package's Assess under the model's weights.
func (m *Model) Assess(dialect string, body []byte) (Features, Assessment) {
	var w walker
	var system, user words
	g := grams{weights: &m.w.Words}
	w.assess(dialect, body, m, &system, &user, &g)
	t := task(&w.f, &system, &user)
	return w.f, Assessment{
		Score:   m.score(&w.f, t, &g),
		Novelty: novelty(&user),
		Task:    t,
		Version: Version,
	}
}

// Examine is Assess for training: besides the features and the task class it
// returns the slots of the distinct words and pairs, and what each weighs at
// their number.
func Examine(dialect string, body []byte) (f Features, t TaskClass, slots []uint32, each float64) {
	var w walker
	var system, user words
	g := grams{weights: new([Slots]int16), found: &slots}
	w.assess(dialect, body, builtin, &system, &user, &g)
	return w.f, task(&w.f, &system, &user), slots, float64(gramScale(g.n)) / (1 << 20)
}

// assess walks the body and looks at its texts.
func (w *walker) assess(dialect string, body []byte, m *Model, system, user *words, g *grams) {
	w.walk(dialect, body)
	var buf [maxLook + 64]byte
	var p printer
	if w.system.n > 0 {
		text := w.system.look(w.b, &buf)
		p.text, p.gap = text, w.system.gap
		p.read()
		system.look(text[:min(len(text), 1024)], m, nil)
	}
	w.f.SystemPrint = w.print(&p)
	user.look(w.user.look(w.b, &buf), m, g)
	user.features(&w.f.Lexical, w.f.LastUserBytes)
}

// novelty is the share of the turn's words that are not among those of the
// graded data, in 1/65535. A turn without a word is wholly new. It is recorded
// and gates nothing in this version: its reference is English, and evidence of
// the workload is what opens the gate.
func novelty(w *words) uint16 {
	all := w.known + w.unknown
	if all == 0 {
		return math.MaxUint16
	}
	return uint16(uint64(w.unknown) * math.MaxUint16 / uint64(all))
}
