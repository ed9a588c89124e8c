package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

func (a *app) pricesCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prices [TEXT]",
		Short: "The price book; with a text, the models whose provider/name holds it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			book, err := priceBook(c)
			if err != nil {
				return err
			}
			var rows []savings.Entry
			for _, e := range book.Entries() {
				if strings.Contains(e.Provider+"/"+e.Model, strings.ToLower(strings.Join(args, ""))) {
					rows = append(rows, e)
				}
			}
			if a.json {
				return a.printJSON(rows)
			}
			width := len("provider/model") // a tabwriter aligns all columns to one side: names stand left, numbers right
			for _, e := range rows {
				width = max(width, len(e.Provider)+1+len(e.Model))
			}
			w := tabwriter.NewWriter(a.stdout, 2, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintf(w, "%-*s", width, "provider/model")
			fmt.Fprintln(w, "\ttier\tinput\tcache read\tcache write\toutput\tabove tokens\tfrom\t")
			for _, e := range rows {
				fmt.Fprintf(w, "%-*s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", width, e.Provider+"/"+e.Model, e.Tier, perMillion(e.Input), perMillion(e.CacheRead), perMillion(e.CacheWrite), perMillion(e.Output), above(e.Above), date(e.From))
			}
			if err := w.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "\n%d rows, US dollars per million tokens. Book of %s.\n", len(rows), book.Date().Format(time.DateOnly))
			return nil
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Say what is doubtful in the price book: age, disputes, coming changes",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			book, err := priceBook(c)
			if err != nil {
				return err
			}
			warnings := book.Check(time.Now())
			if a.json {
				return a.printJSON(map[string]any{"date": book.Date(), "version": book.Version(), "entries": len(book.Entries()), "sources": book.Sources(), "warnings": warnings})
			}
			fmt.Fprintf(a.stdout, "Price book %d of %s: %d rows.\n", book.Version(), book.Date().Format(time.DateOnly), len(book.Entries()))
			for _, s := range book.Sources() {
				fmt.Fprintf(a.stdout, "  from %s, %s of %s (%s)\n", s.Name, s.Commit, s.Date, s.Licence)
			}
			for _, w := range warnings {
				fmt.Fprintln(a.stdout, "  !", w.Text)
			}
			return nil
		},
	})
	return cmd
}

// perMillion is a rate in dollars without useless zeros.
func perMillion(o schemas.OptUSD) string {
	if !o.Known {
		return ""
	}
	return strings.TrimSuffix(strings.TrimRight(o.Nano.String(), "0"), ".")
}

func above(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateOnly)
}

// priceBook is the built-in book, with the configured rows that name a list and
// the configured prices before it.
func priceBook(c *config.Config) (*savings.Book, error) {
	var faults []error
	book := readBook(c, func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	})
	return book, errors.Join(faults...)
}

// readBook is priceBook with each fault told to wrong; what has one is left out.
func readBook(c *config.Config, wrong config.Wrong) *savings.Book {
	book, err := savings.BuiltinBook()
	if err != nil {
		wrong("prices", "%v", err)
		return nil
	}
	for _, name := range sortedKeys(c.Providers) {
		list := c.Providers[name].PriceList
		if list == "" {
			continue
		}
		if next, err := book.WithAlias(name, list); err != nil {
			wrong("providers."+name+".price_list", "%v", err)
		} else {
			book = next
		}
	}
	var own []savings.Entry
	for i, p := range c.Prices {
		if e, err := ownPrice(p); err != nil {
			wrong(fmt.Sprintf("prices.%d", i), "%v", err)
		} else if p.Provider != "" && p.Model != "" { // else the configuration has said so
			own = append(own, e)
		}
	}
	if len(own) == 0 {
		return book
	}
	next, err := book.With(own...)
	if err != nil {
		wrong("prices", "%v", err)
		return book
	}
	return next
}

// checkRest looks at what the configuration names and cannot judge by itself.
func checkRest(c *config.Config, wrong config.Wrong) {
	readBook(c, wrong)
	if _, err := readWeights(c.Classifier.Weights); err != nil {
		wrong("classifier.weights", "%v", err)
	}
}

func ownPrice(p config.Price) (savings.Entry, error) {
	e := savings.Entry{Provider: p.Provider, Model: p.Model, Tier: p.Tier}
	for _, r := range []struct {
		to   *schemas.OptUSD
		from *float64
	}{{&e.Input, p.Input}, {&e.Output, p.Output}, {&e.CacheRead, p.CacheRead}, {&e.CacheWrite, p.CacheWrite}, {&e.CacheWrite1h, p.CacheWrite1h}} {
		if r.from == nil {
			continue
		}
		n, err := schemas.ParseUSD(strconv.FormatFloat(*r.from, 'f', -1, 64))
		if err != nil {
			return e, fmt.Errorf("%v: want US dollars per million tokens, to nine places", *r.from)
		}
		*r.to = schemas.KnownUSD(n)
	}
	return e, nil
}

// priced reports whether the book has a price for a model today.
func priced(book *savings.Book, provider, model string) bool {
	_, _, err := book.Cost(provider, model, "", schemas.Usage{InputTokens: 1, OutputTokens: 1}, time.Now())
	return err == nil
}
