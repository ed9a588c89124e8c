package classifier

import "bytes"

// section is a part of a system prompt that holds data: documents, records,
// examples, a conversation. Nothing of it is part of the template.
type section struct {
	open  uint8
	fence byte   // the character of the fence
	tag   uint64 // hash of the tag's name
	kind  uint8  // of its first line, where nothing says how it ends
	blank bool   // the line before was empty
	spoke [2]int // the last short line that counted: whether it speaks of data is asked when it matters
}

// How a section was opened.
const (
	openNone   = iota
	openHeader // by a line such as "Context:": it ends with a heading, or where lines are of another kind
	openFence  // by three of the same mark: it ends with three of them
	openTag    // by <tag>: it ends with </tag>
)

// The kinds of lines in a section that a header opened.
const (
	kindUnknown = iota
	kindProse
	kindItem
	kindRow // records, code, log lines
	kindLabelled
)

// counts says whether a line is part of the template, and keeps account of the
// sections.
func (p *printer) counts(from, to int) bool {
	blank := p.blank
	p.blank = from == to
	if from == to {
		return false
	}
	if p.open == openNone {
		return p.outside(from, to)
	}
	return p.ends(from, to, blank)
}

// outside looks at a line that stands in no section.
func (p *printer) outside(from, to int) bool {
	line := p.text[from:to]
	if mark := fenceOf(line); mark != 0 {
		if mark == '`' || mark == '"' || p.ofData(p.spoke) {
			p.open, p.fence = openFence, mark
		}
		p.spoke = [2]int{}
		return false
	}
	if name, rest := tagOf(line); name != nil {
		if !isInstruction(name) && !closes(rest, nameHash(name)) {
			p.open, p.tag = openTag, nameHash(name)
		}
		p.spoke = [2]int{}
		return false
	}
	p.spoke = [2]int{}
	if len(line) <= maxHeader {
		p.spoke = [2]int{from, to}
	}
	heading := line[0] == '#' && p.ofData(p.spoke)
	if heading || line[len(line)-1] == ':' || bytes.HasSuffix(line, fullColon) {
		p.open, p.kind = openHeader, kindUnknown
		return true
	}
	return !isItem(line) || isRule(line)
}

// maxHeader is how long a line may be that says what follows.
const maxHeader = 160

var fullColon = []byte("：")

// ends says whether a line ends the section that it stands in, and counts.
func (p *printer) ends(from, to int, blank bool) bool {
	line := p.text[from:to]
	switch p.open {
	case openFence:
		if fenceOf(line) == p.fence {
			p.open = openNone
		}
		return false
	case openTag:
		if closes(line, p.tag) {
			p.open = openNone
		}
		return false
	}
	kind := p.kindOf(from, to)
	switch {
	case p.kind == kindUnknown:
		p.kind = kind
		// Prose or items after a header are data only where it says so; what
		// looks like data is.
		if (kind == kindProse || kind == kindItem) && !p.ofData(p.spoke) || line[0] == '#' || fenceOf(line) != 0 || line[0] == '<' {
			p.open = openNone
			return p.outside(from, to)
		}
		return false
	case line[0] == '#', kind == kindLabelled && p.kind != kindLabelled && line[len(line)-1] == ':' && blank,
		p.kind == kindProse && blank && isResumption(firstWord(line)),
		p.kind != kindProse && kind == kindProse:
		p.open = openNone
		return p.outside(from, to)
	case p.kind == kindProse && fenceOf(line) != 0:
		p.open, p.spoke = openNone, [2]int{}
	}
	return false
}

func (p *printer) kindOf(from, to int) uint8 {
	line := p.text[from:to]
	switch {
	case isItem(line):
		return kindItem
	case isRow(line):
		return kindRow
	case p.label(from, to) > 0:
		return kindLabelled
	}
	return kindProse
}

// isRow says whether a line looks like a record, code or a log's line.
func isRow(line []byte) bool {
	switch first := line[0]; {
	case byteClass[first] == isDigit, first == '{', first == '[', first == ']', first == '}', first == '|', first == '(':
		return true
	}
	switch line[len(line)-1] {
	case '{', '}', ')', ']', '|':
		return true
	case ';':
		return bytes.IndexByte(line, '(') >= 0
	}
	return bytes.Contains(line, assigns)
}

var assigns = []byte("= ")

