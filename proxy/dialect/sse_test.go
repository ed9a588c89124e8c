package dialect

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// events scans a stream in pieces of the given sizes (repeating) and lists what
// was emitted.
func events(stream []byte, max int, sizes ...int) (out []string, skipped int) {
	s := Scanner{Max: max, Emit: func(event, data []byte) { out = append(out, fmt.Sprintf("%s|%s", event, data)) }}
	for i := 0; len(stream) > 0; i++ {
		n := min(max1(sizes[i%len(sizes)]), len(stream))
		_, _ = s.Write(stream[:n])
		stream = stream[n:]
	}
	s.Close()
	return out, s.Skipped()
}

func max1(n int) int { return max(1, n) }

func TestEventsAreFoundWhateverTheLineEnds(t *testing.T) {
	for _, tt := range []struct {
		name, stream string
		want         []string
	}{
		{"one event", "data: a\n\n", []string{"|a"}},
		{"named", "event: message_start\ndata: {}\n\n", []string{"message_start|{}"}},
		{"CRLF", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"|a", "|b"}},
		{"CR alone", "data: a\r\rdata: b\r\r", []string{"|a", "|b"}},
		{"mixed ends", "data: a\r\n\ndata: b\n\r\ndata: c\r\r\n", []string{"|a", "|b", "|c"}},
		{"no space behind the colon", "data:a\n\n", []string{"|a"}},
		{"only one space is taken", "data:  a\n\n", []string{"| a"}},
		{"several data lines", "data: a\ndata: b\n\n", []string{"|a\nb"}},
		{"comments", ": OPENROUTER PROCESSING\n\ndata: a\n: x\n\n", []string{"|a"}},
		{"an event without data says nothing", "event: ping\n\ndata: a\n\n", []string{"|a"}},
		{"a name does not outlive its event", "event: x\ndata: a\n\ndata: b\n\n", []string{"x|a", "|b"}},
		{"no last blank line", "data: a\n\ndata: b\n", []string{"|a", "|b"}},
		{"no last newline", "data: a\n\ndata: b", []string{"|a", "|b"}},
		{"a byte order mark", "\xef\xbb\xbfdata: a\n\n", []string{"|a"}},
		{"a field without colon", "data\n\n", []string{"|"}},
		{"id and retry are not ours", "id: 1\nretry: 5\ndata: a\n\n", []string{"|a"}},
		{"nothing", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for size := 1; size <= len(tt.stream)+1; size++ {
				if got, _ := events([]byte(tt.stream), 0, size); strings.Join(got, "~") != strings.Join(tt.want, "~") {
					t.Fatalf("in pieces of %d: %q, want %q", size, got, tt.want)
				}
			}
		})
	}
}

func TestALineBeyondTheBoundIsSkippedAndTheNextEventIsRead(t *testing.T) {
	long := "data: " + strings.Repeat("x", 1000) + "\n\ndata: a\n\n"
	for _, size := range []int{1, 7, 99, 5000} {
		got, skipped := events([]byte(long), 100, size)
		if len(got) != 1 || got[0] != "|a" || skipped != 1 {
			t.Errorf("in pieces of %d: %q, %d skipped", size, got, skipped)
		}
	}
	many := strings.Repeat("data: 0123456789\n", 100) + "\ndata: a\n\n"
	if got, skipped := events([]byte(many), 100, 64); len(got) != 1 || skipped != 1 {
		t.Errorf("an event of many lines: %q, %d skipped", got, skipped)
	}
}

func TestScannerKeepsNoMoreThanItsBound(t *testing.T) {
	s := Scanner{Max: 4096, Emit: func(_, _ []byte) {}}
	piece := bytes.Repeat([]byte("y"), 1<<16)
	for range 512 { // one line of 32 MiB
		_, _ = s.Write(piece)
	}
	if c := cap(s.line) + cap(s.data); c > 4*4096 {
		t.Errorf("%d bytes kept of a line of 32 MiB", c)
	}
}

// FuzzScanner: events do not depend on how the bytes were cut into pieces.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{"data: a\n\n", "event: x\r\ndata: {}\r\n\r\n", "data: a\rdata: b\r\r", ": c\n\n\ndata:\n\n", "data: \xc3", "\xef\xbb\xbfdata: a\n\n", "\r\n\r\r\n"} {
		f.Add([]byte(s), uint8(1), uint8(3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, a, b uint8) {
		whole, n := events(stream, 64, len(stream)+1)
		parts, m := events(stream, 64, int(a), int(b))
		if strings.Join(whole, "~") != strings.Join(parts, "~") || n != m {
			t.Fatalf("whole %q (%d), in pieces of %d and %d %q (%d)", whole, n, a, b, parts, m)
		}
	})
}
