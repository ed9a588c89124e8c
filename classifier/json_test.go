package classifier

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// TestATextEndsWhereItsQuoteStands puts every byte, alone and behind a backslash,
// at every place of the blocks that text looks at together, among ASCII and among
// other letters, and holds what is read against the standard library.
func TestATextEndsWhereItsQuoteStands(t *testing.T) {
	for _, around := range []string{"a", "é", `\n`} {
		filler := bytes.Repeat([]byte(around), 80)
		for c := range 256 {
			for _, odd := range [][]byte{{byte(c)}, {'\\', byte(c)}} {
				for at := 0; at < 70; at += len(around) {
					raw := append([]byte{'"'}, filler[:at]...)
					raw = append(append(append(raw, odd...), filler[:72]...), '"', ' ')
					if !utf8.Valid(raw) {
						continue // its own check, at the body's end
					}
					r := reader{b: raw}
					span := r.text()
					content := raw[span.from:span.to]
					var want string
					rest := json.NewDecoder(bytes.NewReader(raw))
					if err := rest.Decode(&want); (err == nil) == r.bad {
						t.Fatalf("%q: bad %v, the standard library says %v", raw, r.bad, err)
					} else if err != nil {
						continue
					}
					if int(rest.InputOffset()) != r.i || string(Unescape(nil, content)) != want && c != 'b' && c != 'f' { // \b and \f are spaces here
						t.Fatalf("%q: ends at %d with %q, want %d with %q", raw, r.i, content, rest.InputOffset(), want)
					}
					if r.high != (bytes.IndexFunc(content, func(c rune) bool { return c >= utf8.RuneSelf }) >= 0) || span.escaped != bytes.Contains(content, []byte{'\\'}) {
						t.Fatalf("%q: above ASCII %v, escaped %v", raw, r.high, span.escaped)
					}
				}
			}
		}
	}
}

// TestALoneByteAboveASCIIIsSeen: UTF-8 is checked only where one was.
func TestALoneByteAboveASCIIIsSeen(t *testing.T) {
	for at := range 70 {
		for after := range 40 {
			raw := append([]byte{'"'}, bytes.Repeat([]byte("a"), at)...)
			raw = append(append(append(raw, 0xFF), bytes.Repeat([]byte("a"), after)...), '"')
			r := reader{b: raw}
			if r.text(); !r.high || r.end() {
				t.Fatalf("%q is taken for text", raw)
			}
		}
	}
}