// isItem says whether a line is one of a list.
func isItem(line []byte) bool {
	return len(line) > 1 && (line[0] == '-' || line[0] == '*') && line[1] == ' ' || bytes.HasPrefix(line, bullet)
}

var bullet = []byte("•")

// isRule says whether an item of a list is an instruction, not a row: a
// sentence, without a number.
func isRule(line []byte) bool {
	spaces := 0
	for _, c := range line {
		if byteClass[c] == isDigit {
			return false
		}
		if c == ' ' {
			spaces++
		}
	}
	return spaces > 4 || spaces > 1 && line[len(line)-1] == '.'
}

// fenceOf returns the mark of a line of three or more of it; 0 when it is no
// fence. A fence of code may name its language.
func fenceOf(line []byte) byte {
	if len(line) < 3 {
		return 0
	}
	c := line[0]
	if line[1] != c || line[2] != c {
		return 0
	}
	switch c {
	case '`', '"':
		return c
	case '-', '=', '*', '~', '_':
		for _, x := range line {
			if x != c {
				return 0
			}
		}
		return c
	}
	return 0
}

// tagOf returns the name of the tag that a line begins with, and what follows.
func tagOf(line []byte) (name, rest []byte) {
	if line[0] != '<' {
		return nil, nil
	}
	end := bytes.IndexByte(line[:min(len(line), 80)], '>')
	if end < 2 || byteClass[line[1]] != isLetter {
		return nil, nil
	}
	name = line[1:end]
	if space := bytes.IndexByte(name, ' '); space > 0 {
		name = name[:space]
	}
	return name, line[end+1:]
}

// closes says whether a line holds the end of a tag.
func closes(line []byte, tag uint64) bool {
	for at := bytes.IndexByte(line, '<'); at >= 0; {
		line = line[at+1:]
		if len(line) > 0 && line[0] == '/' {
			if end := bytes.IndexByte(line, '>'); end > 0 && nameHash(line[1:end]) == tag {
				return true
			}
		}
		at = bytes.IndexByte(line, '<')
	}
	return false
}

// maxLabel is how long a label may be, with its colon.
const maxLabel = 40

// label returns the place after the colon when a label stands at i: up to three
// words and a colon. The colon may be the line's last character. 0: none.
func (p *printer) label(i, to int) int {
	words, inWord := 0, false
	for at := i; at < min(to, i+maxLabel); at++ {
		c := p.text[at]
		switch class := byteClass[c]; {
		case c == ':' || c == 0xEF && bytes.HasPrefix(p.text[at:to], fullColon):
			size := 1
			if c != ':' {
				size = len(fullColon)
			}
			if words == 0 || size == 1 && at+1 < to && byteClass[p.text[at+1]] != isSpace && byteClass[p.text[at+1]] != isHigh || isInstruction(p.lastWord(i, at)) {
				return 0
			}
			return at + size
		case class == isSpace:
			inWord = false
		case class == isLetter || class == isHigh || class == isDigit || c == '-' || c == '_' || c == '\'' || c == '#' || c == '(' || c == ')':
			if !inWord {
				if words++; words > 3 {
					return 0
				}
				inWord = true
			}
		default:
			return 0
		}
	}
	return 0
}

func (p *printer) lastWord(from, to int) []byte {
	at := bytes.LastIndexByte(p.text[from:to], ' ')
	return p.text[from+at+1 : to]
}

// labelled reads the words of a label: they are the same in every request.
func (p *printer) labelled(from, to int) {
	for i := from; i < to; {
		if byteClass[p.text[i]] == isSpace {
			i++
			continue
		}
		at := i
		i = chunkEnd(p.text[:to], i)
		if marks, word := trim(p.text[at:i]); len(word) > 0 && plain(word) {
			p.word(word, at+marks)
		}
	}
	p.line.dropped, p.line.named, p.line.before = true, false, span{}
}

func firstWord(line []byte) []byte {
	end := 0
	for end < len(line) && byteClass[line[end]] == isLetter {
		end++
	}
	return line[:end]
}

// ofData says whether a line names something that changes from call to call.
func (p *printer) ofData(at [2]int) bool {
	to := at[1]
	for i := at[0]; i < to; {
		if byteClass[p.text[i]] == isSpace {
			i++
			continue
		}
		at := i
		i = chunkEnd(p.text[:to], i)
		if _, word := trim(p.text[at:i]); len(word) > 0 && isData(word) {
			return true
		}
	}
	return false
}
