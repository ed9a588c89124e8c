package report

import (
	"math"
	"strconv"
	"strings"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Money writes an amount as people read it: whole dollars from $100, cents
// below, and below ten cents two significant digits; never nano-dollars.
func Money(n schemas.NanoUSD) string {
	u := n.USD()
	sign, a := "", math.Abs(u)
	if u < 0 {
		sign = "−"
	}
	switch {
	case n == 0:
		return "$0"
	case a < 0.000001:
		return sign + "<$0.000001"
	case a < 0.0995:
		digits := min(6, 1-int(math.Floor(math.Log10(a))))
		return sign + "$" + strconv.FormatFloat(a, 'f', digits, 64)
	case a < 99.995:
		return sign + "$" + strconv.FormatFloat(a, 'f', 2, 64)
	default:
		return sign + "$" + Count(uint64(math.Round(a)))
	}
}

// RoundMoney is Money without cents: for amounts that are only about right.
func RoundMoney(n schemas.NanoUSD) string {
	u := n.USD()
	switch {
	case n == 0:
		return "$0"
	case u > 0 && u < 0.995:
		return "below $1"
	case u < 0:
		return "−" + RoundMoney(-n)
	}
	return "$" + Count(uint64(math.Round(u)))
}

// OptMoney writes an amount, or that it is unpriced: never 0.
func OptMoney(o schemas.OptUSD) string {
	if !o.Known {
		return "unpriced"
	}
	return Money(o.Nano)
}

// MoneyInterval writes "[$3,480 … $4,760]", both ends in the precision of the
// larger; empty when an end is missing.
func MoneyInterval(lo, hi *schemas.NanoUSD) string {
	if lo == nil || hi == nil {
		return ""
	}
	l, h := moneyEnds(*lo, *hi)
	return "[" + withDollar(l) + " … " + withDollar(h) + "]"
}

// Saving writes "$4,120 a month [$3,480 … $4,760]", its three amounts in one
// precision.
func Saving(f *schemas.SavingsFinding) string {
	point, lo, hi := saving(f)
	if lo == "" {
		return point + " a month"
	}
	return point + " a month [" + withDollar(lo) + " … " + withDollar(hi) + "]"
}

// saving writes a projection's point with the dollar sign and its ends without;
// they are empty where there is no interval. Cents are for amounts that are all
// below $100.
func saving(f *schemas.SavingsFinding) (point, lo, hi string) {
	if f.SavingMonthLo == nil || f.SavingMonthHi == nil {
		return Money(f.SavingMonth), "", ""
	}
	lo, hi = moneyEnds(*f.SavingMonthLo, *f.SavingMonthHi)
	if !strings.Contains(lo, ".") {
		return withDollar(fixed(f.SavingMonth.USD(), 0)), lo, hi
	}
	return Money(f.SavingMonth), lo, hi
}

// moneyEnds writes both ends without the dollar sign.
func moneyEnds(lo, hi schemas.NanoUSD) (string, string) {
	digits := 0
	if math.Max(math.Abs(lo.USD()), math.Abs(hi.USD())) < 99.995 {
		digits = 2
	}
	return fixed(lo.USD(), digits), fixed(hi.USD(), digits)
}

func withDollar(s string) string {
	if rest, negative := strings.CutPrefix(s, "−"); negative {
		return "−$" + rest
	}
	return "$" + s
}

func fixed(u float64, digits int) string {
	sign, a := "", math.Abs(u)
	if digits > 0 {
		s := strconv.FormatFloat(a, 'f', digits, 64)
		if u < 0 && strings.Trim(s, "0.") != "" {
			sign = "−"
		}
		return sign + s
	}
	whole := uint64(math.Round(a))
	if u < 0 && whole > 0 {
		sign = "−"
	}
	return sign + Count(whole)
}

// Count writes a number with its thousands apart: 213,406.
func Count[T uint64 | int | uint32 | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "−", s[1:]
	}
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String()
}

// Percent writes a share of 1: 71 %, below 10 % with one digit.
func Percent(f float64) string {
	p := f * 100
	switch a := math.Abs(p); {
	case a == 0:
		return "0 %"
	case a < 0.05:
		return "< 0.1 %"
	case a < 9.95:
		s := strings.TrimSuffix(strconv.FormatFloat(p, 'f', 1, 64), ".0")
		return strings.Replace(s, "-", "−", 1) + " %"
	default:
		return strings.Replace(strconv.FormatFloat(p, 'f', 0, 64), "-", "−", 1) + " %"
	}
}

// Points writes a difference of quality in percentage points: −1.7 pp.
func Points(f float64) string {
	s := strconv.FormatFloat(f*100, 'f', 1, 64)
	if s == "-0.0" {
		s = "0.0"
	}
	return strings.Replace(s, "-", "−", 1) + " pp"
}

// Plural writes a count with its noun.
func Plural[T uint64 | int](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// About rounds a count that is only about right to two significant digits.
func About(n int) int {
	unit := 1
	for n/unit >= 100 {
		unit *= 10
	}
	return (n + unit/2) / unit * unit
}

// Pairs says of the sampled pairs how many are graded: what every screen says.
func Pairs(q schemas.QualityFinding) string {
	if q.Ungraded == 0 {
		return Plural(q.Pairs, "graded pair", "graded pairs")
	}
	return Plural(q.Pairs+q.Ungraded, "sampled pair", "sampled pairs") + ": " + Count(q.Pairs) + " graded, " + Count(q.Ungraded) + " ungraded"
}

// pairsCell is Pairs for a column: "0 of 802".
func pairsCell(q schemas.QualityFinding) string {
	if q.Ungraded == 0 {
		return Count(q.Pairs)
	}
	return Count(q.Pairs) + " of " + Count(q.Pairs+q.Ungraded)
}

// Quality writes what is known of a candidate's quality: the lower bound, or
// for one that is worse the upper one.
func Quality(v *schemas.Verdict) string {
	q := v.Quality
	switch {
	case q.Clusters == 0 && q.Pairs == 0 && q.Ungraded > 0:
		return "none graded"
	case q.Clusters == 0 && q.Pairs == 0:
		return "no pairs yet"
	case v.Readiness == schemas.Worse:
		return "≤ " + UpperPoints(q.Upper)
	case q.Lower <= -1:
		return "no bound yet"
	default:
		return "≥ " + LowerPoints(q.Lower)
	}
}

// LowerPoints and UpperPoints write a bound, rounded to the side that claims less.
func LowerPoints(f float64) string { return Points(math.Floor(f*1000+1e-6) / 1000) }
func UpperPoints(f float64) string { return Points(math.Ceil(f*1000-1e-6) / 1000) }

// Glyph is the shape of a verdict: never colour alone.
func Glyph(r schemas.Readiness) string {
	switch r {
	case schemas.Ready:
		return "●"
	case schemas.NotWorthwhile:
		return "◇"
	case schemas.Worse:
		return "✕"
	default:
		return "○"
	}
}

// ShortModel drops the provider of provider/model, for columns where it is plain.
func ShortModel(m string) string {
	if _, rest, ok := strings.Cut(m, "/"); ok {
		return rest
	}
	return m
}
