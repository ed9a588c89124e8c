package dashboards

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// money writes an amount as people read it: whole dollars from $100, cents
// below, and below a cent two significant digits, never nano-dollars.
func money(n schemas.NanoUSD) string {
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
		return sign + "$" + group(uint64(math.Round(a)))
	}
}

// optMoney writes an amount, or that it is unpriced: never 0.
func optMoney(o schemas.OptUSD) string {
	if !o.Known {
		return "unpriced"
	}
	return money(o.Nano)
}

// bounds writes an interval of money in the precision of its largest part.
func bounds(lo, hi *schemas.NanoUSD) string {
	if lo == nil || hi == nil {
		return ""
	}
	digits := 0
	if a := math.Max(math.Abs(lo.USD()), math.Abs(hi.USD())); a < 99.995 {
		digits = 2
	}
	return "[" + dollars(lo.USD(), digits) + " … " + dollars(hi.USD(), digits) + "]"
}

func dollars(u float64, digits int) string {
	sign := ""
	if u < 0 {
		sign, u = "−", -u
	}
	if digits == 0 {
		return sign + "$" + group(uint64(math.Round(u)))
	}
	return sign + "$" + strconv.FormatFloat(u, 'f', digits, 64)
}

// group writes a count with thousands apart: 213,406.
func group[T uint64 | int | uint32 | int64](n T) string {
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

// percent writes a share of 1, with a digit only below 10 %.
func percent(f float64) string {
	p := f * 100
	switch a := math.Abs(p); {
	case a == 0:
		return "0 %"
	case a < 0.05:
		return "< 0.1 %"
	case a < 9.95:
		return trimZero(strconv.FormatFloat(p, 'f', 1, 64)) + " %"
	default:
		return strconv.FormatFloat(p, 'f', 0, 64) + " %"
	}
}

func trimZero(s string) string { return strings.Replace(strings.TrimSuffix(s, ".0"), "-", "−", 1) }

// points writes a quality difference in percentage points: −1.7 pp.
func points(f float64) string {
	s := strconv.FormatFloat(f*100, 'f', 1, 64)
	if s == "-0.0" {
		s = "0.0"
	}
	return strings.Replace(s, "-", "−", 1) + " pp"
}

// quality writes what is known: a lower bound, or for a worse candidate the upper one.
func quality(v *schemas.Verdict) string {
	q := v.Quality
	switch {
	case q.Pairs == 0:
		return "no graded pairs"
	case v.Readiness == schemas.Worse:
		return "≤ " + points(q.Upper)
	default:
		return "≥ " + points(q.Lower)
	}
}

// millis writes a latency, one digit below 10 ms.
func millis(ms float64) string {
	if ms < 10 {
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	return group(int(math.Round(ms))) + " ms"
}

func basis(b schemas.BasisPoints) string { return percent(float64(b) / 10000) }

// period names a span of days as people do: 14–27 Nov.
func period(from, to time.Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	from, to = from.UTC(), to.UTC()
	if to.After(from) && to.Equal(to.Truncate(24*time.Hour)) {
		to = to.Add(-time.Second) // an exclusive end at midnight is the day before's
	}
	switch {
	case from.Format("2006-01-02") == to.Format("2006-01-02"):
		return from.Format("2 Jan")
	case from.Year() == to.Year() && from.Month() == to.Month():
		return fmt.Sprintf("%d–%s", from.Day(), to.Format("2 Jan"))
	default:
		return from.Format("2 Jan") + "–" + to.Format("2 Jan")
	}
}

// plural writes a count with its noun.
func plural[T uint64 | int](n T, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return group(n) + " " + many
}

// glyph is the shape of a verdict: never colour alone.
func glyph(r schemas.Readiness) string {
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

// class turns a word of ours into a CSS class: "not worthwhile" → "not-worthwhile".
func class(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
}

// workloadPath is the address of a workload's page. Slashes stay readable; a
// name whose segments a server or browser would clean away is escaped whole.
func workloadPath(w string) string { return "/workloads/" + escapeName(w) }

func escapeName(w string) string {
	parts := strings.Split(w, "/")
	for i, p := range parts {
		if p == "" || p == "." || p == ".." {
			return url.PathEscape(w)
		}
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// shortModel drops the provider of provider/model, for columns where it is plain.
func shortModel(m string) string {
	if _, rest, ok := strings.Cut(m, "/"); ok {
		return rest
	}
	return m
}
