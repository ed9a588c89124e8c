package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/schemas"
)

// nameActions implements dashboards.Names.
type nameActions struct {
	c        func() *config.Config // as it is in force
	keeper   *activation.Keeper[schemas.Naming]
	policies *activation.Keeper[schemas.Policy]
	seen     func(ctx context.Context, project string) ([]string, error)
}

// List implements dashboards.Names.
func (a nameActions) List(project string) []schemas.Naming {
	return slices.DeleteFunc(a.keeper.Latest(), func(n schemas.Naming) bool { return n.Project != project })
}

// facts are what the rules ask. A store that is away has seen nothing: names in
// use by a policy or another name are still found.
func (a nameActions) facts(project string, seen []string) activation.NameFacts {
	return activation.NameFacts{
		Names:  a.List(project),
		Policy: func(w string) *schemas.Policy { return a.policies.Accepted(project + "/" + w) },
		Seen:   func(w string) bool { return slices.Contains(seen, w) },
	}
}

// Rename implements dashboards.Names.
func (a nameActions) Rename(ctx context.Context, r dashboards.NameRequest) (dashboards.NameResult, error) {
	seen, err := a.seen(ctx, r.Project)
	if err != nil && !(r.Into && r.Unseen) {
		return dashboards.NameResult{}, &dashboards.Error{Kind: dashboards.Unavailable, Message: "Which names are in use cannot be said: " + strings.TrimSuffix(err.Error(), ".") + ".", Hint: "Try again when the store answers."}
	}
	f := a.facts(r.Project, seen)
	records, err := activation.Rename(activation.NameRequest{Project: r.Project, Found: r.Workloads, Name: r.Name, Into: r.Into, Actor: r.Actor, Reason: r.Reason}, f)
	if err != nil {
		return dashboards.NameResult{}, refusal(err)
	}
	for _, n := range records {
		if n.Replaces == 0 && !r.Unseen && !f.Seen(n.Workload) {
			return dashboards.NameResult{}, unseen(n.Workload, seen)
		}
	}
	result, err := a.propose(ctx, records...)
	for _, n := range result.Names {
		if _, ok := a.c().Workloads[n.Workload]; ok {
			result.Warnings = append(result.Warnings, schemas.Warning{Code: "workload_configured", Text: "the configuration's workloads." + n.Workload + " applies to nothing from now on: call it " + n.Name + " there, too"})
		}
	}
	return result, err
}

// Unname implements dashboards.Names.
func (a nameActions) Unname(ctx context.Context, project, workload, actor, reason string) (dashboards.NameResult, error) {
	was := a.keeper.Accepted(project + "/" + workload)
	n, err := activation.Unname(project, workload, actor, reason, a.facts(project, nil))
	if err != nil {
		return dashboards.NameResult{}, refusal(err)
	}
	result, err := a.propose(ctx, n)
	if err == nil {
		result.Warnings = append(result.Warnings, stays(was))
	}
	return result, err
}

// stays says what a name that is taken back keeps.
func stays(was *schemas.Naming) schemas.Warning {
	return schemas.Warning{Code: "recorded_under_name", Text: fmt.Sprintf("requests that came while it was called %s (from %s on) were decided and recorded under that name, together with whatever else had it, and stay there; "+
		"those of before are %s's again. Calling it %s once more brings all of them together", was.Name, was.At.Format("2 Jan 2006 15:04 MST"), was.Workload, was.Name)}
}

// propose writes one record after the other. Where the broker goes away between
// them those before hold, and the answer says which.
func (a nameActions) propose(ctx context.Context, records ...schemas.Naming) (r dashboards.NameResult, err error) {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	for _, n := range records {
		if n, err = a.keeper.Propose(ctx, n); err != nil {
			err = refusal(fmt.Errorf("%w (of %d names %d were accepted: gnomon workloads names)", err, len(records), len(r.Names)))
			return r, err
		}
		r.Names = append(r.Names, n)
	}
	if alarm := a.keeper.Standing().Alarm; alarm != "" {
		r.Warnings = append(r.Warnings, schemas.Warning{Code: "name_alarm", Text: alarm})
	}
	return r, nil
}

// called says what a discovered workload is called; empty: by its own name.
func (a nameActions) called(project, workload string) string {
	if n := a.keeper.Accepted(project + "/" + workload); n != nil {
		return n.Name
	}
	return ""
}

