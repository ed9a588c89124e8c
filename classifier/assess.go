package classifier

import "math"

// Assess reads a request's body once and says what of it a decision may use,
// and how much the strong model is needed. It decodes nothing but a bounded
// look at the text, allocates nothing, and is the same on every machine.
//
// dialect is openai.chat, anthropic.messages or openai.responses; bodies of
// other dialects are read as far as their keys are the same. A body that is no
// JSON object has GateUnreadable.
func Assess(dialect string, body []byte) (Features, Assessment) {
	var w walker
	var system, user words
	w.assess(dialect, body, &system, &user)
	return w.f, Assessment{
		Score:   score(&w.f.Lexical),
		Novelty: novelty(&user),
		Task:    task(&w.f, &system, &user),
		Version: Version,
	}
}

// assess walks the body and looks at its texts.
func (w *walker) assess(dialect string, body []byte, system, user *words) {
	w.walk(dialect, body)
	var buf [maxLook + 64]byte
	if w.system.n > 0 {
		text := w.system.look(w.b, &buf)
		var places [printWords]span
		w.f.SystemPrint, _ = fingerprint(text, &places)
		system.look(text[:min(len(text), 1024)])
	}
	user.look(w.user.look(w.b, &buf))
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
