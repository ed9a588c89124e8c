package classifier

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gnomon-llm/gnomon/schemas"
)

// The first byte of packed Inputs is the version of their layout. A new layout
// gets a new number; old ones stay readable for as long as the store keeps events.
// Version 2 has Barred after Hour; where nothing is barred there is nothing to add,
// and version 1 is written, as ever.
const (
	inputsPlain  = 1
	inputsBarred = 2
)

// ErrInputs says that bytes are not packed Inputs of a known version.
var ErrInputs = errors.New("not packed inputs")

// Flags of a packed record.
const (
	flagBypassed = 1 << iota
	flagBaselineWarm
)

// AppendBinary appends the packed form: a version byte, then strings with their
// length and numbers as varints, in the order of the fields. The same Inputs
// give the same bytes on every machine.
func (in *Inputs) AppendBinary(b []byte) []byte {
	version := byte(inputsPlain)
	if in.Barred != 0 {
		version = inputsBarred
	}
	b = append(b, version)
	for _, s := range [...]string{in.Workload, in.Provider, in.RequestModel, in.Dialect, in.Operation, string(in.Arm)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	var flags byte
	if in.Bypassed {
		flags |= flagBypassed
	}
	if in.BaselineWarm {
		flags |= flagBaselineWarm
	}
	b = append(b, flags)
	f := &in.Features
	// Hashes fill their 64 bits: a varint would be longer.
	for _, h := range [...]uint64{f.SystemPrint, f.SystemHash, f.FirstUserHash, f.PromptHash} {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	a := &in.Assessment
	for _, n := range [...]uint64{
		uint64(f.Gates), uint64(f.PromptTokens), uint64(f.MaxOutput), uint64(f.Bytes), uint64(f.SystemBytes), uint64(f.LastUserBytes),
		uint64(f.Turns), uint64(f.Tools), uint64(f.Images), uint64(a.Score), uint64(a.Novelty), uint64(a.Task), uint64(a.Version),
		in.Unhealthy, in.CacheWarm, uint64(in.Hour),
	} {
		b = binary.AppendUvarint(b, n)
	}
	if in.Barred != 0 {
		b = binary.AppendUvarint(b, in.Barred)
	}
	for _, n := range f.Lexical {
		b = binary.AppendVarint(b, int64(n))
	}
	return b
}

// UnmarshalBinary reads what AppendBinary writes, and nothing else: unknown
// versions, missing and trailing bytes are ErrInputs.
func (in *Inputs) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != inputsPlain && b[0] != inputsBarred {
		return fmt.Errorf("%w of a version from %d to %d", ErrInputs, inputsPlain, inputsBarred)
	}
	version, r := b[0], unpacker{b: b[1:]}
	var n Inputs
	arm := ""
	for _, s := range [...]*string{&n.Workload, &n.Provider, &n.RequestModel, &n.Dialect, &n.Operation, &arm} {
		*s = r.text()
	}
	n.Arm = schemas.Arm(arm)
	flags := r.byte()
	n.Bypassed, n.BaselineWarm = flags&flagBypassed != 0, flags&flagBaselineWarm != 0
	f, a := &n.Features, &n.Assessment
	for _, h := range [...]*uint64{&f.SystemPrint, &f.SystemHash, &f.FirstUserHash, &f.PromptHash} {
		*h = r.uint64()
	}
	f.Gates = schemas.Gate(r.number(64))
	for _, p := range [...]*uint32{&f.PromptTokens, &f.MaxOutput, &f.Bytes, &f.SystemBytes, &f.LastUserBytes} {
		*p = uint32(r.number(32))
	}
	for _, p := range [...]*uint16{&f.Turns, &f.Tools, &f.Images, &a.Score, &a.Novelty} {
		*p = uint16(r.number(16))
	}
	a.Task = TaskClass(r.number(8))
	a.Version = uint32(r.number(32))
	n.Unhealthy, n.CacheWarm, n.Hour = r.number(64), r.number(64), uint32(r.number(32))
	if version == inputsBarred {
		n.Barred = r.number(64)
		r.bad = r.bad || n.Barred == 0 // or the same Inputs had two forms
	}
	for i := range f.Lexical {
		f.Lexical[i] = r.int16()
	}
	if r.bad || len(r.b) != 0 || flags > flagBypassed|flagBaselineWarm {
		return fmt.Errorf("%w: cut short, too long or out of range", ErrInputs)
	}
	*in = n
	return nil
}

// unpacker reads from the front of b and remembers when it could not.
type unpacker struct {
	b   []byte
	bad bool
}

func (r *unpacker) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *unpacker) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *unpacker) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *unpacker) text() string { return string(r.take(r.number(64))) }

func (r *unpacker) number(bits uint) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || bits < 64 && v >= 1<<bits {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *unpacker) int16() int16 {
	v, n := binary.Varint(r.b)
	if r.bad || n <= 0 || v != int64(int16(v)) {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return int16(v)
}
