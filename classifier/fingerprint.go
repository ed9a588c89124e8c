package classifier

import (
	"bytes"

	"github.com/gnomon-llm/gnomon/schemas"
)

// printVersion is that of the rules below: discovered names carry it, so that a
// name tells which rules found it. Other rules are another version, and the proxy
// keeps these beside them: workloads go on under the names they have.
const printVersion = 2

// printWords is about how many words make a system prompt's fingerprint: enough
// to tell templates apart, few enough that what a caller appends at the end
// does not matter.
const printWords = 128

// readWords is how many are looked at: lists repeat themselves.
const readWords = 2 * printWords

// fewWords is how many words leave a system prompt so general ("You are a
// helpful assistant.") that tools and the answer's format have to tell its
// workloads apart.
const fewWords = 8

// namedWords is how many of a prompt's first words a name is picked from.
const namedWords = 64

// printer finds the fingerprint of a system prompt's template: a hash of the
// words that are the same in every request.
//
// What changes from call to call is ironed out on three levels. Of whole
// sections, when something announces data: a line like "Context:", a fence, a
// tag (see sections.go). Of lines, when they are rows: values after a label,
// short or numbered items of a list, and lines that repeat the pattern of one
// before. Of words, when they hold digits or marks, name a day or month, stand
// in quotes, or have a capital inside a sentence; and, in a line that is
// English, when they are not among the words that prompts are written in, so
// that neither a brand nor a user's name in lower case counts.
type printer struct {
	text []byte
	gap  int // the place in text where something was left out; 0: nowhere
	h    uint64
	kept int
	seen int // words that were looked at
	line line
	rows [4]uint64 // of the last lines
	section

	places [namedWords]span // of the words that count
	told   int
}

// line is what was found in the line that is being read.
type line struct {
	all, known   uint64 // hashes of its words, and of those that prompts are written in
	nAll, nKnown int
	places       int  // how many places there were before it
	starts       bool // a sentence begins
	value        bool // after a label, to the sentence's end
	whole        bool // to the line's
	quoted       bool
	dropped      bool // the last word was
	named        bool // the next word is somebody's name
	before       span //  the last word, where it counted
}

const (
	printSeed  = 14695981039346656037
	printPrime = 1099511628211
)

// read reads the text; afterwards h, kept and places are what was found.
func (p *printer) read() {
	text := p.text
	p.h = printSeed
	for at := 0; at < len(text) && p.kept < printWords && p.seen < readWords; {
		if p.gap > 0 && at >= p.gap {
			if p.open == openNone {
				return // an unknown part is missing: what follows begins anywhere
			}
			p.gap = 0 // it was data: its end is seen
		}
		end := at + lineEnd(text[at:])
		from, to := trimLine(text, at, end)
		if p.counts(from, to) {
			p.words(from, to)
			p.endLine()
		}
		at = end + 1
	}
}

func lineEnd(text []byte) int {
	if n := bytes.IndexByte(text, '\n'); n >= 0 {
		return n
	}
	return len(text)
}

func trimLine(text []byte, from, to int) (int, int) {
	for from < to && byteClass[text[from]] == isSpace {
		from++
	}
	for to > from && byteClass[text[to-1]] == isSpace {
		to--
	}
	return from, to
}

// words reads a line.
func (p *printer) words(from, to int) {
	l := &p.line
	*l = line{all: printSeed, known: printSeed, starts: true, places: p.told}
	for i := from; i < to && p.kept+max(l.nKnown, l.nAll-l.nKnown) < printWords; {
		if byteClass[p.text[i]] == isSpace {
			i++
			continue
		}
		if l.starts && !l.value {
			if at, colon := i, p.label(i, to); colon > 0 {
				p.labelled(i, colon)
				i, l.value = colon, true
				l.whole = p.ofData([2]int{at, colon})
				l.starts = false
				continue
			}
		}
		at := i
		i = chunkEnd(p.text[:to], i)
		p.chunk(at, i)
	}
}