func (a *app) renameCmd() *cobra.Command {
	var reason, actor string
	var unseen bool
	cmd := &cobra.Command{
		Use:   "rename ~FOUND NAME --reason \"…\"",
		Short: "Call a discovered workload by a name of your own",
		Long: `Call a discovered workload by a name of your own. New requests are recorded under it; those of
before keep the name they were recorded under, and reports, console and views show them under the new one.
Taken back, it leaves under the name what was recorded by it, and says so.
Its policy has to be rolled back first. To take it back: gnomon workloads undo ~FOUND.`,
		Example: `  gnomon workloads rename ~support-questions-politely-236bab2 support --reason "the web shop's first line"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("%w: give the workload as it was discovered, and its new name; gnomon workloads lists them", errUsage)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeNames(cmd, "/names", map[string]any{"workloads": args[:1], "name": args[1], "unseen": unseen, "reason": reason, "actor": orActor(actor)})
		},
	}
	cmd.Flags().BoolVar(&unseen, "unseen", false, "also where no request of it has come yet")
	return withReason(cmd, &reason, &actor)
}

func (a *app) mergeCmd() *cobra.Command {
	var reason, actor, into string
	var unseen bool
	cmd := &cobra.Command{
		Use:     "merge ~FOUND … --into NAME --reason \"…\"",
		Short:   "Make one workload of several, or add them to one that has a name",
		Example: `  gnomon workloads merge ~rewrite-message-blue-2ca2520 ~rewrite-message-free-25f8496 --into rewriting --reason "one template, several tones"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("%w: give the workloads as they were discovered; gnomon workloads lists them", errUsage)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeNames(cmd, "/names", map[string]any{"workloads": args, "name": into, "into": true, "unseen": unseen, "reason": reason, "actor": orActor(actor)})
		},
	}
	cmd.Flags().BoolVar(&unseen, "unseen", false, "also where no request of them has come yet")
	cmd.Flags().StringVar(&into, "into", "", "what they are called from now on; may be in use")
	_ = cmd.MarkFlagRequired("into")
	return withReason(cmd, &reason, &actor)
}

func (a *app) unnameCmd() *cobra.Command {
	var reason, actor string
	cmd := &cobra.Command{
		Use:   "undo ~FOUND --reason \"…\"",
		Short: "Take a discovered workload's name back",
		Args:  exactWorkload,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.changeNames(cmd, "/names/undo", map[string]any{"workload": args[0], "reason": reason, "actor": orActor(actor)})
		},
	}
	return withReason(cmd, &reason, &actor)
}

func (a *app) namesCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "names",
		Short: "What discovered workloads are called, and who says so",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if a.json {
				return a.raw(cmd, c, "/names")
			}
			var list struct{ Names []schemas.Naming }
			if err := c.get(cmd.Context(), "/names", &list); err != nil {
				return err
			}
			if len(list.Names) == 0 {
				fmt.Fprintln(a.stdout, "No discovered workload has been named. gnomon workloads rename gives one a name.")
			}
			for _, n := range list.Names {
				name := n.Name
				if name == "" {
					name = "by its own name again"
				}
				fmt.Fprintf(a.stdout, "%s  %s  (%s, %s: %s)\n", n.Workload, name, n.At.Format("2 Jan 2006"), n.Actor, n.Reason)
			}
			return nil
		},
	}
}

func withReason(cmd *cobra.Command, reason, actor *string) *cobra.Command {
	cmd.Flags().StringVar(reason, "reason", "", "why; kept for ever")
	cmd.Flags().StringVar(actor, "actor", "", "who (default: you)")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

func (a *app) changeNames(cmd *cobra.Command, path string, body any) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.post(cmd.Context(), path, body, &raw); err != nil {
		return err
	}
	if a.json {
		_, err := a.stdout.Write(raw)
		return err
	}
	var r struct {
		Names    []schemas.Naming
		Warnings []schemas.Warning
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	for _, n := range r.Names {
		if n.Name == "" {
			fmt.Fprintf(a.stdout, "%s goes by its own name again (version %d).\n", n.Workload, n.Version)
			continue
		}
		fmt.Fprintf(a.stdout, "%s is called %s from now on (version %d).\n  undo: gnomon workloads undo %s --reason \"…\"\n", n.Workload, n.Name, n.Version, n.Workload)
	}
	for _, w := range r.Warnings {
		fmt.Fprintln(a.stdout, "  note:", w.Text)
	}
	return nil
}
