package dialect

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
)

// message is one frame with the headers as they stand on the wire.
func message(headers, payload string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(preludeBytes+len(headers)+len(payload)+trailerBytes))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(append(b, headers...), payload...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

const chunkEvent = "\x0b:event-type\x07\x00\x05chunk"

// framed are the messages found in a stream, written in pieces of a size.
func framed(stream []byte, limit, size int) (got []string, lost bool) {
	f := Frames{Max: limit, Emit: func(event, payload []byte) { got = append(got, fmt.Sprintf("%s|%s", event, payload)) }}
	for len(stream) > 0 {
		n := min(max(size, 1), len(stream))
		_, _ = f.Write(stream[:n])
		stream = stream[n:]
	}
	return got, f.Lost()
}

func TestMessagesOfAnEventStreamAreFound(t *testing.T) {
	one := string(message(chunkEvent, "{}"))
	spoilt := []byte(one)
	spoilt[len(spoilt)-6] ^= 1
	short := []byte(one)
	short[9] ^= 1
	typed := "\x01a\x00" + "\x01b\x01" + "\x01c\x02x" + "\x01d\x03xx" + "\x01e\x04xxxx" + "\x01f\x05xxxxxxxx" + "\x01g\x06\x00\x02xx" + "\x01h\x08xxxxxxxx" + "\x01i\x09xxxxxxxxxxxxxxxx"
	for _, tt := range []struct {
		name, stream string
		want         []string
		lost         bool
	}{
		{"one", one, []string{"chunk|{}"}, false},
		{"two", one + one, []string{"chunk|{}", "chunk|{}"}, false},
		{"without headers", string(message("", "x")), []string{"|x"}, false},
		{"headers of every type before the one", string(message(typed+chunkEvent, "x")), []string{"chunk|x"}, false},
		{"a header of no known type", string(message("\x01a\x0a"+chunkEvent, "x")) + one, []string{"chunk|{}"}, false},
		{"a header that ends too early", string(message("\x01a\x07\x00\x09x", "x")) + one, []string{"chunk|{}"}, false},
		{"an exception", string(message("\x0f:exception-type\x07\x00\x01E", "x")), []string{"E|x"}, false},
		{"a spoilt payload is left out", string(spoilt) + one, []string{"chunk|{}"}, false},
		{"a spoilt length ends the reading", string(short) + one, nil, true},
		{"a message beyond the bound ends it, too", string(message(chunkEvent, strings.Repeat("x", 2048))) + one, nil, true},
		{"one that broke off is not there yet", one + one[:len(one)-1], []string{"chunk|{}"}, false},
		{"nothing", "", nil, false},
	} {
		for _, size := range []int{1, 7, 1 << 20} {
			if got, lost := framed([]byte(tt.stream), 1024, size); strings.Join(got, "~") != strings.Join(tt.want, "~") || lost != tt.lost {
				t.Errorf("%s, in pieces of %d: %q lost %v, want %q lost %v", tt.name, size, got, lost, tt.want, tt.lost)
			}
		}
	}
}

// FuzzFrames: messages do not depend on how the bytes were cut into pieces, and
// whatever headers and payload a provider frames leave a sane answer.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(chunkEvent), []byte(`{"bytes":"eyJ0eXBlIjoibWVzc2FnZV9zdG9wIn0="}`), []byte("\x00\x00"), uint8(3))
	f.Add([]byte("\x0b:event-type\x07\x00\x08metadata"), []byte(`{"usage":{"inputTokens":1,"outputTokens":2,"cacheReadInputTokens":3}}`), message(chunkEvent, "{}"), uint8(1))
	f.Fuzz(func(t *testing.T, headers, payload, rest []byte, size uint8) {
		stream := append(message(string(headers), string(payload)), rest...)
		whole, lost := framed(stream, 1<<16, len(stream))
		parts, lostToo := framed(stream, 1<<16, int(size))
		if strings.Join(whole, "~") != strings.Join(parts, "~") || lost != lostToo {
			t.Fatalf("whole %q %v, in pieces %q %v", whole, lost, parts, lostToo)
		}
		for _, d := range rows {
			r := d.NewReader("application/vnd.amazon.eventstream", 1<<16)
			_, _ = r.Write(stream)
			if u := r.Close().Usage; uint64(u.CacheReadTokens)+uint64(u.CacheWriteTokens) > uint64(u.InputTokens) || u.ReasoningTokens > u.OutputTokens {
				t.Fatalf("%s: parts exceed their whole: %+v", d.Name, u)
			}
		}
	})
}

// FuzzSkim holds the skimmer's idea of a JSON value against encoding/json's.
func FuzzSkim(f *testing.F) {
	for _, s := range []string{`{"a":[1,-0.5e+3,true,null,"\u00e9\n"]}`, `[[[{}]]]`, ` "x" `, `01`, `{"a":1,}`, `[1 2]`, "\"\x01\"", `-`, `1.`, `{"a" :1}`, `tru`, `"\ud800"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		end := valueEnd(b, 0)
		ours := end >= 0 && blank(b, end) == len(b)
		if deep := strings.Count(string(b), "[") + strings.Count(string(b), "{"); deep < maxDepth && ours != json.Valid(b) {
			t.Fatalf("%q: ours %v, encoding/json %v", b, ours, !ours)
		}
		for m := object(b); m.next(); {
			_, _, _ = text(m.value()), textBytes(m.value()), get(m.value(), "a")
		}
		for e := array(b); e.next(); {
			_, _ = count(e.value)
		}
	})
}
