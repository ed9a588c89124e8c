package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/analyzer/report"
	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/internal/replay"
	"github.com/gnomon-llm/gnomon/internal/store"
	"github.com/gnomon-llm/gnomon/proxy"
	"github.com/gnomon-llm/gnomon/schemas"
)

func (a *app) replayCmd() *cobra.Command {
	var period period
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Take the recorded decisions again, and say where they come out otherwise",
		Long: `Takes every decision of the log again, from its recorded inputs and the snapshot that
decided it, and holds the result against what was recorded. Where a request's body is
kept for rehearsal, its assessment is made again, too. Without a period: the whole log.
Ends with status 1 where anything differs. What this build cannot decide as it was
decided then (snapshot gone, other rules) is counted apart, with the reason.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			from, to, err := period.times()
			if err != nil {
				return err
			}
			s, err := store.Open(cmd.Context(), storeOptions(c, readDSN(c), logger(a.stderr, c.Log)))
			if err != nil {
				return storeAway(c, err)
			}
			defer s.Close()
			project := a.projectOfTheRunning(cmd.Context(), c)
			r, err := replay.Run(cmd.Context(), s, project, from, to)
			if err != nil {
				return err
			}
			if err := replay.Reassess(cmd.Context(), r, keptBodies(c), proxy.Reassess, s); err != nil {
				r.Assessments.Note = err.Error()
			}
			return a.printReplay(r)
		},
	}
	period.flags(cmd)
	return cmd
}

// projectOfTheRunning is the project that was named; where none was, that of the
// gnomon that runs here, as the commands that ask it have it.
func (a *app) projectOfTheRunning(ctx context.Context, c *config.Config) string {
	if c.Project != config.Default().Project {
		return c.Project
	}
	s, err := running(ctx, c)
	if err != nil {
		return c.Project
	}
	return s.Project
}

// period is a time from and a time to, as flags.
type period struct{ from, to string }

func (p *period) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.from, "from", "", "from this day or moment on (2026-11-03 or 2026-11-03T12:00:00Z); default: the beginning")
	cmd.Flags().StringVar(&p.to, "to", "", "until before this day or moment; default: now")
}

// times are the bounds; without flags everything the log may hold.
func (p *period) times() (from, to time.Time, err error) {
	if from, err = moment("from", p.from, time.Unix(0, 0)); err != nil {
		return from, to, err
	}
	// Clocks differ: what a proxy that is ahead recorded is there, too.
	if to, err = moment("to", p.to, time.Now().Add(24*time.Hour)); err != nil {
		return from, to, err
	}
	if !to.After(from) {
		return from, to, fmt.Errorf("%w: --to %s is not after --from %s", errUsage, to.Format(time.RFC3339), from.Format(time.RFC3339))
	}
	return from, to, nil
}

func moment(flag, s string, otherwise time.Time) (time.Time, error) {
	if s == "" {
		return otherwise.UTC().Truncate(time.Second), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: --%s %s: want a day (2026-11-03) or a moment (2026-11-03T12:00:00Z)", errUsage, flag, s)
}

// brokerPatience is how long a broker may be silent before its bodies are done
// without.
const brokerPatience = 5 * time.Second

// keptBodies reads the topic of bodies from its first record to its end.
func keptBodies(c *config.Config) replay.Payloads {
	return func(ctx context.Context, fn func(*schemas.Payload) error) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		silent := time.AfterFunc(brokerPatience, func() {
			cancel(fmt.Errorf("bodies were not looked at, or not all: the broker at %v does not answer", brokers(c)))
		})
		defer silent.Stop()
		ended := errors.New("read to the end")
		err := pipeline.FollowLog(ctx, clientConfig(c), schemas.TopicPayloads, pipeline.Follow{
			CaughtUp: func(int64) { cancel(ended) },
			Record: func(m pipeline.Message) {
				silent.Reset(brokerPatience)
				var p schemas.Payload
				if json.Unmarshal(m.Value, &p) != nil || ctx.Err() != nil {
					return // no body of ours: rehearsal passes over it, too
				}
				if err := fn(&p); err != nil {
					cancel(err)
				}
			},
		})
		if err == nil && !errors.Is(context.Cause(ctx), ended) {
			err = context.Cause(ctx)
		}
		return err
	}
}

// printReplay prints what was found, and ends with status 1 where it differs.
func (a *app) printReplay(r *replay.Result) error {
	if a.json {
		raw, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "%s\n", raw)
	} else {
		writeReplay(a.stdout, r)
	}
	if r.Differs() || r.Nothing() {
		return errSilent
	}
	return nil
}

func writeReplay(w io.Writer, r *replay.Result) {
	if r.Decisions+r.NotReplayable == 0 {
		fmt.Fprintf(w, "%s: no decision was recorded in this period.\n", r.Project)
		return
	}
	fmt.Fprintf(w, "%s: %s decisions taken again by the %d snapshots that took them: %s differ.\n", r.Project, report.Count(int64(r.Decisions)), r.Snapshots, report.Count(int64(r.Differing)))
	if r.OtherWeights > 0 {
		fmt.Fprintf(w, "  %s of them rest on an assessment by weights that were not kept, or by another build's features: taken as recorded.\n", report.Count(int64(r.OtherWeights)))
	}
	if r.NotReplayable > 0 {
		fmt.Fprintf(w, "  %s more are not replayable, and are not counted as equal:\n", report.Count(int64(r.NotReplayable)))
		for _, why := range r.Reasons {
			fmt.Fprintf(w, "    %s: %s\n", report.Count(int64(why.Decisions)), why.Why)
		}
	}
	as := r.Assessments
	fmt.Fprintf(w, "  %s kept bodies assessed again: %s differ", report.Count(int64(as.Bodies)), report.Count(int64(as.Differing)))
	if as.NotRemade > 0 {
		fmt.Fprintf(w, "; %s could not be", report.Count(int64(as.NotRemade)))
	}
	if as.Note != "" {
		fmt.Fprintf(w, " (%s)", as.Note)
	}
	fmt.Fprintln(w, ".")
	for _, d := range r.Differences {
		fmt.Fprintf(w, "  %s of %s:\n", d.RequestID, d.Ts.UTC().Format(time.RFC3339))
		for _, f := range d.Fields {
			fmt.Fprintf(w, "    %s: recorded %q, decided %q\n", f.Field, f.Recorded, f.Decided)
		}
	}
	if r.Seconds > 0 {
		fmt.Fprintf(w, "  %.1f s, %s decisions a second.\n", r.Seconds, report.Count(int64(float64(r.Decisions)/r.Seconds)))
	}
}
