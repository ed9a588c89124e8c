package dashboards

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/schemas"
)

// The formats of figures are the report's: one way of writing money everywhere.
var (
	money      = report.Money
	optMoney   = report.OptMoney
	bounds     = report.MoneyInterval
	percent    = report.Percent
	points     = report.Points
	quality    = report.Quality
	atLeast    = report.LowerPoints
	atMost     = report.UpperPoints
	glyph      = report.Glyph
	shortModel = report.ShortModel
	pairs      = report.Pairs
)

func group[T uint64 | int | uint32 | int64](n T) string { return report.Count(n) }

func plural[T uint64 | int](n T, one, many string) string { return report.Plural(n, one, many) }

// millis writes a latency, one digit below 10 ms.
func millis(ms float64) string {
	if ms < 10 {
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	return group(int(math.Round(ms))) + " ms"
}

// signed writes a contribution with its sign, a true minus.
func signed(v float64) string { return strings.Replace(fmt.Sprintf("%+.3f", v), "-", "−", 1) }

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
