package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/savings"
	"github.com/gnomon-llm/gnomon/schemas"
)

// Fields are what a row says of its decision, in the order of Recorded.Said.
var Fields = [...]string{
	"would_route", "candidates", "rejects", "baseline_reject", "expected_cost", "evidence_state", "p_adequate", "held", "mode", "policy_version", // what was decided
	"workload", "request_model", "dialect", "operation", "arm", "bypassed", "gates", "task_class", "score", "novelty", "classifier_version", "prompt_hash", // by what
}

// Recorded is one decision of the log.
type Recorded struct {
	RequestID uuid.UUID
	Ts        time.Time
	Snapshot  uint64 // hash of what decided
	Inputs    string // packed
	// Said are the values of Fields, each with a zero byte after it: lists with
	// a space between, money in nano-USD or "unpriced", floats by their bits.
	Said string
	// Served is where a request went that did not go to its baseline, as
	// provider/model; else empty.
	Served string
}

// Log is the store as replay reads it.
type Log interface {
	// Decisions calls fn for every row of a period that is not lost, in any order.
	// fn keeps nothing of what it is given.
	Decisions(ctx context.Context, project string, from, to time.Time, fn func(*Recorded) error) error
	// Kept returns what was kept under a hash.
	Kept(ctx context.Context, kind string, hash uint64) (schemas.SnapshotRecord, bool, error)
}

// Difference is a decision that does not follow from its inputs.
type Difference struct {
	RequestID string    `json:"request_id"`
	Ts        time.Time `json:"ts"`
	Fields    []Field   `json:"fields"`
}

// Field is one value that differs.
type Field struct {
	Field    string `json:"field"`
	Recorded string `json:"recorded"`
	Decided  string `json:"decided"`
}

// Reason counts the rows that cannot be replayed for one reason.
type Reason struct {
	Why       string `json:"why"`
	Decisions uint64 `json:"decisions"`
}

// Result is what was found.
type Result struct {
	Project string    `json:"project"`
	From    time.Time `json:"from"` // of the period asked for
	To      time.Time `json:"to"`

	Decisions     uint64   `json:"decisions"`      // taken again
	Differing     uint64   `json:"differing"`      // of them, not as recorded
	NotReplayable uint64   `json:"not_replayable"` // beside them; Reasons says why
	Reasons       []Reason `json:"reasons"`
	Snapshots     int      `json:"snapshots"` // that decided
	// OtherWeights are decisions taken again from an assessment that cannot be
	// made again: this build has other features, or the weights were not kept.
	OtherWeights uint64 `json:"other_weights"`

	Assessments Assessments  `json:"assessments"`
	Differences []Difference `json:"differences"` // the first few
	Seconds     float64      `json:"seconds"`
}

// Differs reports whether anything was found that is not as recorded.
func (r *Result) Differs() bool { return r.Differing+r.Assessments.Differing > 0 }

// Nothing reports whether there were decisions and none could be taken again: no
// news, and not good news.
func (r *Result) Nothing() bool { return r.Decisions == 0 && r.NotReplayable > 0 }

// shown bounds the list of differences.
const shown = 20

// Run takes the decisions of a period again. An error means that the log could
// not be read; differences are a result.
func Run(ctx context.Context, log Log, project string, from, to time.Time) (*Result, error) {
	began := time.Now()
	r := &Result{Project: project, From: from, To: to, Reasons: []Reason{}, Differences: []Difference{}}
	p := player{ctx: ctx, log: log, result: r, snapshots: map[uint64]*source{}, models: builtinModels(), books: map[uint64]*savings.Book{}, why: map[string]int{}}
	if err := log.Decisions(ctx, project, from, to, p.play); err != nil {
		return nil, err
	}
	r.Snapshots, r.Seconds = len(p.snapshots), time.Since(began).Seconds()
	return r, nil
}

// source is a snapshot that decided, or why there is none.
type source struct {
	snapshot *classifier.Snapshot
	why      string
	assesses bool
}

