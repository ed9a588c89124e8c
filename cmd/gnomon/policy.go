package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/activation"
	"github.com/gnomon-llm/gnomon/schemas"
)

// policyResult is what the API answers to activate and rollback.
type policyResult struct {
	Policy   schemas.Policy    `json:"policy"`
	Warnings []schemas.Warning `json:"warnings"`
	Undo     string            `json:"undo"`
}

func (a *app) activateCmd() *cobra.Command {
	var candidate, share, reason, requestModel, actor string
	var override, unseen bool
	var threshold float64
	cmd := &cobra.Command{
		Use:   "activate WORKLOAD --candidate provider/model [--share 25%] --reason \"…\"",
		Short: "Route a share of a workload to a candidate",
		Long: `Route a share of a workload to a candidate. Sessions keep their side; 5 % stay on the
model asked for, as control, and the share is of the others: 25% treats 23.75 % of all. What the verdict does not support is refused, saying why,
unless --override. Returns once broker and snapshot have it; proxies obey within a second.`,
		Example: `  gnomon activate chat/faq --candidate openai/gpt-4.1-mini --share 5% --reason "verdict of 3 November"`,
		Args:    exactWorkload,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			bp, err := activation.ParseShare(share)
			if err != nil {
				return fmt.Errorf("%w: %w", errUsage, err)
			}
			body := map[string]any{
				"candidate": candidate, "share": bp.Percent(), "reason": reason,
				"override": override, "request_model": requestModel, "actor": orActor(actor),
			}
			if unseen {
				body["unseen"] = true
			}
			if cmd.Flags().Changed("threshold") {
				body["threshold"] = threshold
			}
			return a.changePolicy(cmd, c, c.workloadPath(args[0], "activate"), body)
		},
	}
	f := cmd.Flags()
	f.StringVar(&candidate, "candidate", "", "the cheaper model, as provider/model")
	f.StringVar(&share, "share", "5%", "of the sessions outside the control arm, like 25%")
	f.StringVar(&reason, "reason", "", "why; kept for ever")
	f.StringVar(&requestModel, "request-model", "", "only requests for this model (default: the verdict's)")
	f.StringVar(&actor, "actor", "", "who (default: you)")
	f.BoolVar(&override, "override", false, "activate what the verdict does not support; recorded and shown from then on")
	f.BoolVar(&unseen, "unseen", false, "also where no request of the workload has come yet")
	f.Float64Var(&threshold, "threshold", 0, "route requests with a score up to this (default: the verdict's)")
	for _, required := range []string{"candidate", "reason"} {
		_ = cmd.MarkFlagRequired(required)
	}
	return cmd
}

func (a *app) rollbackCmd() *cobra.Command {
	var reason, actor string
	cmd := &cobra.Command{
		Use:     "rollback WORKLOAD --reason \"…\"",
		Short:   "Send a workload back to the models asked for, at once",
		Example: `  gnomon rollback chat/faq --reason "complaints about tone"`,
		Args:    exactWorkload,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			return a.changePolicy(cmd, c, c.workloadPath(args[0], "rollback"), map[string]any{"reason": reason, "actor": orActor(actor)})
		},
	}
	return withReason(cmd, &reason, &actor)
}

func exactWorkload(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: name one workload; gnomon workloads lists them", errUsage)
	}
	return nil
}

func (a *app) changePolicy(cmd *cobra.Command, c *client, path string, body any) error {
	var raw json.RawMessage
	if err := c.post(cmd.Context(), path, body, &raw); err != nil {
		return err
	}
	if a.json {
		_, err := a.stdout.Write(raw)
		return err
	}
	var r policyResult
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	fmt.Fprintln(a.stdout, policySentence(&r.Policy))
	for _, w := range r.Warnings {
		fmt.Fprintln(a.stdout, "  note:", w.Text)
	}
	if r.Undo != "" {
		fmt.Fprintln(a.stdout, "  undo:", r.Undo)
	}
	return nil
}

// policySentence says what a policy does to how much traffic.
func policySentence(p *schemas.Policy) string {
	if p.Mode == schemas.ModeObserve {
		return fmt.Sprintf("%s observes again: every request goes to the model it asks for (version %d).", p.Key(), p.Version)
	}
	s := fmt.Sprintf("%s is %s: %s go to %s where a request's score is at most %.2f; %.4g %% stay as control (version %d).",
		p.Key(), p.Mode, p.ShareInWords(), p.Candidate, p.Threshold, float64(p.Control)/100, p.Version)
	if p.Override {
		s += "\n  OVERRIDE: " + p.OverrideReason
	}
	return s
}

func orActor(actor string) string {
	if actor != "" {
		return actor
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	if u := os.Getenv("USER"); u != "" {
		return u
	}
	return "cli"
}
