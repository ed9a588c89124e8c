package main

import (
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/internal/store"
)

// declareLostCmd is for the one loss that nobody but a person can know of: a
// machine that says nothing may be switched off, or gone with its disk.
func (a *app) declareLostCmd() *cobra.Command {
	var silent time.Duration
	cmd := &cobra.Command{
		Use:   "declare-lost [BOOT_ID]",
		Short: "Declare what a proxy held whose disk is gone for good; without one, list who is silent",
		Long: `Declare what a proxy held whose disk is gone for good. What it accepted, by its last
heartbeat, and the store does not have counts as declared (disk_lost) from then on. It is
safe to be wrong: a row that still comes beats the declaration, and a spool that comes
back keeps its events until the store has them. Without an argument, the lives that are
silent and owe something are listed.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			s, err := store.Open(cmd.Context(), storeOptions(c, readDSN(c), nil))
			if err != nil {
				return storeAway(c, err)
			}
			defer s.Close()
			lives, err := s.SilentLives(cmd.Context(), time.Now().Add(-silent))
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return a.printLives(lives, silent)
			}
			boot, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				return fmt.Errorf("%w: %q is no boot id", errUsage, args[0])
			}
			for _, l := range lives {
				if l.BootID != boot {
					continue
				}
				if err := pipeline.DeclareLost(cmd.Context(), clientConfig(c), boot, l.Accepted, time.Now()); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(l)
				}
				fmt.Fprintf(a.stdout, "declared: of %d that %s accepted, %d that the store does not have (disk_lost)\n", l.Accepted, l.Proxy, l.Missing)
				return nil
			}
			return fmt.Errorf("%d is no life that owes something and has been silent for %s: gnomon declare-lost lists them", boot, silent)
		},
	}
	cmd.Flags().DurationVar(&silent, "silent", store.Silent, "how long it has said nothing")
	return cmd
}

func (a *app) printLives(lives []store.Life, silent time.Duration) error {
	if a.json {
		return a.printJSON(append([]store.Life{}, lives...))
	}
	if len(lives) == 0 {
		fmt.Fprintf(a.stdout, "Nobody who has been silent for %s owes anything.\n", silent)
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BOOT ID\tPROXY\tLAST HEARD\tACCEPTED\tMISSING")
	for _, l := range lives {
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%d\n", l.BootID, l.Proxy, l.LastHeard.Format(time.DateTime), l.Accepted, l.Missing)
	}
	return w.Flush()
}
