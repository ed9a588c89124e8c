package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// oddTexts are texts that JSON escapes, or that are no UTF-8.
var oddTexts = []string{"", "plain", `"quoted"`, `back\slash`, "<b>&amp;</b>", "line\nbreak\ttab\x00\x1f\x7f", "żółw 亀 🐢", "\u2028\u2029", "cut \xf0\x9f", "\xff"}

// draw fills every field of a struct, whatever fields it has: one that is added
// is drawn, too, and so missed where AppendJSON does not write it.
func draw(t *rapid.T, v reflect.Value, name string) {
	switch at := v.Addr().Interface().(type) {
	case *time.Time:
		*at = time.Unix(rapid.Int64Range(-1<<35, 253402300799).Draw(t, name), rapid.SampledFrom([]int64{0, 1e6, 123e6, 999_999_999}).Draw(t, "ns")).UTC()
		return
	case *OptUSD:
		*at = OptUSD{Nano: NanoUSD(rapid.Int64().Draw(t, name)), Known: rapid.Bool().Draw(t, "known")}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			draw(t, v.Field(i), v.Type().Field(i).Name)
		}
	case reflect.String:
		v.SetString(rapid.OneOf(rapid.SampledFrom(oddTexts), rapid.String()).Draw(t, name))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, name))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		bits := v.Type().Bits()
		v.SetUint(rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64Range(0, math.MaxUint64>>(64-bits))).Draw(t, name))
	case reflect.Float32:
		v.SetFloat(float64(rapid.OneOf(rapid.SampledFrom([]float32{0, 1, .5, 1e-6, 9.99e-7, 1e-7, 1e21, 3e20, 999999, 1e6, math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Copysign(0, -1))}),
			rapid.Float32()).Draw(t, name)))
	case reflect.Pointer:
		if rapid.Bool().Draw(t, name+" is there") {
			v.Set(reflect.New(v.Type().Elem()))
			draw(t, v.Elem(), name)
		}
	case reflect.Slice:
		n := rapid.IntRange(0, 3).Draw(t, name+" length")
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			draw(t, v.Index(i), fmt.Sprint(name, i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range rapid.IntRange(0, 3).Draw(t, name+" length") {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			draw(t, key, fmt.Sprint("key", i))
			draw(t, value, fmt.Sprint("value", i))
			v.SetMapIndex(key, value)
		}
	default:
		t.Fatalf("%s: no way to draw a %s", name, v.Type())
	}
}

func TestAnEventIsWrittenAsEncodingJSONWritesIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e RequestEvent
		draw(t, reflect.ValueOf(&e).Elem(), "event")
		want, err := json.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.AppendJSON([]byte("before"))
		if err != nil || !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Fatalf("%v\ngot  %s\nwant %s", err, got[len("before"):], want)
		}
	})
}

func TestWhatEncodingJSONRefusesIsRefused(t *testing.T) {
	nan := float32(math.NaN())
	for name, e := range map[string]RequestEvent{
		"a score that is no number":        {Score: nan},
		"an endless novelty":               {Novelty: float32(math.Inf(1))},
		"a chance that is no number":       {PAdequate: &nan},
		"a year that RFC 3339 cannot say":  {Ts: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"a zone that RFC 3339 cannot say":  {Ts: time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 24*3600))},
		"a year before those of the event": {Ts: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if _, err := json.Marshal(e); err == nil {
			t.Fatalf("%s: encoding/json takes it", name)
		}
		if got, err := e.AppendJSON(nil); err == nil || len(got) > 0 {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	e := RequestEvent{Version: SchemaVersion, Project: "acme", Ts: time.UnixMilli(1763700000123).UTC(), RequestID: "0193c7a0-0000-7000-8000-000000000000", Status: StatusOK, Workload: "support/chat",
		Provider: "openai", RequestModel: "gpt-4o", ServedModel: "gpt-4o", Score: .25, Novelty: .5, Inputs: bytes.Repeat([]byte{7}, 300), Candidates: []string{"openai/gpt-4o-mini"}, Rejects: []Reject{7}}
	b.Run("AppendJSON", func(b *testing.B) {
		buf := make([]byte, 0, 4096)
		for b.Loop() {
			buf, _ = e.AppendJSON(buf[:0])
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			_, _ = json.Marshal(&e)
		}
	})
}
