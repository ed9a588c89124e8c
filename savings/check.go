package savings

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// staleAfter is the age at which built-in prices are called old: vendors change
// list prices a few times a year.
const staleAfter = 60 * 24 * time.Hour

// Check says what should be known before the book's figures are trusted: its
// age, prices that two published lists disagree on, prices due to change, and
// what no list holds. It never fails; an empty answer is a clean bill.
func (b *Book) Check(now time.Time) []schemas.Warning {
	var out []schemas.Warning
	warn := func(code, format string, args ...any) {
		out = append(out, schemas.Warning{Code: code, Text: fmt.Sprintf(format, args...)})
	}
	if age := now.Sub(b.date); age > staleAfter {
		warn("price_age", "The built-in prices were read on %s, %d days ago. Compare the models you use with the vendors' pages, or update gnomon.",
			b.date.Format(time.DateOnly), int(age.Hours()/24))
	}
	for _, d := range b.doubts {
		warn("price_disputed", "%s/%s: %s. Set your own price if you use it.", d.Provider, d.Model, d.Text)
	}
	soon := now.Add(30 * 24 * time.Hour)
	for i := range b.entries {
		if e := &b.entries[i]; e.From.After(now) && e.From.Before(soon) && e.Tier == "" {
			warn("price_changes", "%s/%s changes its price on %s.", e.Provider, e.Model, e.From.Format(time.DateOnly))
		}
	}
	if len(b.missing) > 0 {
		warn("price_scope", "Not in the book, so not in any figure: %s; fees per call (web search) and per image.", strings.Join(b.missing, ", "))
	}
	return slices.Clip(out)
}
