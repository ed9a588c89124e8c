package classifier

import (
	"strconv"
	"strings"
)

// maxName bounds a discovered workload's name.
const maxName = 48

// nothingToName is the workload of requests that have neither a system prompt
// nor tools nor a shape.
const nothingToName = "~no-system-prompt"

// fillWords say nothing of what a prompt is for.
const fillWords = " you are a an the and or of to in on for with your our that this is be as by it its from at will must should always never please not only when if do does who what which user users given using use task following helpful assistant expert professional they them their can may have has all any each about into than then also very most more i we he she his her up out so no yes was were been being but my me answer answers reply respond "

func isFill(word []byte) bool {
	var buf [11]byte
	w := lower(&buf, word)
	return w != nil && strings.Contains(fillWords, " "+string(w)+" ")
}

// DiscoverName names the workload of a request that carries no feature header,
// by its fingerprint: "~support-billing-questions-2f3a91c". It is the same for
// every call with the same template, in every process. Its last word is the
// version of the rules and the fingerprint's first 24 bits; version 1 had no
// digit for it. Without a system prompt, tools and the format asked for make
// the name: "~lookup-part-…", "~json-…", "~image-…", and "~no-system-prompt"
// where there is none of them.
func DiscoverName(dialect string, body []byte) string {
	var w walker
	w.walk(dialect, body)
	var p printer
	var buf [maxLook + 64]byte
	if w.system.n > 0 {
		p.text = w.system.look(w.b, &buf)
		p.gap = w.system.gap
		p.read()
	}
	print := w.print(&p)
	if print == 0 {
		return nothingToName
	}
	n := namer{name: append(make([]byte, 0, maxName), '~')}
	for _, at := range p.places[:p.told] {
		if word := p.text[at.from:at.to]; len(word) >= 3 && !isFill(word) {
			n.add(word)
		}
	}
	if p.kept < fewWords {
		n.add(w.b[w.toolName.from:w.toolName.to])
		n.add(w.schemaName)
		w.shapeWord(&n)
	}
	if n.told == 0 {
		n.name = append(n.name, "prompt"...)
	}
	hex := strconv.FormatUint(print>>40|1<<24, 16)
	return string(n.name) + "-" + strconv.Itoa(printVersion) + hex[1:]
}

// shapeWord names a request that has nothing else to be named by.
func (w *walker) shapeWord(n *namer) {
	switch {
	case n.told > 0:
	case w.f.Images > 0:
		n.add([]byte("image"))
	case w.schemaSum != 0 || w.f.Tools == 0 && w.system.n == 0:
		n.add([]byte("json"))
	}
}

// namer puts up to three words together.
type namer struct {
	name []byte
	told int
}

func (n *namer) add(word []byte) {
	if n.told == 3 || len(word) == 0 || len(n.name)+1+len(word)+8 > maxName {
		return
	}
	for _, c := range word {
		if c >= 0x80 {
			return
		}
	}
	if n.told > 0 {
		n.name = append(n.name, '-')
	}
	for _, c := range word {
		switch {
		case c >= 'A' && c <= 'Z':
			n.name = append(n.name, c|0x20)
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-':
			n.name = append(n.name, c)
		case c == '_' || c == '.' || c == '/':
			n.name = append(n.name, '-')
		}
	}
	n.told++
}
