package schemas

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// NanoUSD is an amount of money in units of 1e-9 US dollars. One int64 holds
// about ±9.2 billion dollars.
type NanoUSD int64

// Dollar is one US dollar.
const Dollar NanoUSD = 1_000_000_000

// USD returns the amount as a float, for statistics and charts only: sums that
// are shown as money are made in NanoUSD.
func (n NanoUSD) USD() float64 { return float64(n) / 1e9 }

// String returns the exact amount in dollars with nine decimals, as ClickHouse
// writes a Decimal(18, 9): "-0.000000150".
func (n NanoUSD) String() string {
	sign, u := "", uint64(n)
	if n < 0 {
		sign, u = "-", -uint64(n)
	}
	return fmt.Sprintf("%s%d.%09d", sign, u/1e9, u%1e9)
}

// ErrMoney says that a text is not an amount of dollars with at most nine decimals.
var ErrMoney = errors.New("not an amount in dollars with at most nine decimals")

// ParseUSD reads what String writes. It refuses more than nine decimals rather
// than round money.
func ParseUSD(s string) (NanoUSD, error) {
	digits, neg := strings.CutPrefix(s, "-")
	whole, frac, _ := strings.Cut(digits, ".")
	if whole == "" || len(frac) > 9 || strings.ContainsAny(digits, "+-_") {
		return 0, fmt.Errorf("%q: %w", s, ErrMoney)
	}
	text := whole + frac + strings.Repeat("0", 9-len(frac))
	if neg {
		text = "-" + text
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q: %w", s, ErrMoney)
	}
	return NanoUSD(n), nil
}

// OptUSD is an amount that may be unknown. The zero value is unknown: an
// unpriced model has no cost, which is not a cost of zero. It is null in JSON
// and NULL in the store; known amounts are JSON integers in nano-USD.
type OptUSD struct {
	Nano  NanoUSD
	Known bool
}

// KnownUSD returns a known amount.
func KnownUSD(n NanoUSD) OptUSD { return OptUSD{Nano: n, Known: true} }

// MarshalJSON writes the integer nano-USD, or null when unknown.
func (o OptUSD) MarshalJSON() ([]byte, error) {
	if !o.Known {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, int64(o.Nano), 10), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (o *OptUSD) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*o = OptUSD{}
		return nil
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return fmt.Errorf("amount in nano-USD: %w", err)
	}
	*o = KnownUSD(NanoUSD(n))
	return nil
}

// String is the amount, or "unpriced".
func (o OptUSD) String() string {
	if !o.Known {
		return "unpriced"
	}
	return o.Nano.String()
}
