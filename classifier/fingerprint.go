package classifier

import (
	"strconv"
	"strings"
)

// printWords is how many words make a system prompt's fingerprint: enough to
// tell templates apart, few enough that what a caller appends (documents, a
// customer's record) does not matter.
const printWords = 64

// maxName bounds a discovered workload's name.
const maxName = 48

// fingerprint hashes the template of a system prompt. What changes from call to
// call is ironed out: words with digits, addresses, names of days and months,
// capitalised words inside a sentence (people, places), and what stands after a
// label such as "Name:". The places of the words that count go to places.
func fingerprint(text []byte, places *[printWords]span) (print uint64, kept int) {
	h := uint64(14695981039346656037)
	starts, label := true, false
	for i := 0; i < len(text) && kept < printWords; {
		if byteClass[text[i]] == isSpace {
			if text[i] == '\n' {
				starts, label = true, false
			}
			i++
			continue
		}
		from := i
		i = chunkEnd(text, i)
		chunk := text[from:i]
		last := chunk[len(chunk)-1]
		marks, word := trim(chunk)
		wasStart, wasLabel := starts, label
		starts = last == '.' || last == '!' || last == '?' || len(word) == 0 && starts
		label = last == ':' && isLabel(word) || label && last != '.' && last != ';'
		if len(word) == 0 || wasLabel || !plain(word) || word[0] >= 'A' && word[0] <= 'Z' && !wasStart || isCalendar(word) {
			continue
		}
		for _, c := range word {
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			h = (h ^ uint64(c)) * 1099511628211
		}
		h = (h ^ ' ') * 1099511628211
		places[kept] = span{from: from + marks, to: from + marks + len(word)}
		kept++
	}
	return h | 1, kept // 0 means that there is no system prompt
}

// chunkEnd returns the end of the word at i. Scripts without spaces are cut
// where another script begins, so that a date inside a sentence is a word.
func chunkEnd(text []byte, i int) int {
	if text[i] >= 0xE0 { // a sign of three bytes or more
		for i < len(text) && byteClass[text[i]] == isHigh {
			i++
		}
		return i
	}
	for i < len(text) && byteClass[text[i]] != isSpace && text[i] < 0xE0 {
		i++
	}
	return i
}

// trim cuts marks from both ends of a chunk, and says how many in front.
func trim(chunk []byte) (marks int, word []byte) {
	for marks < len(chunk) && byteClass[chunk[marks]] == isMark {
		marks++
	}
	word = chunk[marks:]
	for len(word) > 0 && byteClass[word[len(word)-1]] == isMark {
		word = word[:len(word)-1]
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

// isCalendar says whether a word names a day or a month.
func isCalendar(word []byte) bool {
	var buf [10]byte
	switch string(lower(&buf, word)) {
	case "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "mon", "tue", "wed", "thu", "fri", "sat", "sun",
		"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
		"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "oct", "nov", "dec":
		return true
	}
	return false
}

// isLabel says whether a word before a colon announces something that changes
// from call to call.
func isLabel(word []byte) bool {
	var buf [10]byte
	switch string(lower(&buf, word)) {
	case "name", "user", "username", "customer", "client", "id", "email", "date", "time", "session", "location", "city", "company", "account":
		return true
	}
	return false
}

// lower returns a word of at most ten letters in lower case, a longer one as
// nothing.
func lower(buf *[10]byte, word []byte) []byte {
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

// fillWords say nothing of what a prompt is for.
const fillWords = " you are a an the and or of to in on for with your our that this is be as by it its from at will must should always never please not only when if do does who what which user users given using use task following helpful assistant expert professional they them their can may have has all any each about into than then also very most more i we he she his her up out so no yes was were been being but my me answer answers reply respond "

func isFill(word []byte) bool {
	var buf [10]byte
	w := lower(&buf, word)
	return w != nil && strings.Contains(fillWords, " "+string(w)+" ")
}

// DiscoverName names the workload of a request that carries no feature header,
// by its system prompt's fingerprint: "~support-acme-billing-3f2a91". It is the
// same for every call with the same template, in every process. A request
// without a system prompt is "~no-system-prompt".
func DiscoverName(dialect string, body []byte) string {
	var w walker
	w.walk(dialect, body)
	if w.system.n == 0 {
		return "~no-system-prompt"
	}
	var buf [maxLook + 64]byte
	var places [printWords]span
	text := w.system.look(w.b, &buf)
	print, kept := fingerprint(text, &places)
	name := make([]byte, 1, maxName)
	name[0] = '~'
	told := 0
	for _, at := range places[:kept] {
		word := text[at.from:at.to]
		if told == 3 || len(word) < 3 || len(name)+1+len(word)+7 > maxName || isFill(word) || !ascii(word) {
			continue
		}
		if told > 0 {
			name = append(name, '-')
		}
		for _, c := range word {
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			if c != '\'' {
				name = append(name, c)
			}
		}
		told++
	}
	if told == 0 {
		name = append(name, "prompt"...)
	}
	hex := strconv.FormatUint(print>>40|1<<24, 16)
	return string(name) + "-" + hex[1:]
}

func ascii(word []byte) bool {
	for _, c := range word {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
