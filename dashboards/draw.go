package dashboards

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/gnomon-llm/gnomon/schemas"
)

// whisker draws an interval as a bar from lo to hi with a tick at the point, on
// a scale from 0 (or the least lo) to max. Numbers only go in: it is safe HTML.
func whisker(point schemas.NanoUSD, lo, hi *schemas.NanoUSD, limit schemas.NanoUSD) template.HTML {
	if lo == nil || hi == nil || limit <= 0 {
		return ""
	}
	const width, height, pad = 168.0, 18.0, 2.0
	least := math.Min(0, lo.USD())
	x := func(v float64) float64 {
		f := (v - least) / (limit.USD() - least)
		return pad + math.Max(0, math.Min(1, f))*(width-2*pad)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="whisker" width="%g" height="%g" viewBox="0 0 %g %g" aria-hidden="true">`, width, height, width, height)
	fmt.Fprintf(&b, `<line class="zero" x1="%.1f" y1="0" x2="%.1f" y2="%g"/>`, x(0), x(0), height)
	fmt.Fprintf(&b, `<rect class="span" x="%.1f" y="4" width="%.1f" height="%g"/>`, x(lo.USD()), math.Max(3, x(hi.USD())-x(lo.USD())), height-8)
	fmt.Fprintf(&b, `<line class="point" x1="%.1f" y1="1" x2="%.1f" y2="%g"/></svg>`, x(point.USD()), x(point.USD()), height-1)
	return template.HTML(b.String()) //nolint:gosec // numbers formatted by us
}

// shareBar draws a part of a whole, for counts in tables.
func shareBar(n, of uint64) template.HTML {
	if of == 0 {
		return ""
	}
	w := 120 * float64(n) / float64(of)
	return template.HTML(fmt.Sprintf(`<svg class="sharebar" width="120" height="8" viewBox="0 0 120 8" aria-hidden="true"><rect class="whole" width="120" height="8" rx="1"/><rect class="part" width="%.1f" height="8" rx="1"/></svg>`, math.Max(1, w))) //nolint:gosec
}

// effectBar draws a contribution left or right of a middle line.
func effectBar(effect, limit float64) template.HTML {
	if limit <= 0 {
		return ""
	}
	w := 58 * math.Min(1, math.Abs(effect)/limit)
	x, c := 60.0, "plus"
	if effect < 0 {
		x, c = 60-w, "minus"
	}
	return template.HTML(fmt.Sprintf(`<svg class="effect" width="120" height="10" viewBox="0 0 120 10" aria-hidden="true"><rect class="%s" x="%.1f" y="1" width="%.1f" height="8"/><line x1="60" y1="0" x2="60" y2="10"/></svg>`, c, x, math.Max(1, w))) //nolint:gosec
}
