package dialect

import "bytes"

// UsageCut takes out of a chat completions stream what asking for usage put in:
// the extra chunk with no choices, and the "usage":null members of the others.
// What is left is byte for byte what the stream would have been without asking.
//
// It holds back at most one event, since a client can use none before its end.
// An event longer than Max passes as it came.
type UsageCut struct {
	Max int // bytes; 0 is DefaultEventBytes

	held    []byte
	pos     int  // scanned so far
	lineAt  int  // where the current line starts; −1: in bytes that have passed
	afterCR bool // the last byte was a CR that ended a line
	dropLF  bool // an LF that completes it belongs to an event that was cut
	raw     bool // the current event is too long: it passes as it comes
}

func (c *UsageCut) max() int {
	if c.Max > 0 {
		return c.Max
	}
	return DefaultEventBytes
}

// Append appends to dst what may pass of the stream now that p has come.
func (c *UsageCut) Append(dst, p []byte) []byte {
	if c.afterCR && len(p) > 0 {
		if c.afterCR = false; p[0] == '\n' {
			if c.lineAt == 0 && len(c.held) == 0 && !c.dropLF {
				dst = append(dst, '\n')
			} else if len(c.held) > 0 {
				c.held = append(c.held, '\n')
				c.pos, c.lineAt = len(c.held), len(c.held)
			}
			p = p[1:]
		}
		c.dropLF = false
	}
	c.held = append(c.held, p...)
	from := 0
	for {
		i := lineBreak(c.held[c.pos:])
		if i < 0 {
			c.pos = len(c.held)
			break
		}
		end := c.pos + i
		blankLine := end == c.lineAt
		c.pos = end + 1
		if c.held[end] == '\r' {
			if c.afterCR = c.pos == len(c.held); !c.afterCR && c.held[c.pos] == '\n' {
				c.pos++
			}
		}
		c.lineAt = c.pos
		if blankLine {
			before := len(dst)
			dst = c.event(dst, c.held[from:c.pos])
			c.dropLF = len(dst) == before
			from, c.raw = c.pos, false
		}
	}
	return c.shift(dst, from)
}

// shift drops the bytes that have been dealt with, and lets pass an event that
// is too long to be held.
func (c *UsageCut) shift(dst []byte, from int) []byte {
	rest := c.held[from:]
	if c.raw || len(rest) > c.max() {
		return c.pass(dst, rest)
	}
	n := copy(c.held, rest)
	c.held = c.held[:n]
	c.pos -= from
	if c.lineAt >= 0 {
		c.lineAt -= from
	}
	return dst
}

// pass lets the event go on as it comes.
func (c *UsageCut) pass(dst, rest []byte) []byte {
	dst = append(dst, rest...)
	c.raw = len(rest) > 0 || c.raw
	atStart := c.lineAt == len(c.held)
	c.held, c.pos, c.lineAt, c.dropLF = c.held[:0], 0, -1, false
	if atStart {
		c.lineAt = 0
	}
	return dst
}

// Held is how much memory is taken by the event that is held.
func (c *UsageCut) Held() int { return cap(c.held) }

// Pass gives up holding the event: what there is of it passes, and the rest as it
// comes. Its memory is given back.
func (c *UsageCut) Pass(dst []byte) []byte {
	if len(c.held) > 0 {
		dst = c.pass(dst, c.held)
	}
	c.held = nil
	return dst
}

// Close ends the stream. Behind a clean end what is held is let go like an
// event; of a stream that broke off it is dropped, so that the client has a true
// prefix of what it would have had.
func (c *UsageCut) Close(dst []byte, clean bool) []byte {
	if clean && len(c.held) > 0 {
		dst = c.event(dst, c.held)
	}
	*c = UsageCut{Max: c.Max}
	return dst
}

var usageKey = []byte(`"usage"`)

func (c *UsageCut) event(dst, ev []byte) []byte {
	if c.raw || !bytes.Contains(ev, usageKey) {
		return append(dst, ev...)
	}
	at, stop, ok := onlyData(ev)
	if !ok {
		return append(dst, ev...)
	}
	var cuts [4][2]int
	n, prev, firstCut := 0, 0, false
	emptyChoices, usage := false, false
	m := object(ev[at:stop])
	for m.next() {
		if firstCut { // the first member goes with what parts it from the next
			cuts[0][1], firstCut = m.keyAt-1, false
		}
		switch string(m.key()) {
		case "choices":
			e := array(m.value())
			emptyChoices = m.value()[0] == '[' && !e.next()
		case "usage":
			if v := m.value(); isObject(v) {
				usage = true
			} else if isNull(v) && n < len(cuts) {
				if prev == 0 {
					cuts[n], firstCut = [2]int{m.keyAt - 1, m.valStop}, true
				} else {
					cuts[n] = [2]int{prev, m.valStop}
				}
				n++
			}
		}
		prev = m.valStop
	}
	if m.bad {
		return append(dst, ev...)
	}
	if usage && emptyChoices {
		return dst
	}
	from := 0
	for _, cut := range cuts[:n] {
		dst = append(dst, ev[from:at+cut[0]]...)
		from = at + cut[1]
	}
	return append(dst, ev[from:]...)
}

// onlyData finds the value of the one data line of an event that consists of
// nothing else. Any other shape is not the one that asking for usage causes.
func onlyData(ev []byte) (at, stop int, ok bool) {
	if !bytes.HasPrefix(ev, []byte("data:")) {
		return 0, 0, false
	}
	stop = lineBreak(ev)
	if stop < 0 {
		return 5, len(ev), true
	}
	for _, ch := range ev[stop:] {
		if ch != '\n' && ch != '\r' {
			return 0, 0, false
		}
	}
	return 5, stop, true
}
