package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/classifier/training"
)

// trainCmd fits weights on graded rows.
func (a *app) trainCmd() *cobra.Command {
	o := training.Defaults()
	var out string
	cmd := &cobra.Command{
		Use:   "train FILE…",
		Short: "Fit the classifier's weights on graded rows",
		Long: `Reads graded rows as JSON Lines, gzipped or not: prompt, strong_score and weak_score (0 to 1
each); and where there are, source (rows of one pair of models), group (joins near-duplicates) and
scores (of every model). Writes a file of weights for gnomon assess --weights. The same rows and
seed give the same bytes. What is printed was measured on groups of rows that the fit had not seen,
beside what the shipped weights say of the same rows.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
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
			file := w.Encode()
			m, err := classifier.ReadWeights(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(out, file, 0o644); err != nil {
				return fmt.Errorf("weights: %w", err)
			}
			fmt.Fprintf(a.stdout, "%s: %d bytes, fitted on %d rows, hash %016x\n", out, len(file), len(rows), m.Hash())
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "weights.bin", "file to write")
	cmd.Flags().Uint64Var(&o.Seed, "seed", o.Seed, "of the folds")
	return cmd
}
