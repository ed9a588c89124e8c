package classifier

import "math/bits"

// The lexical features of the last user turn, each in 1/256.
const (
	lexBytes     = iota // log2 of its length
	lexWords            // log2 of its words
	lexWordLen          // mean letters a word
	lexDigits           // share of digits, × 16
	lexUpper            // share of capitals, × 16
	lexMarks            // share of marks, × 16
	lexHigh             // share of other scripts, × 16
	lexNumbers          // log2 of numbers
	lexLines            // log2 of lines
	lexOptions          // lettered options
	lexQuestions        // log2 of question marks
	lexCode             // log2 of braces, semicolons, …
	lexMath             // log2 of mathematical marks
	lexUnique           // share of distinct words, × 16
	lexLong             // share of words of nine letters and more, × 16
	lexReason           // log2 of words that ask for steps
)

// The kinds of mark.
const (
	markCode = 1 << iota
	markMath
	markQuestion
)

var markKind = func() (t [256]uint8) {
	for _, c := range []byte("{}[];<>`#_|") {
		t[c] |= markCode
	}
	for _, c := range []byte("+=^*/\\$<>%") {
		t[c] |= markMath
	}
	t['?'] |= markQuestion
	return t
}()

// words is what one pass over a text's words and marks finds.
type words struct {
	letters, digits, upper, marks, high, total uint32
	words, long, numbers, lines, options       uint32
	questions, code, math, reason              uint32
	distinct                                   uint32
	known, unknown                             uint32 // words of three letters and more
	votes                                      [TaskTranslation + 1]uint16
	seen                                       [32]uint64 // a sketch of the words seen
}

// look counts a text of lines that each end in a newline. Its words go to g,
// where that is not nil.
func (w *words) look(text []byte, m *Model, g *grams) {
	for i := 0; i < len(text); {
		c := text[i]
		switch byteClass[c] {
		case isLetter, isHigh:
			i = w.word(text, i, m, g)
		case isDigit:
			from := i
			for i++; i < len(text) && byteClass[text[i]] == isDigit; i++ {
			}
			w.digits += uint32(i - from)
			w.numbers++
			if g != nil {
				g.number(i - from)
			}
		case isSpace:
			i++
			if c == '\n' {
				w.lines++
				if isOption(text[i:]) {
					w.options++
				}
			}
		default:
			w.mark(c)
			if g != nil {
				g.mark(c)
			}
			i++
		}
	}
	w.total += uint32(len(text))
}

func (w *words) mark(c byte) {
	w.marks++
	kind := markKind[c]
	w.code += uint32(kind & markCode)
	w.math += uint32(kind & markMath >> 1)
	w.questions += uint32(kind & markQuestion >> 2)
}

// word reads the word at i and returns the place after it.
func (w *words) word(text []byte, i int, m *Model, g *grams) int {
	h := uint32(wordSeed)
	var letters uint32
	for ; i < len(text); i++ {
		c := text[i]
		switch byteClass[c] {
		case isLetter:
			if c < 'a' {
				w.upper++
				c |= 0x20
			}
		case isHigh:
			w.high++
		default:
			if c != '\'' {
				goto done
			}
			continue
		}
		h = (h ^ uint32(c)) * wordPrime
		letters++
	}
done:
	w.words++
	w.letters += letters
	if g != nil {
		g.word(h)
	}
	if letters >= 9 {
		w.long++
	}
	spot, bit := h>>16%uint32(len(w.seen)), uint64(1)<<(h>>24%64)
	if w.seen[spot]&bit == 0 {
		w.seen[spot] |= bit
		w.distinct++
	}
	if letters >= 3 {
		if m.familiar(h) {
			w.known++
		} else {
			w.unknown++
		}
		if k := keywordAt(h); k != 0 {
			w.keyword(k)
		}
	}
	return i
}

func (w *words) keyword(k uint8) {
	if k == wordReason {
		w.reason++
		return
	}
	if w.votes[k] < 1<<15 {
		w.votes[k]++
	}
}

// isOption says whether a line begins like a lettered choice: "A. ", "(b) ".
func isOption(line []byte) bool {
	if len(line) > 0 && line[0] == '(' {
		line = line[1:]
	}
	return len(line) > 2 && line[0]|0x20 >= 'a' && line[0]|0x20 <= 'j' && (line[1] == '.' || line[1] == ')') && line[2] == ' '
}

// features puts the counts into fixed point.
func (w *words) features(out *[16]int16, turnBytes uint32) {
	share := func(n, of uint32) int16 { return int16(min(n*4096/max(of, 1), 4096)) }
	text := max(w.total, 1)
	*out = [16]int16{
		lexBytes: log2(turnBytes), lexWords: log2(w.words), lexWordLen: int16(min(w.letters*256/max(w.words, 1), 64*256)),
		lexDigits: share(w.digits, text), lexUpper: share(w.upper, text), lexMarks: share(w.marks, text), lexHigh: share(w.high, text),
		lexNumbers: log2(w.numbers), lexLines: log2(w.lines), lexOptions: int16(min(w.options, 12) * 256),
		lexQuestions: log2(w.questions), lexCode: log2(w.code), lexMath: log2(w.math),
		lexUnique: share(w.distinct, w.words), lexLong: share(w.long, w.words), lexReason: log2(w.reason),
	}
}

// log2 returns log2(n+1) in 1/256, straight between powers of two.
func log2(n uint32) int16 {
	m := uint64(n) + 1
	k := bits.Len64(m) - 1
	return int16(k<<8 + int(m<<8>>k-256))
}

// The hash of a word: FNV-1a over its lower-case letters.
const (
	wordSeed  = 2166136261
	wordPrime = 16777619
)

func wordHash(s string) uint32 {
	h := uint32(wordSeed)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * wordPrime
	}
	return h
}
