package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/internal/config"
)

func (a *app) configCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Show or check the configuration"}
	var redact, defaults bool
	print := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration as it is after file, environment and flags; secrets are never shown",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := new(config.Default()), error(nil)
			if !defaults {
				c, err = a.config()
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(c.Redacted().Map())
			}
			out, err := c.Redacted().YAML()
			if err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, "# In rows of providers 0, 0s and null stand for the default: of times, what proxy says.")
			_, err = a.stdout.Write(out)
			return err
		},
	}
	print.Flags().BoolVar(&redact, "redacted", true, "secrets are shown as set or not; there is no way to print them")
	print.Flags().BoolVar(&defaults, "defaults", false, "every key as it is where nothing is configured; needs no configuration that is in order")
	check := &cobra.Command{
		Use:   "check",
		Short: "Say whether the configuration can be used, and where it is wrong",
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
			notes := []string{}
			for _, f := range idleLadders(c, book) {
				notes = append(notes, f.Detail+"; "+f.Mend)
			}
			notes = append(notes, keyless(c)...)
			if every := c.Spool.SyncEvery; every > time.Second {
				notes = append(notes, fmt.Sprintf("spool.sync_every is %v: a power failure may cost the requests of that time; the default is %v", every, config.Default().Spool.SyncEvery))
			}
			if a.json {
				return a.printJSON(map[string]any{"ok": true, "providers": len(c.Providers), "notes": notes})
			}
			verdict := "is in order"
			if len(notes) > 0 {
				verdict = "can be used, with notes"
			}
			fmt.Fprintf(a.stdout, "The configuration %s: project %s, %d providers, data in %s.\n", verdict, c.Project, len(c.Providers), c.DataDir)
			for _, text := range notes {
				fmt.Fprintln(a.stdout, "  note:", text+".")
			}
			return nil
		},
	}
	cmd.AddCommand(print, check)
	return cmd
}

// printJSON writes v for machines.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