// chunk reads what stands between two spaces.
func (p *printer) chunk(from, to int) {
	l := &p.line
	chunk := p.text[from:to]
	marks, word := trim(chunk)
	last := chunk[len(chunk)-1]
	p.seen++
	starts, value, quoted := l.starts, l.value, l.quoted
	if opens := bytes.IndexByte(chunk, '"'); opens >= 0 && !(last == ':' || l.quoted && last != '"' && bytes.Count(chunk, quote) == 1) {
		// A single word in quotes opens and closes them.
		if bytes.Count(chunk, quote) == 1 {
			l.quoted = !l.quoted
		}
		quoted = true
	} else if last == ':' {
		quoted, l.quoted = false, false // a member's key
	}
	ends := last == '.' || last == '!' || last == '?' || endsSentence(chunk)
	if last == '.' && ordinal(word) {
		ends = false
	}
	if (ends || last == ';') && !l.whole {
		l.value = false
	}
	l.starts = ends || len(word) == 0 && starts
	if len(word) == 0 {
		return
	}
	if value || quoted || !p.constant(word, starts) {
		l.dropped, l.named, l.before = true, false, span{}
		return
	}
	l.dropped = false
	p.word(word, from+marks)
}

var quote = []byte{'"'}

// constant says whether a word looks as if it stood in every request.
func (p *printer) constant(word []byte, starts bool) bool {
	l := &p.line
	if l.named {
		return false
	}
	upper, inner := capitals(word)
	switch {
	case !plain(word), inner, isCalendar(word):
		return false
	case upper && !starts:
		return isArticle(p.text[l.before.from:l.before.to]) // a German noun
	case l.dropped && isParticle(word):
		return false
	}
	return true
}

// word takes a word into the line's hashes.
func (p *printer) word(word []byte, at int) {
	l := &p.line
	high := byteClass[word[0]] == isHigh && word[0] >= 0xE0
	familiar := uint32(wordSeed)
	letters := 0
	own := uint64(printSeed) // of this word alone: what stands before it may be anybody's name
	slot, slotEnd := wideSlot(word)
	for i, c := range word {
		if i >= slot && i < slotEnd {
			continue
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		l.all = (l.all ^ uint64(c)) * printPrime
		own = (own ^ uint64(c)) * printPrime
		if byteClass[c] == isLetter {
			familiar = (familiar ^ uint32(c)) * wordPrime
			letters++
		}
	}
	if !high { // scripts without spaces are cut by what was dropped: the cut must not show
		l.all = (l.all ^ ' ') * printPrime
	}
	l.nAll++
	known := letters < 3 && letters == len(word) || isTemplateWord(familiar) && letters > 0
	if known {
		l.known = (l.known ^ own) * printPrime
		l.nKnown++
	}
	l.named, l.before = isNaming(word), span{from: at, to: at + len(word)}
	if p.told < namedWords {
		p.places[p.told] = span{from: at, to: at + len(word), escaped: !known}
		p.told++
	}
}

// endLine takes a line into the fingerprint. In a line that is English only the
// words count that prompts are written in.
func (p *printer) endLine() {
	l := &p.line
	h, n := l.all, l.nAll
	if english := 2*l.nKnown > l.nAll; english {
		h, n = l.known, l.nKnown
		kept := l.places
		for _, s := range p.places[l.places:p.told] {
			if !s.escaped {
				p.places[kept] = s
				kept++
			}
		}
		p.told = kept
	}
	if n == 0 {
		return
	}
	for _, row := range p.rows {
		if row == h { // another row of the same list
			p.told = l.places
			return
		}
	}
	copy(p.rows[1:], p.rows[:3])
	p.rows[0] = h
	p.h = (p.h ^ h) * printPrime
	p.h ^= p.h >> 29
	p.kept += n
}

// print is what identifies the workload of a request without a feature header:
// the system prompt's template and, where it is short or missing, the tools'
// names, whatever their order, and the shape of what is asked for. 0 where a
// request has none of them.
func (w *walker) print(p *printer) uint64 {
	h := uint64(0)
	if w.system.n > 0 {
		h = p.h | 1
	}
	if p.kept >= fewWords {
		return h
	}
	shape := uint64(w.f.Gates & (schemas.GateJSONMode | schemas.GateJSONSchema))
	if w.system.n == 0 {
		shape |= uint64(w.f.Gates & schemas.GateVision)
	}
	if shape == 0 && w.toolSum == 0 && w.schemaSum == 0 {
		return h
	}
	for _, x := range [...]uint64{shape, w.toolSum, w.schemaSum} {
		h = (h ^ x ^ printSeed) * printPrime
		h ^= h >> 32
	}
	return h | 1
}

// nameHash hashes a tool's or a schema's name.
func nameHash(name []byte) uint64 {
	h := uint64(printSeed)
	for _, c := range name {
		h = (h ^ uint64(c)) * printPrime
	}
	return h ^ h>>31
}
