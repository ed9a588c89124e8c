package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/analyzer/whatif"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

// whatIf asks the log with this node's ladders, prices and policies.
func (n *node) whatIf(ctx context.Context, ask dashboards.WhatIf) (*whatif.Result, error) {
	reader, err := n.storeNow()
	if err != nil {
		return nil, err
	}
	parts := classifier.Parts{
		Project: ask.Project, Ladders: slices.Clone(ladders(n.live.Load())), Capabilities: classifier.BuiltinCapabilities(), Providers: providersOf(n.c),
		Policies: n.keeper.Latest(), DraftThreshold: n.c.Proxy.DraftThreshold, Model: n.snapshots.get().Model(), Names: namesIn(n.names.Latest(), ask.Project),
	}
	verdicts, err := reader.Verdicts(ctx, ask.Project)
	if err != nil {
		return nil, err
	}
	for i := range verdicts {
		parts.Evidence = append(parts.Evidence, evidenceIn(evidenceOf(&verdicts[i])))
	}
	for _, l := range ask.Ladders {
		parts.Ladders = slices.DeleteFunc(parts.Ladders, func(have classifier.Ladder) bool { return have.Baseline == l.Baseline })
		parts.Ladders = append(parts.Ladders, l)
	}
	q := whatif.Question{Project: ask.Project, Workload: ask.Workload, From: ask.From, To: ask.To, Thresholds: ask.Thresholds, Parts: parts, Prices: n.book}
	if q.From.IsZero() {
		q.From = time.Unix(0, 0).UTC()
	}
	if q.To.IsZero() {
		q.To = time.Now().UTC().AddDate(0, 0, 1)
	}
	if ask.Workload != "" {
		q.Workload = cmp.Or(n.nameActions().called(ask.Project, ask.Workload), ask.Workload)
	}
	r, err := whatif.Ask(ctx, reader, q)
	var unknown *whatif.UnknownError
	if errors.As(err, &unknown) {
		return nil, dashboards.Unknown(ask.Project, ask.Workload, unknown.Known)
	}
	return r, err
}

