package dialect

import "bytes"

// DefaultEventBytes bounds what is kept of one event of a stream. A longer event
// passes on unread.
const DefaultEventBytes = 1 << 20

// Scanner finds the events of a text/event-stream in the bytes written to it, in
// pieces of any size. Lines end in LF, CR or CRLF. It keeps at most the event it
// is in, up to Max bytes of data; the data of a longer event is dropped.
//
// The zero value with Emit set is ready to use.
type Scanner struct {
	// Emit gets each event that has data: the name ("" when unnamed) and the data
	// lines joined by LF. Both are valid only until it returns.
	Emit func(event, data []byte)
	Max  int // bytes of one event's data; 0 is DefaultEventBytes

	line    []byte // the unfinished line
	data    []byte
	name    []byte
	hasData bool
	dropped bool // the event or line is longer than Max
	long    bool // the unfinished line is longer than Max: the rest of it is skipped
	afterCR bool
	begun   bool
	skipped int
}

// Skipped is how many events were too long to be read.
func (s *Scanner) Skipped() int { return s.skipped }

// Held is how much memory is taken by the event that it is in.
func (s *Scanner) Held() int { return cap(s.line) + cap(s.data) + cap(s.name) }

func (s *Scanner) max() int {
	if s.Max > 0 {
		return s.Max
	}
	return DefaultEventBytes
}

// Write takes the next piece of the stream. It never fails.
func (s *Scanner) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if s.afterCR {
			s.afterCR = false
			if p[0] == '\n' { // the second half of CRLF
				p = p[1:]
				continue
			}
		}
		end := lineBreak(p)
		if end < 0 {
			s.keep(p)
			return n, nil
		}
		s.afterCR = p[end] == '\r'
		if len(s.line) == 0 && !s.long && end <= s.max() {
			s.endLine(p[:end]) // the common case: no copy
		} else {
			s.keep(p[:end])
			if s.long {
				s.dropped = true
			} else {
				s.endLine(s.line)
			}
			s.line, s.long = s.line[:0], false
		}
		p = p[end+1:]
	}
	return n, nil
}

// Close ends the stream: an event that no blank line has ended is emitted all
// the same, since it may hold the usage.
func (s *Scanner) Close() {
	if len(s.line) > 0 && !s.long {
		s.endLine(s.line)
	}
	s.line, s.long = nil, false
	s.dispatch()
	s.data = nil
}

// lineBreak is the index of the first LF or CR. CR alone is rare, so both are
// sought with the fast search and the nearer one is taken.
func lineBreak(p []byte) int {
	lf := bytes.IndexByte(p, '\n')
	if lf < 0 {
		return bytes.IndexByte(p, '\r')
	}
	if cr := bytes.IndexByte(p[:lf], '\r'); cr >= 0 {
		return cr
	}
	return lf
}

func (s *Scanner) keep(p []byte) {
	if s.long || len(s.line)+len(p) > s.max() {
		s.line, s.long = s.line[:0], true
		return
	}
	s.line = append(s.line, p...)
}

var bom = []byte("\xef\xbb\xbf")

func (s *Scanner) endLine(line []byte) {
	if !s.begun {
		s.begun = true
		line = bytes.TrimPrefix(line, bom)
	}
	if len(line) == 0 {
		s.dispatch()
		return
	}
	field, value, _ := bytes.Cut(line, []byte{':'})
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(field) {
	case "data":
		if s.dropped || len(s.data)+len(value)+1 > s.max()+1 {
			s.dropped, s.data = true, s.data[:0]
			return
		}
		if s.hasData {
			s.data = append(s.data, '\n')
		}
		s.data = append(s.data, value...)
		s.hasData = true
	case "event":
		s.name = append(s.name[:0], value...)
	}
}

func (s *Scanner) dispatch() {
	if s.dropped {
		s.skipped++
	} else if s.hasData {
		s.Emit(s.name, s.data)
	}
	s.data, s.name, s.hasData, s.dropped = s.data[:0], s.name[:0], false, false
}
