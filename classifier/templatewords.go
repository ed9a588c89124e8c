package classifier

import (
	"bytes"
	_ "embed"
	"strings"
)

// familiarWords is a Bloom filter like that of the weights, as it was in July
// 2026: the words of the graded prompts. It is kept apart because a workload
// must not have another name after a training.
//
//go:embed templatewords.bin
var familiarWords []byte

// promptWords are what prompts are written in, besides the words of the graded
// prompts.
const promptWords = `
annotate apologise apologize appointment assistant assistants attachment autonomous backend bot bug bugs bullet bullets categories category chat
chatbot citation citations cite classify classification clause clauses coach code codebase coding colleague comma concise concisely confidence
configuration confirm confirmation courteous customer customers dashboard database delete delivery deliveries detect diagnose discount discounts
document documentation documents draft edit editor email emails engineer engineers escalate explain extract extraction faq feedback fields file
files filename format formal formatting friendly function functions generate grammar greeting guideline guidelines handbook headline headlines
helpdesk helpful hotel human hint input inputs instruction instructions insurer intent invoice invoices json keyword keywords label labels
language languages locale markdown meeting message messages metadata moderate moderation narrator neutral never null onboarding orders output
outputs paragraph paragraphs parse patient payment persona placeholder placeholders polite politely professional programmer prompt proofread
query queries question questions rank recipe recipes recommend redact refund refunds refuse reply replies reservation reservations respond
response responses retrieve retrieved returns review reviewer reviews rewrite rewrites roleplay schema score scores section sections sentence
sentences sentiment shipping shop shopper snippet spelling sql style subject subscription suggest suggestions summaries summarise summarize
summary support supportive tag tags template tests text ticket tickets tier title tone tool tools transcript translate translation translations
translator travel traveller tutor typo url urls user users uuid valid validate verbatim webshop website wording workflow yaml xml`

var templateWords = func() (bits [wordBytes]byte) {
	copy(bits[:], familiarWords)
	for word := range strings.FieldsSeq(promptWords) {
		h := wordHash(word)
		for _, bit := range [...]uint32{h % (8 * wordBytes), h >> 16} {
			bits[bit/8] |= 1 << (bit % 8)
		}
	}
	return bits
}()

// isTemplateWord says whether a word, by its hash, is one that prompts are
// written in; for about 4 of 100 others wrongly so.
func isTemplateWord(h uint32) bool {
	a, b := h%(8*wordBytes), h>>16
	return templateWords[a/8]&(1<<(a%8)) != 0 && templateWords[b/8]&(1<<(b%8)) != 0
}

// chunkEnd returns the end of the word at i. Scripts without spaces are cut
// where another script begins, so that a date inside a sentence is a word, and
// at their marks.
func chunkEnd(text []byte, i int) int {
	if text[i] >= 0xE0 { // a sign of three bytes or more
		for i < len(text) && byteClass[text[i]] == isHigh {
			if text[i] >= 0xE0 && i+3 <= len(text) {
				i += 3
				if isWideMark(text[i-3 : i]) {
					break
				}
				continue
			}
			i++
		}
		return i
	}
	for i < len(text) && byteClass[text[i]] != isSpace && text[i] < 0xE0 {
		i++
	}
	return i
}

// isWideMark says whether a sign of three bytes is a mark: those of CJK, the
// wide forms of ASCII's, and the quotes and dashes.
func isWideMark(c []byte) bool {
	return c[0] == 0xE3 && c[1] == 0x80 || c[0] == 0xEF && c[1] == 0xBC || c[0] == 0xEF && c[1] == 0xBD || c[0] == 0xE2 && c[1] == 0x80
}

// endsSentence says whether a chunk ends with a wide full stop.
func endsSentence(chunk []byte) bool {
	if len(chunk) < 3 {
		return false
	}
	switch string(chunk[len(chunk)-3:]) {
	case "。", "！", "？", "；", "，":
		return true
	}
	return false
}

// trim cuts marks from both ends of a chunk, and says how many bytes in front.
func trim(chunk []byte) (marks int, word []byte) {
	for marks < len(chunk) {
		if byteClass[chunk[marks]] == isMark {
			marks++
			continue
		}
		if marks+3 <= len(chunk) && isWideMark(chunk[marks:]) {
			marks += 3
			continue
		}
		break
	}
	word = chunk[marks:]
	for len(word) > 0 {
		if byteClass[word[len(word)-1]] == isMark {
			word = word[:len(word)-1]
			continue
		}
		if len(word) >= 3 && isWideMark(word[len(word)-3:]) {
			word = word[:len(word)-3]
			continue
		}
		break
	}
	return marks, word
}

// plain says that a word is letters, with hyphens and apostrophes at most.
func plain(word []byte) bool {
	for _, c := range word {
		if class := byteClass[c]; class != isLetter && class != isHigh && c != '-' && c != '\'' {
			return false
		}
	}
	return true
}

// capitals says whether a word begins with a capital of Latin, Greek or
// Cyrillic, and whether an ASCII one stands inside it behind a small letter.
func capitals(word []byte) (first, inner bool) {
	switch c := word[0]; {
	case c >= 'A' && c <= 'Z':
		first = true
	case len(word) > 1 && c == 0xC3:
		first = word[1] >= 0x80 && word[1] <= 0x9E
	case len(word) > 1 && (c == 0xC4 || c == 0xC5):
		first = word[1]&1 == 0
	case len(word) > 1 && c == 0xD0:
		first = word[1] < 0xB0
	case len(word) > 1 && c == 0xCE:
		first = word[1] >= 0x86 && word[1] <= 0xAB
	}
	for i := 1; i < len(word); i++ {
		if c := word[i]; c >= 'A' && c <= 'Z' && (word[i-1] >= 'a' || word[i-1] == '-') {
			return first, true
		}
	}
	return first, false
}

