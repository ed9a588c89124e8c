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
// label such as "Name:". Each word that counts is handed to keep, if given.
func fingerprint(text []byte, keep func(word []byte)) uint64 {
	h := uint64(14695981039346656037)
	kept, starts, label := 0, true, false
	for i := 0; i < len(text) && kept < printWords; {
		if byteClass[text[i]] == isSpace {
			if text[i] == '\n' {
				starts, label = true, false
			}
			i++
			continue
		}
		from := i
		for i < len(text) && byteClass[text[i]] != isSpace {
			i++
		}
		chunk := text[from:i]
		last := chunk[len(chunk)-1]
		word := trim(chunk)
		wasStart, wasLabel := starts, label
		starts = last == '.' || last == '!' || last == '?' || len(word) == 0 && starts
		if label && (last == '.' || last == ';') {
			label = false
		}
		if len(word) == 0 || wasLabel || !plain(word) || word[0] >= 'A' && word[0] <= 'Z' && !wasStart || isCalendar(word) {
			continue
		}
		label = last == ':' && isLabel(word)
		for _, c := range word {
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			h = (h ^ uint64(c)) * 1099511628211
		}
		h = (h ^ ' ') * 1099511628211
		kept++
		if keep != nil {
			keep(word)
		}
	}
	if kept == 0 {
		// Nothing but what changes: the prompt is its own template.
		for _, c := range text {
			h = (h ^ uint64(c)) * 1099511628211
		}
	}
	return h | 1 // 0 means that there is no system prompt
}

// trim cuts marks from both ends of a chunk.
func trim(chunk []byte) []byte {
	for len(chunk) > 0 && byteClass[chunk[0]] == isMark {
		chunk = chunk[1:]
	}
	for len(chunk) > 0 && byteClass[chunk[len(chunk)-1]] == isMark {
		chunk = chunk[:len(chunk)-1]
	}
	return chunk
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

func isCalendar(word []byte) bool {
	if len(word) < 3 || len(word) > 9 {
		return false
	}
	return inList(calendarWords, word)
}

func isLabel(word []byte) bool { return inList(labelWords, word) }

const (
	calendarWords = " monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october november december mon tue wed thu fri sat sun jan feb mar apr jun jul aug sep oct nov dec today's "
	labelWords    = " name user username customer client id email date time session location city company account "
)

// inList looks a word up in a short list, without regard to case.
func inList(list string, word []byte) bool {
	var buf [16]byte
	if len(word)+2 > len(buf) {
		return false
	}
	buf[0] = ' '
	for i, c := range word {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[i+1] = c
	}
	buf[len(word)+1] = ' '
	return strings.Contains(list, string(buf[:len(word)+2]))
}

// fillWords say nothing of what a prompt is for.
const fillWords = " you are a an the and or of to in on for with your our that this is be as by it its from at will must should always never please not only when if do does who what which user users given using use task following helpful assistant expert professional specialised specialized they them their can may have has all any each about into than then also very most more i we he she his her up out so no yes was were been being but my me "

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
	name := make([]byte, 1, maxName)
	name[0] = '~'
	told := 0
	print := fingerprint(w.system.look(w.b, &buf), func(word []byte) {
		if told == 3 || len(word) < 3 || len(name)+1+len(word)+7 > maxName || inList(fillWords, word) || !ascii(word) {
			return
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
	})
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
