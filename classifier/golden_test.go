package classifier

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

// goldenAssessments is the hash of what was said of the bodies below. Where it
// changes, recorded decisions no longer follow from their requests: Version has
// to change with it.
const goldenAssessments = 0x476fa60668ea2ec2

// TestAssessmentsAreTheSameEverywhere makes some thousand bodies by arithmetic
// and hashes every feature and assessment.
func TestAssessmentsAreTheSameEverywhere(t *testing.T) {
	vocabulary := strings.Fields("the of invoice 17 3.14 why how Berlin ACME größe 日本語 ключ translate summarise x=y+2; {json:true} A. B. (c) 2026-11-21 don't probability ??? https://example.com/a?b=c extract classify")
	state := uint64(2026)
	next := func(n int) int { // SplitMix64
		state += 0x9e3779b97f4a7c15
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return int((z ^ z>>31) % uint64(n))
	}
	text := func() string {
		var b strings.Builder
		for range next(200) {
			b.WriteString(vocabulary[next(len(vocabulary))])
			b.WriteString([]string{" ", "\n", "  ", "\t"}[next(4)])
		}
		return b.String()
	}
	sum := xxhash.New()
	for i := range 3000 {
		body := fmt.Appendf(nil, `{"model":"m","max_tokens":%d,"messages":[{"role":"system","content":%q},{"role":"user","content":%q}]}`, i, text(), text())
		body = []byte(strings.NewReplacer(`\a`, " ", `\v`, " ").Replace(string(body)))
		f, a := Assess(chat, body)
		in := Inputs{Features: f, Assessment: a}
		sum.Write(in.AppendBinary(nil))
		sum.Write([]byte(DiscoverName(chat, body)))
	}
	if got := sum.Sum64(); got != goldenAssessments {
		t.Errorf("got %#x, want %#x", got, uint64(goldenAssessments))
	}
}
