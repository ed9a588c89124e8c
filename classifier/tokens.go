package classifier

import "math"

// meter predicts tokens from bytes. It counts a bounded sample of each text by
// a rule (a word of up to nine letters is a token, a longer one a token per
// five; three digits; marks and other scripts by their bytes) and scales it to
// the text's length. Against o200k_base it is off by 5 % in the middle and by
// less than 21 % for 95 of 100 graded prompts; docs/classifier.md has the table
// by kind of text (make tokens). Images, documents and tools are guesses.
type meter struct {
	sixteenths uint64 // tokens of what was sampled, scaled to its texts, in 1/16
	covered    uint64 // bytes of the texts that were sampled
	bytes      uint64 // of all texts
	looked     uint64 // bytes looked at
}

// What is looked at: of all texts together, and of one.
const (
	meterBudget = 4096
	meterWindow = 256
	meterWhole  = 4 * meterWindow
)

func (m *meter) add(text []byte) {
	n := uint64(len(text))
	m.bytes += n
	if n == 0 || m.looked >= meterBudget {
		return
	}
	if n <= meterWhole {
		m.sixteenths += count(text)
		m.looked += n
	} else {
		step := (len(text) - meterWindow) / 3
		var sum uint64
		for i := range 4 {
			sum += count(text[i*step : i*step+meterWindow])
		}
		m.sixteenths += sum * n / meterWhole
		m.looked += meterWhole
	}
	m.covered += n
}

func (m *meter) tokens() uint64 {
	if m.covered == 0 {
		return 0
	}
	return (m.sixteenths*m.bytes/m.covered + 15) / 16
}

// PromptTexts tells the texts of a request whose tokens Assess predicts, escapes
// and all, for whoever counts them later, and returns the tokens that it predicts
// beside them: of tools, images, documents and framing.
func PromptTexts(dialect string, body []byte, told func(raw []byte)) (beside uint32) {
	w := walker{told: told}
	w.walk(dialect, body)
	return uint32(min(w.beside(), math.MaxUint32))
}

// The classes of bytes, for counting.
const (
	isMark = iota
	isLetter
	isDigit
	isSpace
	isHigh
)

var byteClass = func() (t [256]uint8) {
	for c := range 256 {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			t[c] = isLetter
		case c >= '0' && c <= '9':
			t[c] = isDigit
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
			t[c] = isSpace
		case c >= 0x80:
			t[c] = isHigh
		}
	}
	return t
}()

// count returns the tokens of a JSON string's raw content in 1/16.
func count(text []byte) (sixteenths uint64) {
	for i := 0; i < len(text); {
		c := text[i]
		class := byteClass[c]
		from := i
		for i++; i < len(text) && byteClass[text[i]] == class && class != isMark; i++ {
		}
		n := uint64(i - from)
		switch class {
		case isLetter:
			sixteenths += 16
			if n > 9 {
				sixteenths += (n - 9) * 16 / 5
			}
		case isDigit:
			sixteenths += (n + 2) / 3 * 16
		case isSpace:
			if n > 1 {
				sixteenths += 16
			}
		case isHigh:
			if c < 0xE0 {
				sixteenths += n * 3 // two bytes a letter, as in Cyrillic: words join
			} else {
				sixteenths += n * 4 // three or four bytes a sign, as in Chinese
			}
		default:
			if c != '\\' || i >= len(text) {
				sixteenths += 12 // marks often join what stands beside them
				break
			}
			// An escape: \n is a mark, \u00e9 a letter of another script.
			if text[i] == 'u' {
				i = min(i+5, len(text))
				sixteenths += 12
			} else {
				i++
				sixteenths += 10
			}
		}
	}
	return sixteenths
}
