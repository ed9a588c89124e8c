package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

func (a *app) pricesCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "prices [TEXT]",
		Short: "The price book; with a text, the models whose provider/name holds it",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			book, err := savings.BuiltinBook()
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
			w := tabwriter.NewWriter(a.stdout, 2, 0, 2, ' ', tabwriter.AlignRight)
			fmt.Fprintln(w, "provider/model\ttier\tinput\tcache read\tcache write\toutput\tabove tokens\tfrom\t")
			for _, e := range rows {
				fmt.Fprintf(w, "%s/%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", e.Provider, e.Model, e.Tier, perMillion(e.Input), perMillion(e.CacheRead), perMillion(e.CacheWrite), perMillion(e.Output), above(e.Above), date(e.From))
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
			book, err := savings.BuiltinBook()
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
