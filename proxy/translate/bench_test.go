package translate

import (
	"fmt"
	"strings"
	"testing"
)

// The check is made for every request that has a candidate in another dialect.
func BenchmarkCheck(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 256 << 10} {
		turn := `{"role":"user","content":"` + strings.Repeat("words of a customer, ", 20) + `"},{"role":"assistant","content":"` + strings.Repeat("words of an answer, ", 20) + `"},`
		body := `{"model":"gpt-4o","tools":[` + function + `],"messages":[{"role":"system","content":"You are terse."},` + strings.Repeat(turn, max(1, size/len(turn))) + `{"role":"user","content":"hi"}]}`
		b.Run(fmt.Sprintf("%d KB", len(body)>>10), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if gate, err := Check(asked(openai, body), anthropic); gate == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStream(b *testing.B) {
	raw := []byte(sources[anthropic])
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		s, err := (&Back{From: anthropic, To: openai}).Stream(1 << 16)
		if err != nil {
			b.Fatal(err)
		}
		if _, err = s.Append(nil, raw); err != nil {
			b.Fatal(err)
		}
	}
}
