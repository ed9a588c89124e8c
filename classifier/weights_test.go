package classifier

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// gradedPrompts returns the prompts of the reference data, or skips.
func gradedPrompts(t testing.TB) (prompts []string) {
	t.Helper()
	for _, root := range []string{os.Getenv("GNOMON_REFERENCE"), "../../shared"} {
		files, _ := filepath.Glob(filepath.Join(root, "data/graded/*.jsonl.gz"))
		if root == "" || len(files) == 0 {
			continue
		}
		for _, name := range files {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			zip, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			dec := json.NewDecoder(zip)
			for {
				var row struct{ Prompt string }
				if err := dec.Decode(&row); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatal(err)
				}
				prompts = append(prompts, row.Prompt)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return prompts
	}
	t.Skip("no reference data: set GNOMON_REFERENCE to its folder")
	return nil
}

func chatBody(t testing.TB, prompt string) []byte {
	t.Helper()
	text, err := json.Marshal(prompt)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Appendf(nil, `{"model":"gpt-4o","messages":[{"role":"user","content":%s}]}`, text)
}

func TestWeightsAreReadAsTheyWereWritten(t *testing.T) {
	if len(shipped) > 1<<20 {
		t.Errorf("the weights have %d bytes, more than 1 MiB", len(shipped))
	}
	again, err := ReadWeights(builtin.w.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if again.hash != builtin.hash || again.w.Encode() == nil || *again.w != *builtin.w {
		t.Error("other weights came back")
	}
	for name, file := range map[string][]byte{"nothing": nil, "cut short": shipped[:len(shipped)-1], "a byte more": append(append([]byte{}, shipped...), 0)} {
		if _, err := ReadWeights(file); !errors.Is(err, ErrWeights) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnyByteOfTheWeightsIsNoticed changes one byte at a time, all over the file.
func TestAnyByteOfTheWeightsIsNoticed(t *testing.T) {
	file := append([]byte{}, shipped...)
	for at := 0; at < len(file); at += 211 {
		file[at] ^= 1
		if _, err := ReadWeights(file); !errors.Is(err, ErrWeights) {
			t.Fatalf("byte %d: %v", at, err)
		}
		file[at] ^= 1
	}
	changed := *builtin.w
	changed.Words[12345]++
	if m, err := ReadWeights(changed.Encode()); err != nil || m.Hash() == builtin.Hash() {
		t.Errorf("one weight changed, and the hash is the same (%v)", err)
	}
}

func TestScoreIsAShareOfThePrompts(t *testing.T) {
	k := builtin.w.Knots
	if builtin.rank(math.MinInt32) != 0 || builtin.rank(math.MaxInt32) != math.MaxUint16 {
		t.Error("the ends are not 0 and 1")
	}
	last := uint16(0)
	for gain := int64(k[0]) - 1000; gain < int64(k[knots])+1000; gain += 97 {
		s := builtin.rank(gain)
		if s < last {
			t.Fatalf("gain %d has score %d, less gain has %d", gain, s, last)
		}
		last = s
		if inside := max(int64(k[0]), min(gain, int64(k[knots]))); abs(float64(builtin.unrank(s)-inside)) > 600 && s > 300 && s < 65200 {
			t.Fatalf("gain %d, score %d, back %d", gain, s, builtin.unrank(s))
		}
	}
	if mid := builtin.rank(int64(k[knots/2])); mid < 32600 || mid > 32900 {
		t.Errorf("the middle prompt has score %d of 65535", mid)
	}
}

func TestAdequateFallsAsTheScoreRises(t *testing.T) {
	f, a := Assess(chat, chatBody(t, "What is the capital of France?"))
	last := 1.0
	for s := 0; s <= math.MaxUint16; s += 1000 {
		a.Score = uint16(s)
		p := builtin.Adequate(&f, &a)
		if !(p > 0 && p < 1) || p > last {
			t.Fatalf("score %d: %f after %f", s, p, last)
		}
		last = p
	}
}

func TestSayingItAgainChangesNothing(t *testing.T) {
	var once, twice grams
	once.weights, twice.weights = &builtin.w.Words, &builtin.w.Words
	var m words
	m.look([]byte("prove the theorem prove the theorem"), builtin, &once)
	m.look([]byte("prove the theorem prove the theorem prove the theorem prove the theorem"), builtin, &twice)
	if once.gain() != twice.gain() {
		t.Errorf("%d, then %d", once.gain(), twice.gain())
	}
}
