package training

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Row is a prompt that a strong and a weak model answered, both graded.
type Row struct {
	ID          string             `json:"id"`
	Source      string             `json:"source"`
	Workload    string             `json:"workload"`
	Prompt      string             `json:"prompt"`
	Group       string             `json:"group"` // joins near-duplicates; the prompt itself when empty
	StrongScore float64            `json:"strong_score"`
	WeakScore   float64            `json:"weak_score"`
	Scores      map[string]float64 `json:"scores"` // of every model that was graded, where there are more
}

// Gain is what the strong model's answer is worth more, from −1 to 1.
func (r *Row) Gain() float64 { return r.StrongScore - r.WeakScore }

// Adequate says whether the weak model's answer was no worse.
func (r *Row) Adequate() bool { return r.WeakScore >= r.StrongScore }

// ReadFiles reads graded rows, JSON Lines, gzipped or not, in the order of the
// sorted file names.
func ReadFiles(names ...string) ([]Row, error) {
	names = slices.Clone(names)
	slices.SortFunc(names, func(a, b string) int {
		return bytes.Compare([]byte(filepath.Base(a)+"\x00"+a), []byte(filepath.Base(b)+"\x00"+b))
	})
	var all []Row
	for _, name := range names {
		rows, err := readFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

func readFile(name string) ([]Row, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("graded rows: %w", err)
	}
	defer func() { _ = f.Close() }()
	var in io.Reader = bufio.NewReader(f)
	if head, _ := in.(*bufio.Reader).Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		if in, err = gzip.NewReader(in); err != nil {
			return nil, fmt.Errorf("graded rows: %s: %w", name, err)
		}
	}
	rows, err := Read(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rows, nil
}

// Read reads graded rows as JSON Lines. A row needs a prompt and both scores.
func Read(in io.Reader) ([]Row, error) {
	var rows []Row
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		var graded struct {
			Row
			Strong *float64 `json:"strong_score"`
			Weak   *float64 `json:"weak_score"`
		}
		if err := json.Unmarshal(line, &graded); err != nil {
			return nil, fmt.Errorf("graded rows: line %d: %w", n, err)
		}
		if graded.Strong == nil || graded.Weak == nil {
			return nil, fmt.Errorf("graded rows: line %d lacks strong_score or weak_score (0 to 1 each)", n)
		}
		r := graded.Row
		r.StrongScore, r.WeakScore = *graded.Strong, *graded.Weak
		for _, s := range []float64{r.StrongScore, r.WeakScore} {
			if !(s >= 0 && s <= 1) {
				return nil, fmt.Errorf("graded rows: line %d: the score %v is not between 0 and 1", n, s)
			}
		}
		if r.Group == "" {
			r.Group = r.Prompt
		}
		rows = append(rows, r)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("graded rows: %w", err)
	}
	return rows, nil
}

// ChatBody is the request that a bare prompt would be: what is assessed when
// rows are, so that training and proxy read with the same code.
func ChatBody(prompt string) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	out.WriteString(`{"model":"m","messages":[{"role":"user","content":`)
	if err := enc.Encode(prompt); err != nil {
		panic("a string has no JSON: " + err.Error()) // it always has
	}
	out.Truncate(out.Len() - 1) // the encoder's newline
	out.WriteString(`}]}`)
	return out.Bytes()
}
