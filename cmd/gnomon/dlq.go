package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/internal/pipeline"
)

func (a *app) dlqCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Dead letters: the records that could not be taken in, and why",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(a.dlqListCmd(), a.dlqShowCmd(), a.dlqRetryCmd())
	return cmd
}

// letter is a dead letter as it is printed.
type letter struct {
	ID      string            `json:"id"`
	Topic   string            `json:"topic"`
	From    string            `json:"from"`
	At      time.Time         `json:"at"`
	Reason  string            `json:"reason"`
	Retried *time.Time        `json:"retried,omitempty"`
	Bytes   int               `json:"bytes"`
	Cut     int               `json:"bytes_missing,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Key     string            `json:"key,omitempty"`
	Value   string            `json:"value,omitempty"`
}

func printable(l *pipeline.DeadLetter, whole bool) letter {
	out := letter{ID: l.ID, Topic: l.Topic, From: l.From, At: l.At.UTC(), Reason: l.Reason, Bytes: l.Bytes, Cut: l.Cut}
	if !l.Retried.IsZero() {
		at := l.Retried.UTC()
		out.Retried = &at
	}
	if whole {
		out.Key, out.Value, out.Headers = string(l.Message.Key), string(l.Message.Value), map[string]string{}
		for _, h := range l.Message.Headers {
			out.Headers[h.Key] = string(h.Value)
		}
	}
	return out
}

// letters reads the dead letters; name may leave out what all topics share.
func (a *app) letters(cmd *cobra.Command, name string) ([]pipeline.DeadLetter, pipeline.Config, error) {
	c, err := a.config()
	if err != nil {
		return nil, pipeline.Config{}, err
	}
	cfg := clientConfig(c)
	topic := ""
	for _, t := range pipeline.LetterTopics() {
		if name == t || "gnomon."+name == t || "gnomon."+name+".v1" == t {
			topic = t
		}
	}
	if name != "" && topic == "" {
		return nil, cfg, fmt.Errorf("%w: --topic %s: want one of %s", errUsage, name, strings.Join(pipeline.LetterTopics(), ", "))
	}
	all, err := pipeline.DeadLetters(cmd.Context(), cfg, topic)
	if err != nil {
		return nil, cfg, fmt.Errorf("%w\n  the broker is at %v: start gnomon serve, or look at kafka.brokers", err, cfg.Brokers)
	}
	return all, cfg, nil
}

func (a *app) dlqListCmd() *cobra.Command {
	var topic string
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead letters that were not sent again yet",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			letters, _, err := a.letters(cmd, topic)
			if err != nil {
				return err
			}
			shown := []letter{}
			for i := range letters {
				if all || letters[i].Retried.IsZero() {
					shown = append(shown, printable(&letters[i], false))
				}
			}
			if a.json {
				return a.printJSON(shown)
			}
			if len(shown) == 0 {
				fmt.Fprintln(a.stdout, "No dead letters.")
				return nil
			}
			w := tabwriter.NewWriter(a.stdout, 2, 0, 2, ' ', 0)
			fmt.Fprintln(w, "ID\tSINCE\tBYTES\tREASON")
			for _, l := range shown {
				reason := l.Reason
				if l.Retried != nil {
					reason = "(sent again " + l.Retried.Format(time.DateTime) + ") " + reason
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%.120s\n", l.ID, l.At.Format(time.DateTime), l.Bytes, oneLine(reason))
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&topic, "topic", "", "of one topic only (requests, evaluations, …)")
	cmd.Flags().BoolVar(&all, "all", false, "also those that were sent again")
	return cmd
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

func (a *app) dlqShowCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Show one dead letter: why it is there, its headers, its bytes",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, cfg, err := a.letter(cmd, args[0])
			if err == nil {
				err = pipeline.ReadLetter(cmd.Context(), cfg, l)
			}
			if err != nil {
				return err
			}
			p := printable(l, true)
			if a.json {
				return a.printJSON(p)
			}
			fmt.Fprintf(a.stdout, "%s\n  topic    %s (partition:offset %s)\n  since    %s\n  reason   %s\n", p.ID, p.Topic, p.From, p.At.Format(time.RFC3339), oneLine(p.Reason))
			if p.Retried != nil {
				fmt.Fprintf(a.stdout, "  retried  %s\n", p.Retried.Format(time.RFC3339))
			}
			if p.Cut > 0 {
				fmt.Fprintf(a.stdout, "  cut      %d bytes of the value are missing\n", p.Cut)
			}
			for _, h := range l.Message.Headers {
				fmt.Fprintf(a.stdout, "  header   %s: %s\n", oneLine(h.Key), oneLine(string(h.Value)))
			}
			value := p.Value
			if !utf8.ValidString(value) {
				value = fmt.Sprintf("%q", value)
			}
			fmt.Fprintf(a.stdout, "\n%s\n", value)
			return nil
		},
	}
}

// letter finds one by its id.
func (a *app) letter(cmd *cobra.Command, id string) (*pipeline.DeadLetter, pipeline.Config, error) {
	topic, _, _ := strings.Cut(id, ":")
	letters, cfg, err := a.letters(cmd, topic)
	if err != nil {
		return nil, cfg, err
	}
	for i := range letters {
		if letters[i].ID == id {
			return &letters[i], cfg, nil
		}
	}
	return nil, cfg, fmt.Errorf("%w: %s; gnomon dlq list --all shows those there are", pipeline.ErrNoLetter, id)
}

func (a *app) dlqRetryCmd() *cobra.Command {
	var topic, file string
	var all bool
	cmd := &cobra.Command{
		Use:   "retry ID | --all",
		Short: "Send a dead letter's record to its topic again, after what stood in its way is mended",
		Example: `  gnomon dlq retry gnomon.requests.v1:0:17
  gnomon dlq show --json gnomon.requests.v1:0:17 | jq -r .value > event.json    # mend it, then
  gnomon dlq retry gnomon.requests.v1:0:17 --value event.json
  gnomon dlq retry --all --topic requests        # after an upgrade`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) || all && file != "" {
				return fmt.Errorf("%w: give one ID, or --all; --value goes with an ID", errUsage)
			}
			var value []byte
			if file != "" {
				raw, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				value = raw
			}
			var chosen []pipeline.DeadLetter
			var cfg pipeline.Config
			if all {
				letters, c, err := a.letters(cmd, topic)
				if err != nil {
					return err
				}
				cfg = c
				for _, l := range letters {
					if l.Retried.IsZero() && l.Cut == 0 {
						chosen = append(chosen, l)
					}
				}
			} else {
				l, c, err := a.letter(cmd, args[0])
				if err != nil {
					return err
				}
				cfg, chosen = c, append(chosen, *l)
			}
			return a.retry(cmd, cfg, chosen, value)
		},
	}
	cmd.Flags().StringVar(&topic, "topic", "", "with --all: of one topic only")
	cmd.Flags().BoolVar(&all, "all", false, "all that were not sent again yet and are whole")
	cmd.Flags().StringVar(&file, "value", "", "file with the record as it should have been")
	return cmd
}

func (a *app) retry(cmd *cobra.Command, cfg pipeline.Config, letters []pipeline.DeadLetter, value []byte) (err error) {
	pub, err := pipeline.NewPublisher(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pub.Close()) }()
	ids := []string{}
	for _, l := range letters {
		if err := pipeline.RetryLetter(cmd.Context(), pub, l, value); err != nil {
			return err
		}
		ids = append(ids, l.ID)
	}
	if a.json {
		return json.NewEncoder(a.stdout).Encode(map[string]any{"sent_again": ids})
	}
	fmt.Fprintf(a.stdout, "%d sent again. What still cannot be taken in comes back as a new letter: gnomon dlq list\n", len(ids))
	return nil
}