// ordinal says whether a word is a number of one or two digits: "3." is a day.
func ordinal(word []byte) bool {
	for _, c := range word {
		if byteClass[c] != isDigit {
			return false
		}
	}
	return len(word) == 1 || len(word) == 2
}

// calendarLetters are the letters that such words begin with.
const calendarLetters = 1<<('a'&31) | 1<<('d'&31) | 1<<('e'&31) | 1<<('f'&31) | 1<<('j'&31) | 1<<('l'&31) | 1<<('m'&31) | 1<<('n'&31) | 1<<('o'&31) | 1<<('s'&31) | 1<<('t'&31) | 1<<('v'&31) | 1<<('w'&31)

// isCalendar says whether a word names a day or a month.
func isCalendar(word []byte) bool {
	if len(word) < 3 || calendarLetters>>(word[0]&31)&1 == 0 {
		return false
	}
	var buf [11]byte
	switch string(lower(&buf, word)) {
	case "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "mon", "tue", "wed", "thu", "fri", "sat", "sun",
		"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
		"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
		"janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre",
		"lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche",
		"enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre",
		"lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo":
		return true
	}
	return false
}

// isInstruction says whether a label or a tag of that name announces what is to
// be done, not what changes.
func isInstruction(word []byte) bool {
	var buf [11]byte
	switch string(lower(&buf, word)) {
	case "task", "tasks", "rule", "rules", "instruction", "role", "goal", "goals", "note", "important", "remember", "format", "output",
		"style", "objective", "step", "steps", "guidelines", "guideline", "constraints", "warning", "policy", "system", "persona", "aufgabe", "regeln", "rolle":
		return true
	}
	return bytes.EqualFold(word, allInstructions) || bytes.EqualFold(word, outputFormat)
}

// Longer than what lower takes.
var allInstructions, outputFormat = []byte("instructions"), []byte("output_format")

// isData says whether a word names what is filled in: documents and the like.
func isData(word []byte) bool {
	var buf [11]byte
	switch string(lower(&buf, word)) {
	case "context", "document", "documents", "passage", "passages", "article", "articles", "transcript", "email", "thread", "ticket", "text", "input",
		"content", "contents", "record", "records", "source", "sources", "snippet", "snippets", "excerpt", "excerpts", "result", "results", "history",
		"conversation", "dialogue", "logs", "log", "data", "profile", "notes", "memory", "memories", "facts", "file", "files", "report", "contract", "catalogue", "catalog",
		"list", "basket", "cart", "items", "schema", "example", "examples", "material", "materials", "knowledge", "information", "chunks", "pages",
		"kontext", "dokument", "dokumente", "bericht", "daten", "verlauf", "beispiele", "contexte", "contexto", "documento", "documentos", "texte", "texto":
		return true
	}
	switch string(word) {
	case "文章", "资料", "内容", "文档", "上下文", "背景", "文本", "النص", "السياق":
		return true
	}
	return false
}

// isResumption says whether a word takes the template up again after a section
// of prose.
func isResumption(word []byte) bool {
	var buf [11]byte
	switch string(lower(&buf, word)) {
	case "now", "given", "using", "answer", "remember", "please", "return", "reply", "respond", "based":
		return true
	}
	return false
}

// isNaming says whether a name follows a word.
func isNaming(word []byte) bool {
	switch string(word) {
	case "called", "named":
		return true
	}
	return false
}

// isParticle says whether a word stands inside names.
func isParticle(word []byte) bool {
	switch string(word) {
	case "van", "von", "der", "den", "de", "la", "del", "di", "da", "bin", "al", "el", "dos", "und", "of", "and", "the", "y":
		return true
	}
	return false
}

// isArticle says whether a German noun may follow: its capital is no name's.
func isArticle(word []byte) bool {
	var buf [11]byte
	switch string(lower(&buf, word)) {
	case "der", "die", "das", "den", "dem", "des", "ein", "eine", "einen", "einem", "einer", "eines", "kein", "keine", "keinen", "dein", "deine", "ihre", "ihren",
		"unsere", "jede", "jeden", "folgenden", "einfache", "bei", "zur", "zum", "beim":
		return true
	}
	return false
}

// lower returns a word of at most eleven bytes in lower case, a longer one as
// nothing.
func lower(buf *[11]byte, word []byte) []byte {
	if len(word) > len(buf) {
		return nil
	}
	for i, c := range word {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	return buf[:len(word)]
}

// wideSlot returns the place of a name in a Chinese clause: what stands between
// 是 (is) and 的 (of), as in "you are X's assistant".
func wideSlot(word []byte) (from, to int) {
	if word[0] < 0xE0 {
		return 0, 0
	}
	if from = bytes.Index(word, isSign); from < 0 {
		return 0, 0
	}
	from += len(isSign)
	if to = bytes.Index(word[from:], ofSign); to < 0 || to > maxSlot {
		return 0, 0
	}
	return from, from + to
}

// maxSlot is how many bytes such a name has at most: ten signs.
const maxSlot = 30

var isSign, ofSign = []byte("是"), []byte("的")