func (a *app) whatIfCmd() *cobra.Command {
	var period period
	var thresholds []float64
	var ladders []string
	var workload string
	cmd := &cobra.Command{
		Use:   "whatif",
		Short: "What another ladder or threshold would have saved, and what is known of its quality",
		Long: `Scores the recorded requests again under a policy that never ran, and shows for each
workload what would be saved against what is known of quality. Without flags: the ladder
in use over a grid of thresholds. A projection, labelled by the evidence behind each
point; what supports an activation is a verdict (gnomon report).`,
		Example: `  gnomon whatif --threshold 0.3 --threshold 0.6
  gnomon whatif --ladder openai/gpt-4o=openai/gpt-4.1-mini,openai/gpt-4o-mini --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := whatIfQuery(&period, thresholds, ladders, workload)
			if err != nil {
				return err
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			if a.json {
				return a.raw(cmd, c, "/whatif?"+q.Encode())
			}
			var r whatif.Result
			if err := c.get(cmd.Context(), "/whatif?"+q.Encode(), &r); err != nil {
				return err
			}
			writeWhatIf(a.stdout, &r, len(thresholds) > 0)
			return nil
		},
	}
	period.flags(cmd)
	cmd.Flags().Float64SliceVar(&thresholds, "threshold", nil, "route requests with a score up to this; several with commas (default: a grid)")
	cmd.Flags().StringArrayVar(&ladders, "ladder", nil, "provider/model=provider/cheaper,provider/cheapest instead of the ladder in use; may be repeated")
	cmd.Flags().StringVar(&workload, "workload", "", "only this one")
	return cmd
}

func whatIfQuery(p *period, thresholds []float64, ladders []string, workload string) (url.Values, error) {
	q := url.Values{}
	from, to, err := p.times()
	if err != nil {
		return nil, err
	}
	if p.from != "" {
		q.Set("from", from.Format(time.RFC3339))
	}
	if p.to != "" {
		q.Set("to", to.Format(time.RFC3339))
	}
	for _, t := range thresholds {
		if !(t >= 0 && t <= 1) {
			return nil, fmt.Errorf("%w: --threshold %v: want a score from 0 to 1", errUsage, t)
		}
		q.Add("threshold", strconv.FormatFloat(t, 'g', -1, 64))
	}
	for _, l := range ladders {
		if _, err := whatif.ParseLadder(l); err != nil {
			return nil, fmt.Errorf("%w: --ladder: %w", errUsage, err)
		}
		q.Add("ladder", l)
	}
	if workload != "" {
		q.Set("workload", workload)
	}
	return q, nil
}

// writeWhatIf prints the frontier of each workload; of a grid every second step.
func writeWhatIf(w io.Writer, r *whatif.Result, all bool) {
	if len(r.Workloads) == 0 && len(r.TooFew) > 0 {
		writeTooFew(w, r)
		return
	}
	if len(r.Workloads) == 0 {
		fmt.Fprintf(w, "%s: nothing to say: of %s requests none could go to a cheaper model of the ladder.\n", r.Project, report.Count(int64(r.Requests)))
		return
	}
	simulated := ""
	if r.Simulated {
		simulated = "  SIMULATED"
	}
	fmt.Fprintf(w, "%s: %s requests scored again under policies that never ran.%s\n", r.Project, report.Count(int64(r.Requests)), simulated)
	for i := range r.Workloads {
		f := &r.Workloads[i]
		fmt.Fprintf(w, "\n%s  %s requests, %s a month at the models asked for\n", f.Workload, report.Count(int64(f.Requests)), report.Money(f.BaselineMonth))
		if len(f.Candidates) > 0 {
			fmt.Fprintf(w, "  routed would go to %s\n", strings.Join(f.Candidates, ", "))
		}
		writePoints(w, f, all)
		fmt.Fprintf(w, "  today: %s\n", todayWords(&f.Today))
	}
	fmt.Fprintln(w)
	writeTooFew(w, r)
	for _, note := range r.Notes {
		writeNote(w, note)
	}
}

// writeNote prints a sentence in lines that a terminal holds, those after the first
// further in.
func writeNote(w io.Writer, note string) {
	line := " "
	for word := range strings.FieldsSeq(note) {
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > 120 {
			fmt.Fprintln(w, line)
			line = "   "
		}
		line += " " + word
	}
	fmt.Fprintln(w, line)
}

// writePoints prints the frontier as a table, figures under their units.
func writePoints(w io.Writer, f *whatif.Frontier, all bool) {
	rows := [][]string{{"threshold", "routed", "would save a month, caches cold", "warm", "interval", "quality, all requests", "routes no worse", "evidence"}}
	for k := range f.Points {
		if p := &f.Points[k]; all || p.Draft || k%2 == 1 {
			rows = append(rows, []string{fmt.Sprintf("%.3g%s", p.Threshold, draftMark(p)), routedOf(p), report.Money(p.SavingMonth), report.Money(p.SavingWarm),
				report.MoneyInterval(p.SavingLo, p.SavingHi), qualityOf(p), adequateOf(p), evidenceWords(p)})
		}
	}
	wide := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			wide[i] = max(wide[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			space := strings.Repeat(" ", wide[i]-utf8.RuneCountInString(cell))
			if left := i == 0 || i == len(row)-1; left {
				line.WriteString("  " + cell + space)
			} else {
				line.WriteString("  " + space + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// routedOf is the share that would be routed; a few of many are not nothing.
func routedOf(p *whatif.Point) string {
	if p.Routed > 0 && p.RoutedShare < .005 {
		return "<1 %"
	}
	return fmt.Sprintf("%.0f %%", 100*p.RoutedShare)
}

// writeTooFew says of which workloads nothing is projected.
func writeTooFew(w io.Writer, r *whatif.Result) {
	for _, f := range r.TooFew {
		noun := "requests are"
		if f.Requests == 1 {
			noun = "request is"
		}
		fmt.Fprintf(w, "  %s: %s %s too few to project from: it takes %d.\n", f.Workload, report.Count(int64(f.Requests)), noun, whatif.MinRequests)
	}
}

func draftMark(p *whatif.Point) string {
	if p.Draft {
		return " draft"
	}
	return ""
}

func savingOf(p *whatif.Point) string {
	if p.SavingLo == nil || p.SavingHi == nil {
		return bothEnds(p)
	}
	return bothEnds(p) + " " + report.MoneyInterval(p.SavingLo, p.SavingHi)
}

// bothEnds is the saving with the candidates' caches empty and full; one figure
// where they are the same.
func bothEnds(p *whatif.Point) string {
	cold, warm := report.Money(p.SavingMonth), report.Money(p.SavingWarm)
	if cold == warm {
		return cold
	}
	return cold + " / " + warm
}

func adequateOf(p *whatif.Point) string {
	if p.Adequate == nil {
		return "not known"
	}
	return fmt.Sprintf("%.1f %% [%.1f … %.1f]", 100*p.Adequate.Point, 100*p.Adequate.Lo, 100*p.Adequate.Hi)
}

func qualityOf(p *whatif.Point) string {
	if p.Quality == nil {
		return "not known"
	}
	tenth := func(v float64) string { return strings.TrimSuffix(report.Points(v), " pp") }
	return fmt.Sprintf("%s pp [%s … %s]", tenth(p.Quality.Point), tenth(p.Quality.Lo), tenth(p.Quality.Hi))
}

func evidenceWords(p *whatif.Point) string {
	if p.Routed == 0 {
		return "nothing is routed"
	}
	switch p.Evidence {
	case whatif.Nothing:
		return "no graded pair: the classifier's score alone"
	case whatif.Partly:
		return fmt.Sprintf("pairs for %.0f %% of the routed", 100*p.Covered)
	case whatif.Interpolated, whatif.Assumed:
		text := fmt.Sprintf("%s: %s pairs for %.0f %%, %.0f %% between them", p.Evidence, report.Count(int64(p.Pairs)), 100*p.Covered, 100*p.Between)
		if p.Below > 0 {
			text += fmt.Sprintf(", %.0f %% below all of them", 100*p.Below)
		}
		return text
	}
	return report.Count(int64(p.Pairs)) + " pairs"
}

func todayWords(p *whatif.Point) string {
	if p.Mode != schemas.ModeCanary && p.Mode != schemas.ModeLive {
		return string(p.Mode) + ": every request goes to the model it asks for."
	}
	text := fmt.Sprintf("%s, threshold %.3g, %.3g %% of the sessions: saves %s a month, quality %s.", p.Mode, p.Threshold, 100*p.Treated, savingOf(p), qualityOf(p))
	for _, held := range []struct {
		n   uint64
		why string
	}{{p.HeldEvidence, "for want of evidence"}, {p.HeldNovel, "as novel"}} {
		if held.n > 0 {
			text += fmt.Sprintf(" %s requests it would move are held %s.", report.Count(int64(held.n)), held.why)
		}
	}
	return text
}
