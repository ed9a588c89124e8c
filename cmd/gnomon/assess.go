package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/analyzer/calibration"
	"github.com/gnomon-llm/gnomon/analyzer/familiar"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/classifier/training"
	"github.com/gnomon-llm/gnomon/schemas"
)

// assessCmd asks the classifier alone, with the very code of the proxy.
func (a *app) assessCmd() *cobra.Command {
	var input, weights, evidence string
	cmd := &cobra.Command{
		Use:   "assess [FILE]",
		Short: "Assess prompts: JSON Lines in (id, workload, prompt or request), JSON Lines out",
		Long: `Reads one JSON object a line: id, workload, and either prompt (text) or request (the body
as a client would send it, with dialect where it is not openai.chat). Writes one a line, in
the same order: id, score (0 to 1: how much the strong model is needed), p_adequate (that the
cheaper model's answer is no worse), novelty and task_class.

--evidence FILE takes graded pairs (workload, prompt or request, strong_score, weak_score;
probability where they were sampled, session where several are of one): each workload's level
and slope are then estimated from them, drawn towards what all have in common. p_adequate is
then what a proxy would record with these pairs behind it (of a workload without pairs, which
a proxy leaves open: what all have in common), score half of one plus the expected gain, and
novelty how unlike the workload's graded prompts a prompt is: above .5 a proxy would not
act on it.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if len(args) > 0 {
				if cmd.Flags().Changed("input") {
					return fmt.Errorf("%w: give the file as an argument or as --input, not both", errUsage)
				}
				input = args[0]
			}
			var as assessor
			if as.model, err = readWeights(weights); err != nil {
				return err
			}
			if evidence != "" {
				if err := as.learn(evidence); err != nil {
					return err
				}
			}
			in, done, err := openInput(input)
			if err != nil {
				return err
			}
			defer done()
			return as.run(in, a.stdout)
		},
	}
	cmd.Flags().StringVar(&input, "input", "-", "the same as FILE: JSON Lines; - is standard input")
	cmd.Flags().StringVar(&weights, "weights", "", "file of weights (gnomon train); default: the shipped ones")
	cmd.Flags().StringVar(&evidence, "evidence", "", "file of graded pairs, JSON Lines, to calibrate workloads by")
	return cmd
}

// readWeights reads a file of weights; no name is the shipped ones.
func readWeights(name string) (*classifier.Model, error) {
	if name == "" {
		return classifier.Builtin(), nil
	}
	file, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("weights: %w", err)
	}
	m, err := classifier.ReadWeights(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

func openInput(name string) (io.Reader, func(), error) {
	if name == "" || name == "-" {
		return os.Stdin, func() {}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: FILE or --input: %w", errUsage, err)
	}
	return f, func() { _ = f.Close() }, nil
}

// assessor assesses lines, calibrated where there is evidence.
type assessor struct {
	model    *classifier.Model
	gain     *calibration.Model // nil without evidence
	adequate calibration.Adequacies
	profiles map[string]*schemas.Profile
}

// asked is one line of input.
type asked struct {
	ID       json.RawMessage `json:"id"`
	Workload string          `json:"workload"`
	Prompt   *string         `json:"prompt"`
	Request  json.RawMessage `json:"request"`
	Dialect  string          `json:"dialect"`

	Strong      *float64 `json:"strong_score"`
	Weak        *float64 `json:"weak_score"`
	Probability float64  `json:"probability"`
	Session     string   `json:"session"`
}

// answered is one line of output.
type answered struct {
	ID        json.RawMessage `json:"id"`
	Score     float64         `json:"score"`
	PAdequate float64         `json:"p_adequate"`
	Novelty   float64         `json:"novelty"`
	TaskClass string          `json:"task_class"`
}

// assess returns what the prompt alone says.
func (as *assessor) assess(q *asked) (f classifier.Features, a classifier.Assessment, err error) {
	body, dialect := []byte(q.Request), q.Dialect
	if string(body) == "null" { // as what a row lacks is often written
		body = nil
	}
	switch {
	case len(body) == 0 && q.Prompt == nil:
		return f, a, errors.New("neither prompt nor request\n  a text goes under \"prompt\", a body as clients send it under \"request\": " +
			`{"id": 1, "workload": "support/triage", "request": {"model": …, "messages": …}}`)
	case len(body) == 0:
		body = training.ChatBody(*q.Prompt)
	case body[0] != '{' && body[0] != '"':
		return f, a, errors.New("the request is neither a JSON object nor the text of one")
	case body[0] == '"': // a request may stand as text, byte for byte as it was sent
		var text string
		if err := json.Unmarshal(body, &text); err != nil {
			return f, a, err
		}
		body = []byte(text)
	}
	if dialect == "" {
		dialect = "openai.chat"
	}
	f, a = as.model.Assess(dialect, body)
	return f, a, nil
}

// share is a figure in 1/65535.
func share(n uint16) float64 { return float64(n) / math.MaxUint16 }

// learn fits the workloads' effects to graded pairs.
func (as *assessor) learn(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("%w: --evidence: %w", errUsage, err)
	}
	defer func() { _ = f.Close() }()
	var gains []calibration.Observation
	var pairs []calibration.Pair
	prompts := map[string][]familiar.Seen{}
	err = eachLine(f, func(q *asked) error {
		if q.Strong == nil || q.Weak == nil {
			return errors.New("a graded pair needs strong_score and weak_score")
		}
		if q.Probability < 0 || q.Probability > 1 {
			return fmt.Errorf("the probability %v is not between 0 and 1", q.Probability)
		}
		f, a, err := as.assess(q)
		if err != nil {
			return err
		}
		prompts[q.Workload] = append(prompts[q.Workload], familiar.Seen{Features: f, Task: a.Task, Cluster: q.Session})
		pairs = append(pairs, calibration.Pair{Group: q.Workload, Score: a.Score, NoWorse: *q.Weak >= *q.Strong, Probability: q.Probability, Session: q.Session})
		o := calibration.Observation{Workload: q.Workload, Prior: share(a.Score), Outcome: *q.Strong - *q.Weak, Cluster: q.Session}
		if q.Probability > 0 {
			o.Weight = 1 / q.Probability
		}
		gains = append(gains, o)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	as.profiles = map[string]*schemas.Profile{}
	for workload, seen := range prompts {
		as.profiles[workload] = familiar.Fit(seen)
	}
	if len(gains) > 0 {
		as.gain, as.adequate = calibration.Fit(gains, training.SteepestGain), calibration.Adequacy(pairs)
	}
	return nil
}

func (as *assessor) run(in io.Reader, out io.Writer) error {
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	err := eachLine(in, func(q *asked) error {
		f, a, err := as.assess(q)
		if err != nil {
			return err
		}
		score, adequate, novelty := share(a.Score), as.model.Adequate(&f, &a), share(a.Novelty)
		if as.gain != nil {
			score = between((1 + as.gain.Predict(q.Workload, score)) / 2)
			adequate = share(as.adequate.At(q.Workload, a.Score))
			novelty = as.novelty(q.Workload, &f, a.Task)
		}
		id := q.ID
		if len(id) == 0 {
			id = json.RawMessage("null")
		}
		return enc.Encode(answered{id, round(score), round(adequate), round(novelty), a.Task.String()})
	})
	return errors.Join(err, w.Flush())
}

// novelty is how unlike its workload's graded prompts a prompt is, from 0 to 1:
// above a half it is novel. Of a workload of which next to nothing is graded
// every prompt is.
func (as *assessor) novelty(workload string, f *classifier.Features, task classifier.TaskClass) float64 {
	p := as.profiles[workload]
	if p == nil {
		return 1
	}
	s, _ := classifier.Strangeness(f, task, p)
	return float64(s) / (float64(s) + float64(max(p.Bound, 1)))
}

func between(p float64) float64 { return max(0, min(p, 1)) }

// round keeps seven digits: more than the 16 bits of a score hold.
func round(v float64) float64 { return math.Round(v*1e7) / 1e7 }

// eachLine reads JSON Lines, empty ones left out.
func eachLine(in io.Reader, f func(*asked) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	n := 1
	for ; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var q asked
		if err := json.Unmarshal(line, &q); err != nil {
			return fmt.Errorf("line %d is no JSON object of the kind wanted (id, workload, prompt or request): %w", n, err)
		}
		if err := f(&q); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n, err)
	}
	return nil
}
