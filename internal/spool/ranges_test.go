package spool

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Every operation on ranges is held against a plain set.
func TestRangesAreSetsOfNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (r ranges, set map[uint64]bool) {
			set = map[uint64]bool{}
			for range rapid.IntRange(0, 12).Draw(t, name) {
				lo := rapid.Uint64Range(1, 40).Draw(t, "lo")
				hi := lo + rapid.Uint64Range(0, 6).Draw(t, "width")
				r.add(lo, hi)
				for x := lo; x <= hi; x++ {
					set[x] = true
				}
			}
			return r, set
		}
		a, setA := draw("a")
		b, setB := draw("b")
		for i, x := range a {
			if x[1] < x[0] || i > 0 && x[0] <= a[i-1][1]+1 {
				t.Fatalf("not sorted and apart: %v", a)
			}
		}
		union, minus := a.union(b), a.minus(b)
		covered := true
		for x := uint64(0); x < 50; x++ {
			if a.contains(x) != setA[x] {
				t.Fatalf("%v contains %d", a, x)
			}
			if union.contains(x) != (setA[x] || setB[x]) {
				t.Fatalf("%v ∪ %v = %v at %d", a, b, union, x)
			}
			if minus.contains(x) != (setA[x] && !setB[x]) {
				t.Fatalf("%v − %v = %v at %d", a, b, minus, x)
			}
			covered = covered && (setA[x] || !setB[x])
		}
		if a.covers(b) != covered || a.count() != uint64(len(setA)) {
			t.Fatalf("%v covers %v: %v; count %d", a, b, a.covers(b), a.count())
		}
		back, err := decodeRanges(a.encode(nil))
		if err != nil || !slices.Equal(back, a) {
			t.Fatalf("%v came back as %v, %v", a, back, err)
		}
	})
}
