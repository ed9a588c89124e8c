package spool

import (
	"encoding/binary"
	"errors"
	"slices"
)

// ranges is a set of sequence numbers: sorted, disjoint, inclusive, and never
// touching each other. Sequences come nearly in order, so it stays short.
type ranges [][2]uint64

// add includes lo to hi.
func (r *ranges) add(lo, hi uint64) {
	s := *r
	if hi < lo {
		return
	}
	if n := len(s); n > 0 && lo >= s[n-1][0] { // the usual case: at the end
		if last := &s[n-1]; lo <= last[1] || lo == last[1]+1 {
			last[1] = max(last[1], hi)
			return
		}
		*r = append(s, [2]uint64{lo, hi})
		return
	}
	// i: the first range that ends at or after lo−1; j: the first that begins after hi+1.
	i, _ := slices.BinarySearchFunc(s, lo, func(x [2]uint64, lo uint64) int {
		if x[1] < lo && x[1]+1 < lo {
			return -1
		}
		return 1
	})
	j := i
	for j < len(s) && (s[j][0] <= hi || s[j][0] == hi+1) {
		lo, hi = min(lo, s[j][0]), max(hi, s[j][1])
		j++
	}
	*r = slices.Replace(s, i, j, [2]uint64{lo, hi})
}

func (r *ranges) addAll(o ranges) {
	for _, x := range o {
		r.add(x[0], x[1])
	}
}

// union returns both, in time of their lengths.
func (r ranges) union(o ranges) ranges {
	out := make(ranges, 0, len(r)+len(o))
	for len(r) > 0 || len(o) > 0 {
		if len(o) == 0 || len(r) > 0 && r[0][0] <= o[0][0] {
			out.add(r[0][0], r[0][1])
			r = r[1:]
		} else {
			out.add(o[0][0], o[0][1])
			o = o[1:]
		}
	}
	return out
}

func (r ranges) contains(x uint64) bool {
	_, found := r.find(x)
	return found
}

// find returns the index of the range that holds x, or of the first after it.
func (r ranges) find(x uint64) (int, bool) {
	return slices.BinarySearchFunc(r, x, func(e [2]uint64, x uint64) int {
		switch {
		case e[1] < x:
			return -1
		case e[0] > x:
			return 1
		}
		return 0
	})
}

// covers says whether all of o is in r.
func (r ranges) covers(o ranges) bool {
	for _, x := range o {
		if i, found := r.find(x[0]); !found || r[i][1] < x[1] {
			return false
		}
	}
	return true
}

// minus returns what is in r and not in o.
func (r ranges) minus(o ranges) ranges {
	var out ranges
	for _, x := range r {
		lo := x[0]
		i, _ := o.find(lo)
		for ; i < len(o) && o[i][0] <= x[1] && lo <= x[1]; i++ {
			if o[i][0] > lo {
				out = append(out, [2]uint64{lo, o[i][0] - 1})
			}
			lo = o[i][1] + 1
		}
		if lo <= x[1] && lo != 0 {
			out = append(out, [2]uint64{lo, x[1]})
		}
	}
	return out
}

// count is how many sequences r holds.
func (r ranges) count() (n uint64) {
	for _, x := range r {
		n += x[1] - x[0] + 1
	}
	return n
}

// encode appends r as pairs of varints: distance from the last end, width.
func (r ranges) encode(b []byte) []byte {
	var end uint64
	for _, x := range r {
		b = binary.AppendUvarint(b, x[0]-end)
		b = binary.AppendUvarint(b, x[1]-x[0])
		end = x[1]
	}
	return b
}

var errRanges = errors.New("ranges are cut short")

func decodeRanges(b []byte) (r ranges, err error) {
	var end uint64
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errRanges
		}
		width, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return nil, errRanges
		}
		b = b[n+m:]
		r.add(end+gap, end+gap+width)
		end += gap + width
	}
	return r, nil
}
