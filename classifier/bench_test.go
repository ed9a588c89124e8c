package classifier

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// prose is text of so many bytes, without a repeated period.
func prose(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "Customer %d asks why the invoice of last month was charged twice, and how the %s can be explained; please calculate what is due.\n", i*7919%10007, []string{"difference", "balance", "refund", "discount"}[i%4])
	}
	return b.String()[:n]
}

func requestOf(t testing.TB, bytes int) []byte {
	system := "You are a support assistant for an online shop. Answer politely, in at most three sentences, and never promise a refund."
	body := fmt.Sprintf(`{"model":"gpt-4o","temperature":0.2,"max_tokens":500,"messages":[{"role":"system","content":%q},{"role":"user","content":%q},{"role":"assistant","content":"Let me look at that for you."},{"role":"user","content":%q}]}`,
		system, prose(bytes/4), prose(max(bytes/2, 100)))
	return []byte(body)
}

func BenchmarkAssess(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 10, 1 << 20} {
		body := requestOf(b, size)
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				Assess("openai.chat", body)
			}
		})
	}
}

func BenchmarkSkimJSON(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 10, 1 << 20} {
		body := requestOf(b, size)
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				r := reader{b: body}
				r.skip()
			}
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	s := NewSnapshot(testParts())
	in := testInputs()
	b.ReportAllocs()
	for b.Loop() {
		Decide(&in, s)
	}
}

func BenchmarkAssign(b *testing.B) {
	p := &schemas.Policy{Project: "p", Workload: "w", Mode: schemas.ModeLive, Salt: make([]byte, 32), Share: 2500, Control: 500}
	b.ReportAllocs()
	for b.Loop() {
		Assign(p, "0123456789abcdef0123456789abcdef")
	}
}

func BenchmarkInputs(b *testing.B) {
	in := testInputs()
	buf := in.AppendBinary(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = in.AppendBinary(buf[:0])
		if err := in.UnmarshalBinary(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// fixedPrices prices by model: input and output in nano-USD per token.
type fixedPrices map[string][2]int64

func (p fixedPrices) Cost(provider, model, _ string, u schemas.Usage, _ time.Time) (total, output schemas.NanoUSD, err error) {
	rate, ok := p[model]
	if !ok {
		return 0, 0, errUnpriced
	}
	in := int64(u.InputTokens-u.CacheReadTokens)*rate[0] + int64(u.CacheReadTokens)*rate[0]/10
	out := int64(u.OutputTokens) * rate[1]
	return schemas.NanoUSD(in + out), schemas.NanoUSD(out), nil
}

func (p fixedPrices) Hash() uint64 { return uint64(len(p)) }