type player struct {
	ctx       context.Context
	log       Log
	result    *Result
	snapshots map[uint64]*source
	models    map[uint64]*classifier.Model // by the hash of their weights; nil where these were not kept
	books     map[uint64]*savings.Book
	why       map[string]int
	in        classifier.Inputs
	packed    []byte
	said      []byte
}

// play takes one decision again.
func (p *player) play(row *Recorded) error {
	if len(row.Inputs) == 0 {
		return p.not("no inputs were recorded")
	}
	src, err := p.source(row.Snapshot)
	if err != nil {
		return err
	}
	if src.snapshot == nil {
		return p.not(src.why)
	}
	p.packed = append(p.packed[:0], row.Inputs...)
	if err := p.in.UnmarshalBinary(p.packed); err != nil {
		return p.not("the inputs cannot be read by this build: " + err.Error())
	}
	r := p.result
	r.Decisions++
	if !src.assesses || p.in.Assessment.Version != 0 && p.in.Assessment.Version != classifier.Version {
		r.OtherWeights++
	}
	d := decide(&p.in, src.snapshot, row.Said)
	p.said = appendSaid(p.said[:0], &p.in, &d)
	moved := row.Served != "" && (!d.Act || row.Served != d.Route)
	if !moved && string(p.said) == row.Said {
		return nil
	}
	r.Differing++
	if len(r.Differences) < shown {
		r.Differences = append(r.Differences, Difference{row.RequestID.String(), row.Ts, differing(row, p.said, moved, &d)})
	}
	return nil
}

// decide is Decide, but where the row says that the classifier failed: no inputs
// tell that, and what was recorded then is Refused.
func decide(in *classifier.Inputs, s *classifier.Snapshot, said string) classifier.Decision {
	if failed.in(said) {
		return classifier.Refused(in, s, schemas.RejectClassifier)
	}
	return classifier.Decide(in, s)
}

// value is a field's value as Said has it.
type value struct {
	field int
	text  string
}

var failed = value{3, strconv.Itoa(int(schemas.RejectClassifier))} // baseline_reject

func (v value) in(said string) bool {
	for range v.field {
		_, said, _ = strings.Cut(said, "\x00")
	}
	text, _, _ := strings.Cut(said, "\x00")
	return text == v.text
}

// not counts a row that cannot be replayed.
func (p *player) not(why string) error {
	r := p.result
	r.NotReplayable++
	i, ok := p.why[why]
	if !ok {
		i = len(r.Reasons)
		p.why[why] = i
		r.Reasons = append(r.Reasons, Reason{Why: why})
	}
	r.Reasons[i].Decisions++
	return nil
}

// patience is how long a snapshot is waited for that the store does not have: it
// may be on its way.
var patience = 5 * time.Second

// source finds the snapshot that decided.
func (p *player) source(hash uint64) (*source, error) {
	if src, ok := p.snapshots[hash]; ok {
		return src, nil
	}
	src, err := p.open(hash)
	if err != nil {
		return nil, err
	}
	p.snapshots[hash] = src
	return src, nil
}

func (p *player) open(hash uint64) (*source, error) {
	record, found, err := p.kept(schemas.KindSnapshot, hash)
	if err != nil {
		return nil, err
	}
	if !found {
		return &source{why: fmt.Sprintf("the snapshot that decided, %016x, was not kept", hash)}, nil
	}
	var sealed classifier.Sealed
	if err := json.Unmarshal(record.Record, &sealed); err != nil {
		return &source{why: fmt.Sprintf("snapshot %016x cannot be read by this build: %v", hash, err)}, nil
	}
	if sealed.Hash != hash {
		return &source{why: fmt.Sprintf("what was kept as snapshot %016x is another: %016x", hash, sealed.Hash)}, nil
	}
	var prices classifier.Pricer
	if sealed.Prices != 0 {
		book, why, err := p.book(sealed.Prices)
		if err != nil {
			return nil, err
		}
		if book == nil {
			return &source{why: why}, nil
		}
		prices = book
	}
	s, err := sealed.Open(prices)
	if err != nil {
		return &source{why: fmt.Sprintf("snapshot %016x: %v", hash, err)}, nil
	}
	model, err := p.assessedBy(&sealed)
	if err != nil {
		return nil, err
	}
	return &source{snapshot: s, assesses: model != nil}, nil
}

