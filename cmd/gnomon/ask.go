package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/schemas"
)

// raw asks the API and prints its answer as it is.
func (a *app) raw(cmd *cobra.Command, c *client, path string) error {
	var raw json.RawMessage
	if err := c.get(cmd.Context(), path, &raw); err != nil {
		return err
	}
	_, err := a.stdout.Write(raw)
	return err
}

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Is gnomon up, and is everything accounted for?",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if a.json {
				return a.raw(cmd, c, "/status")
			}
			var s struct {
				Project, Version string
				Simulated        bool
				Modes            map[string]int
				Workloads        int
				Completeness     struct {
					State                                        string
					Accepted, Stored, Declared, Dropped, Waiting uint64
					InFlight                                     uint64 `json:"in_flight"`
				}
			}
			if err := c.get(cmd.Context(), "/status", &s); err != nil {
				return err
			}
			simulated := ""
			if s.Simulated {
				simulated = "   SIMULATED"
			}
			fmt.Fprintf(a.stdout, "%s · gnomon %s at %s%s\n", s.Project, s.Version, c.base, simulated)
			t := s.Completeness
			fmt.Fprintf(a.stdout, "  requests   %d accepted = %d stored + %d declared lost + %d on their way\n", t.Accepted, t.Stored, t.Declared, t.Waiting+t.InFlight)
			fmt.Fprintf(a.stdout, "  workloads  %d", s.Workloads)
			for _, mode := range sortedKeys(s.Modes) {
				fmt.Fprintf(a.stdout, ", %d %s", s.Modes[mode], mode)
			}
			fmt.Fprintln(a.stdout)
			return nil
		},
	}
}

func (a *app) workloadsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "workloads",
		Short: "The workloads, their modes and what they cost",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if a.json {
				return a.raw(cmd, c, "/workloads")
			}
			var list struct {
				From, To  time.Time
				Workloads []struct {
					Workload string
					Mode     schemas.Mode
					Policy   *schemas.Policy
					Verdicts []schemas.Verdict
					Total    struct {
						Requests, Failed, Unpriced uint64
						Cost                       schemas.NanoUSD
					}
				}
			}
			if err := c.get(cmd.Context(), "/workloads", &list); err != nil {
				return err
			}
			if len(list.Workloads) == 0 {
				fmt.Fprintln(a.stdout, "No request has been seen yet. Send one through the proxy with the header x-gnomon-feature: your/workload.")
				return nil
			}
			w := tabwriter.NewWriter(a.stdout, 2, 0, 2, ' ', 0)
			fmt.Fprintln(w, "workload\tmode\trequests\tfailed\tunpriced\tcost\tverdict")
			for _, l := range list.Workloads {
				verdict, mode := "", string(l.Mode)
				if len(l.Verdicts) > 0 {
					verdict = fmt.Sprintf("%s on %s", l.Verdicts[0].Readiness, l.Verdicts[0].Candidate)
				}
				if p := l.Policy; p != nil && p.Mode == schemas.ModeCanary {
					mode = fmt.Sprintf("%s %.4g %%", p.Mode, float64(p.Share)/100)
				}
				if l.Policy != nil && l.Policy.Override && l.Mode != schemas.ModeObserve {
					mode += " (override)"
				}
				cost := report.Money(l.Total.Cost)
				if l.Total.Unpriced > 0 && l.Total.Unpriced >= l.Total.Requests {
					cost = "unpriced" // never $0
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\t%s\n", l.Workload, mode, l.Total.Requests, l.Total.Failed, l.Total.Unpriced, cost, verdict)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "\n%s to %s, UTC.\n", list.From.Format("2 Jan"), list.To.Add(-time.Second).Format("2 Jan 2006"))
			return nil
		},
	}
	cmd.AddCommand(a.renameCmd(), a.mergeCmd(), a.unnameCmd(), a.namesCmd())
	return cmd
}
