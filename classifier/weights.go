package classifier

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/schemas"
)

// The sizes of a weights file.
const (
	Slots     = 1 << 16 // into which words and pairs of words are hashed
	MaxCuts   = 11      // between the bins of a feature
	knots     = 256     // of the score, equal shares of the graded prompts apart
	wordBytes = 8 << 10 // of the filter of familiar words
)

// Weights are what training fits. Every machine reads them as the same integers.
type Weights struct {
	Magic   [8]byte // "gnomonW2": the layout, and how features and words are read
	Version uint32  // counted by whoever trains
	Rows    uint32  // graded prompts that it was fitted on
	Data    uint64  // hash of those, in their order

	// The gain in 1/65536: of each feature a line between the 2nd and the 98th
	// percentile, through 0 at its median; of the task class; and of the words.
	Bias              int64
	Low, Middle, High [16]int16
	Slope             [16]int32
	Task              [len(taskNames)]int32
	Words             [Slots]int16 // in 1/32768, of each distinct word and pair
	Knots             [knots + 1]int32

	// Adequacy: log-odds in 1/65536 that the cheaper answer is no worse.
	AdequateBias  int64
	AdequateSlope int32              // over the gain
	Cuts          [16][MaxCuts]int16 // where the next bin of a feature begins; 32767 where there is none
	AdequateBins  [16][MaxCuts + 1]int32

	Familiar [wordBytes]byte // a Bloom filter of the words that novelty knows, two probes
}

// WeightsMagic begins every file of weights that this version reads.
var WeightsMagic = [8]byte{'g', 'n', 'o', 'm', 'o', 'n', 'W', '2'}

// ErrWeights says that bytes are no weights that this version can use.
var ErrWeights = errors.New("not usable as weights")

// Encode returns the file: the fields in their order, little-endian, and the
// xxhash64 of what stands before it.
func (w *Weights) Encode() []byte {
	var out bytes.Buffer
	if err := binary.Write(&out, binary.LittleEndian, w); err != nil {
		panic("weights are of fixed size: " + err.Error())
	}
	return binary.LittleEndian.AppendUint64(out.Bytes(), xxhash.Sum64(out.Bytes()))
}

// Model assesses with one set of weights. It never changes.
type Model struct {
	w    *Weights
	hash uint64
}

// ReadWeights reads a file of weights. One byte that is not as it was written is
// ErrWeights.
func ReadWeights(file []byte) (*Model, error) {
	w := new(Weights)
	size := binary.Size(w)
	if len(file) != size+8 || !bytes.HasPrefix(file, WeightsMagic[:]) {
		return nil, fmt.Errorf("%w: %d bytes of another layout; this version reads %q of %d bytes: train anew with gnomon train", ErrWeights, len(file), WeightsMagic, size+8)
	}
	hash := binary.LittleEndian.Uint64(file[size:])
	if xxhash.Sum64(file[:size]) != hash {
		return nil, fmt.Errorf("%w: its bytes are not as they were written (checksum)", ErrWeights)
	}
	if err := binary.Read(bytes.NewReader(file[:size]), binary.LittleEndian, w); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWeights, err)
	}
	for i := range knots {
		if w.Knots[i] > w.Knots[i+1] {
			return nil, fmt.Errorf("%w: knot %d is above the next", ErrWeights, i)
		}
	}
	return &Model{w: w, hash: hash}, nil
}

// Hash identifies the weights: decisions under others are other decisions.
func (m *Model) Hash() uint64 { return m.hash }

// Scorer names whose scores the model's are: this build's features under its
// weights.
func (m *Model) Scorer() schemas.Scorer { return schemas.Scorer{Version: Version, Weights: m.hash} }

// Weights returns what the model was read from. The caller must not write to it.
func (m *Model) Weights() *Weights { return m.w }

//go:embed weights.bin
var shipped []byte

var builtin = func() *Model {
	m, err := ReadWeights(shipped)
	if err != nil {
		panic("the embedded weights: " + err.Error()) // the build is broken
	}
	return m
}()

// Builtin is the model of the shipped weights.
func Builtin() *Model { return builtin }
