package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/classifier/training"
	"github.com/gnomon-llm/gnomon/internal/store"
)

// trainCmd fits weights on graded rows.
func (a *app) trainCmd() *cobra.Command {
	o := training.Defaults()
	var out string
	var fromStore bool
	var period period
	cmd := &cobra.Command{
		Use:   "train FILE… | --from-store",
		Short: "Fit the classifier's weights on graded rows, or on the store's graded pairs",
		Long: `Reads graded rows as JSON Lines, gzipped or not: prompt, strong_score and weak_score (0 to 1
each); and where there are, source (rows of one pair of models), group (joins near-duplicates) and
scores (of every model). Writes a file of weights for gnomon assess --weights and for
classifier.weights. The same rows and seed give the same bytes. What is printed was measured on
groups of rows that the fit had not seen, beside what the shipped weights say of the same rows.

With --from-store the rows are the store's graded pairs (rehearsal, a team's own grades). No prompt
is in the store: words keep the weights in force, and what is fitted is how much the score counts,
the sixteen features and the kind of task. Both are printed side by side, measured on sessions that
the fit had not seen, each pair weighed by the inverse of the probability with which it was sampled;
a file is written only where --out names one.`,
		RunE: func(cmd *cobra.Command, files []string) error {
			switch {
			case fromStore && len(files) > 0:
				return fmt.Errorf("%w: --from-store reads no files", errUsage)
			case fromStore:
				return a.trainFromStore(cmd.Context(), &period, o, out)
			case len(files) == 0:
				return fmt.Errorf("%w: train wants files of graded rows, or --from-store", errUsage)
			}
			if out == "" {
				out = "weights.bin"
			}
			return a.trainFiles(files, o, out)
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write (default weights.bin; with --from-store none)")
	cmd.Flags().Uint64Var(&o.Seed, "seed", o.Seed, "of the folds")
	cmd.Flags().BoolVar(&fromStore, "from-store", false, "fit slope, shape and task to the store's graded pairs")
	period.flags(cmd)
	return cmd
}

func (a *app) trainFiles(files []string, o training.Options, out string) error {
	rows, err := training.ReadFiles(files...)
	if err != nil {
		return err
	}
	o.Progress = a.stdout
	w, err := training.Train(rows, o)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "shipped weights: APGR %.3f of the same rows (too good where they were fitted on them)\n", training.MeanAPGR(rows, classifier.Builtin()))
	return writeWeights(a.stdout, out, w)
}

func writeWeights(say io.Writer, out string, w *classifier.Weights) error {
	file := w.Encode()
	m, err := classifier.ReadWeights(file)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, file, 0o644); err != nil {
		return fmt.Errorf("weights: %w", err)
	}
	fmt.Fprintf(say, "%s: %d bytes, fitted on %d rows, hash %016x\n", out, len(file), w.Rows, m.Hash())
	return nil
}

// trained is what --from-store prints.
type trained struct {
	*training.Comparison
	LeftOut   int    // pairs assessed by other weights or features than those in force
	InForceBy string // hash of the weights in force
	Simulated bool
}

// trainFromStore holds weights fitted to the store's pairs against those in force.
func (a *app) trainFromStore(ctx context.Context, p *period, o training.Options, out string) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	from, to, err := p.times()
	if err != nil {
		return err
	}
	base, err := readWeights(c.Classifier.Weights)
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, storeOptions(c, readDSN(c), logger(a.stderr, c.Log)))
	if err != nil {
		return storeAway(c, err)
	}
	defer s.Close()
	graded, err := s.Graded(ctx, c.Project, from, to)
	if err != nil {
		return err
	}
	said := trained{InForceBy: fmt.Sprintf("%016x", base.Hash())}
	pairs := pairsOf(graded, base, &said)
	var w *classifier.Weights
	if said.Comparison, w, err = training.Refit(pairs, base, o); err != nil {
		return fmt.Errorf("%w (%d more were assessed by other weights than those in force, %s)", err, said.LeftOut, said.InForceBy)
	}
	if a.json {
		raw, err := json.MarshalIndent(said.plain(), "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s\n", raw)
	} else {
		said.write(a.stdout)
	}
	if out == "" {
		return nil
	}
	say := a.stdout
	if a.json {
		say = a.stderr
	}
	return writeWeights(say, out, w)
}

