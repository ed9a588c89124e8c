package classifier

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/schemas"
)

// hasher collects values so that no two different ones give the same bytes.
type hasher []byte

func (h *hasher) number(n uint64) { *h = binary.LittleEndian.AppendUint64(*h, n) }

func (h *hasher) flag(b bool) {
	n := byte(0)
	if b {
		n = 1
	}
	*h = append(*h, n)
}

func (h *hasher) text(s string) {
	h.number(uint64(len(s)))
	*h = append(*h, s...)
}

func (h *hasher) texts(ss []string) {
	h.number(uint64(len(ss)))
	for _, s := range ss {
		h.text(s)
	}
}

// unread are the fields of a policy that no decision reads. All others are in
// the hash, also those that somebody adds later: a field is left out by name.
var unread = map[string]bool{
	"SchemaVersion": true, "Replaces": true, "OverrideReason": true, "VerdictAt": true, "Actor": true, "Reason": true, "At": true, "Offset": true,
}

var policyType = reflect.TypeFor[schemas.Policy]()

// value adds whatever a part of a snapshot may be made of. The fields of a
// struct go by name and those that are zero add nothing: a field that a later
// build knows leaves the hashes of snapshots made before it as they were.
func (h *hasher) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if empty(v.Field(i)) || v.Type() == policyType && unread[f.Name] {
				continue
			}
			h.text(f.Name)
			h.value(v.Field(i))
		}
		h.number(math.MaxUint64) // no name is as long: the struct ends
	case reflect.Slice, reflect.Array:
		h.number(uint64(v.Len()))
		for i := range v.Len() {
			h.value(v.Index(i))
		}
	case reflect.Map: // of words, as settings are
		h.number(uint64(v.Len()))
		byName := map[string]reflect.Value{}
		for key, x := range v.Seq2() {
			byName[fmt.Sprint(key)] = x
		}
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			h.text(name)
			h.value(byName[name])
		}
	case reflect.Pointer:
		h.flag(!v.IsNil())
		if !v.IsNil() {
			h.value(v.Elem())
		}
	case reflect.Interface:
		if p, ok := v.Interface().(Pricer); ok {
			h.number(p.Hash())
			return
		}
		h.value(v.Elem())
	case reflect.String:
		h.text(v.String())
	case reflect.Bool:
		h.flag(v.Bool())
	case reflect.Float64, reflect.Float32:
		h.number(math.Float64bits(v.Float()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		h.number(uint64(v.Int()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		h.number(v.Uint())
	default:
		panic("classifier: a snapshot may not hold a " + v.Type().String() + ": it could not be in its hash")
	}
}

func empty(v reflect.Value) bool {
	return v.IsZero() || (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}

// sum returns the hash of a value.
func sum(x any) uint64 {
	var h hasher
	h.value(reflect.ValueOf(x))
	return xxhash.Sum64(h)
}

// sumSnapshot hashes the canonical parts and the build they were given to. Of a
// salt only its digest: who sees a snapshot that was kept must not be able to
// tell a session's arm, and still has to find the same hash.
func sumSnapshot(p *Parts, o Origin) uint64 {
	hashed := *p
	hashed.Policies = sealedPolicies(p)
	hashed.Sealed, hashed.Model = false, nil // its weights are in the origin
	return sum(struct {
		Origin Origin
		Parts  Parts
	}{o, hashed})
}

// sealedPolicies are the policies with digests for salts.
func sealedPolicies(p *Parts) []schemas.Policy {
	out := slices.Clone(p.Policies)
	for i := range out {
		if len(out[i].Salt) > 0 && !p.Sealed {
			digest := sha256.Sum256(out[i].Salt)
			out[i].Salt = digest[:]
		}
	}
	return out
}
