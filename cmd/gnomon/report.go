package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gnomon-llm/gnomon/analyzer"
	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/dashboards"
)

// report is the report of a project from the latest verdicts in the store.
func (n *node) report(ctx context.Context, project string) (*report.Report, error) {
	reader, err := n.storeNow()
	if err != nil {
		return nil, err
	}
	verdicts, err := reader.Verdicts(ctx, project)
	if err != nil {
		return nil, err
	}
	r, err := analyzer.BuildReport(ctx, reader, project, verdicts, n.settings(), time.Now().UTC())
	if err == nil && r.Requests == 0 && project != n.c.Project {
		return nil, &dashboards.Error{Kind: dashboards.NotFound, Code: "no_project", Message: fmt.Sprintf("No request of a project %q is stored.", project), Hint: "This gnomon's own is " + n.c.Project + "."}
	}
	return r, err
}

func (a *app) reportCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "report",
		Short: "What would be saved per workload, how sure that is, and what is missing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if a.json {
				return a.raw(cmd, c, "/report")
			}
			return a.printReport(cmd.Context(), c)
		},
	}
}

// printReport asks for the report and writes it for people.
func (a *app) printReport(ctx context.Context, c *client) error {
	var r report.Report
	if err := c.get(ctx, "/report", &r); err != nil {
		return err
	}
	return report.WriteText(a.stdout, &r, textOptions(a, c))
}

// textOptions fits the report to the terminal; a pipe gets plain text.
func textOptions(a *app, c *client) report.Options {
	o := report.Options{Console: c.base}
	if f, ok := a.stdout.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.Color = os.Getenv("NO_COLOR") == ""
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			o.Width = width
		}
	}
	return o
}