// pairsOf unpacks what was recorded, where the weights in force assessed it:
// only then does the score say what they say.
func pairsOf(graded []store.GradedInputs, base *classifier.Model, said *trained) (pairs []training.Pair) {
	for i := range graded {
		g := &graded[i]
		var in classifier.Inputs
		if g.Model != base.Hash() || in.UnmarshalBinary([]byte(g.Inputs)) != nil || in.Assessment.Version != classifier.Version {
			said.LeftOut++
			continue
		}
		said.Simulated = said.Simulated || g.Simulated
		pairs = append(pairs, training.Pair{Workload: g.Workload, RequestModel: g.RequestModel, Candidate: g.Candidate, Cluster: g.Cluster, Probability: g.Probability,
			Baseline: g.Baseline, Cheap: g.Cheap, Features: in.Features, Assessment: in.Assessment})
	}
	training.SortPairs(pairs)
	return pairs
}

// better says whether the fit is better beyond doubt.
func (t *trained) better() bool { return t.BetterLo > 0 }

func (t *trained) write(w io.Writer) {
	simulated := ""
	if t.Simulated {
		simulated = "  SIMULATED"
	}
	fmt.Fprintf(w, "%s graded pairs of %d workloads and candidates, %s sessions%s. Prompts are not in the store: words keep their weights.\n",
		report.Count(int64(t.Pairs)), t.Cells, report.Count(int64(t.Clusters)), simulated)
	if t.LeftOut > 0 {
		fmt.Fprintf(w, "%s more were assessed by other weights or features and are left out.\n", report.Count(int64(t.LeftOut)))
	}
	fmt.Fprintf(w, "\nOn sessions that no fit had seen        ranks within   over all   squared error\n")
	line := func(name string, c training.Compared) {
		off := fmt.Sprintf("%.3f", c.Error)
		if math.IsNaN(c.Error) {
			off = "–"
		}
		fmt.Fprintf(w, "  %-36s        %.3f      %.3f   %13s\n", name, c.Within, c.All, off)
	}
	line("weights in force", t.InForce)
	line("  with each workload's level and slope", t.Levelled)
	line("fitted: slope, shape, kind of task", t.Anew)
	fmt.Fprintf(w, "  Ranks: how often a pair whose cheap answer was worse stands above one whose was not; chance is .500.\n\n")
	fmt.Fprintf(w, "Within workloads the fit ranks by %+.3f [%+.3f … %+.3f] better: ", t.Better, t.BetterLo, t.BetterHi)
	if t.better() {
		fmt.Fprintln(w, "try it with gnomon assess --weights, then classifier.weights.")
	} else {
		fmt.Fprintln(w, "not beyond doubt. Keep the weights in force.")
	}
}

// plain is the comparison for machines; what is not known is null.
func (t *trained) plain() map[string]any {
	figures := func(c training.Compared) map[string]any {
		return map[string]any{"ranks_within": finite(c.Within), "ranks_over_all": finite(c.All), "squared_error": finite(c.Error)}
	}
	return map[string]any{
		"pairs": t.Pairs, "cells": t.Cells, "sessions": t.Clusters, "left_out": t.LeftOut, "simulated": t.Simulated, "weights_in_force": t.InForceBy,
		"in_force": figures(t.InForce), "levelled": figures(t.Levelled), "fitted": figures(t.Anew), "slope": t.Slope, "penalty": t.Penalty,
		"better": finite(t.Better), "better_interval": []any{finite(t.BetterLo), finite(t.BetterHi)}, "better_beyond_doubt": t.better(),
	}
}

func finite(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return v
}