// book finds the price book that a snapshot names.
func (p *player) book(hash uint64) (*savings.Book, string, error) {
	if b, ok := p.books[hash]; ok {
		return b, "", nil
	}
	record, found, err := p.kept(schemas.KindPriceBook, hash)
	if err != nil {
		return nil, "", err
	}
	if !found {
		return nil, fmt.Sprintf("the price book %016x was not kept", hash), nil
	}
	b := &savings.Book{}
	if err := json.Unmarshal(record.Record, b); err != nil {
		return nil, fmt.Sprintf("the price book %016x: %v", hash, err), nil
	}
	if b.Hash() != hash {
		return nil, fmt.Sprintf("what was kept as price book %016x is another: %016x", hash, b.Hash()), nil
	}
	p.books[hash] = b
	return b, "", nil
}

// kept asks the store until it has the record, for as long as patience lasts.
func (p *player) kept(kind string, hash uint64) (r schemas.SnapshotRecord, found bool, err error) {
	for end := time.Now().Add(patience); ; {
		if r, found, err = p.log.Kept(p.ctx, kind, hash); found || err != nil || time.Now().After(end) {
			return r, found, err
		}
		select {
		case <-p.ctx.Done():
			return r, false, p.ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// appendSaid appends a decision as Said has it.
func appendSaid(b []byte, in *classifier.Inputs, d *classifier.Decision) []byte {
	text := func(s string) { b = append(append(b, s...), 0) }
	number := func(n uint64) { b = append(strconv.AppendUint(b, n, 10), 0) }
	text(d.Route)
	for i, c := range d.Candidates {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, c...)
	}
	b = append(b, 0)
	for i, r := range d.Rejects {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendUint(b, uint64(r), 10)
	}
	b = append(b, 0)
	number(uint64(d.BaselineReject))
	if d.Expected.Known {
		b = append(strconv.AppendInt(b, int64(d.Expected.Nano), 10), 0)
	} else {
		text(Unpriced)
	}
	text(string(d.Evidence))
	if d.Adequate.Known {
		number(uint64(math.Float32bits(float32(d.Adequate.P) / math.MaxUint16)))
	} else {
		text("")
	}
	text(string(d.Held))
	text(string(d.Mode))
	number(uint64(d.PolicyVersion))
	text(in.Workload)
	text(in.RequestModel)
	text(in.Dialect)
	text(in.Operation)
	text(string(in.Arm))
	if in.Bypassed {
		text("1")
	} else {
		text("0")
	}
	number(uint64(in.Features.Gates))
	text(in.Assessment.Task.String())
	number(uint64(math.Float32bits(float32(in.Assessment.Score) / math.MaxUint16)))
	number(uint64(math.Float32bits(float32(in.Assessment.Novelty) / math.MaxUint16)))
	number(uint64(in.Assessment.Version))
	number(in.Features.PromptHash)
	return b
}

// Unpriced stands for an amount that is not known.
const Unpriced = "unpriced"

// differing lists the fields in which two accounts of a decision differ.
func differing(row *Recorded, decided []byte, moved bool, d *classifier.Decision) []Field {
	a, b := strings.Split(row.Said, "\x00"), strings.Split(string(decided), "\x00")
	fields := []Field{}
	for i, name := range Fields {
		was, is := "", ""
		if i < len(a) {
			was = a[i]
		}
		if i < len(b) {
			is = b[i]
		}
		if was != is {
			fields = append(fields, Field{name, was, is})
		}
	}
	if moved {
		is := "the baseline"
		if d.Act {
			is = d.Route
		}
		fields = append(fields, Field{"served", strings.Clone(row.Served), is})
	}
	return fields
}
