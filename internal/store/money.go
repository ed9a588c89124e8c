package store

import (
	"fmt"

	"github.com/shopspring/decimal"

	"github.com/gnomon-llm/gnomon/schemas"
)

// dollars is an amount as a Decimal(18, 9) column takes it; nil is NULL.
func dollars(o schemas.OptUSD) *decimal.Decimal {
	if !o.Known {
		return nil
	}
	d := decimal.New(int64(o.Nano), -9)
	return &d
}

// amount reads a Decimal that may be NULL.
type amount schemas.OptUSD

// Scan implements sql.Scanner.
func (a *amount) Scan(v any) (err error) {
	if v == nil {
		*a = amount{}
		return nil
	}
	a.Known = true
	return (*sum)(&a.Nano).Scan(v)
}

// sum reads a Decimal. What NanoUSD cannot hold exactly is an error: money is
// never rounded or cut on its way.
type sum schemas.NanoUSD

// Scan implements sql.Scanner.
func (s *sum) Scan(v any) error {
	d, ok := v.(decimal.Decimal)
	if !ok {
		return fmt.Errorf("%T is not a Decimal", v)
	}
	nano := d.Shift(9)
	if whole := nano.BigInt(); nano.IsInteger() && whole.IsInt64() {
		*s = sum(whole.Int64())
		return nil
	}
	return fmt.Errorf("%s US dollars cannot be held exactly in 64 bits of nano-dollars", d)
}
