package pipeline

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// filled is a value whose every field holds something.
func filled(v reflect.Value, n uint64) {
	switch v.Kind() {
	case reflect.Struct:
		switch x := v.Addr().Interface().(type) {
		case *time.Time:
			*x = time.Date(2026, 11, 21, 14, 3, 2, int(n)*1e6, time.UTC)
			return
		case *schemas.OptUSD:
			*x = schemas.KnownUSD(schemas.NanoUSD(n) - 20)
			return
		}
		for i := range v.NumField() {
			filled(v.Field(i), n+uint64(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		filled(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 {
			filled(v.Index(i), n+uint64(i))
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b", "c \"d\"": "<ü\u2028>", "": ""}))
	case reflect.String:
		v.SetString(strings.Repeat("w", int(n%5)) + " \"é<\t")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(float64(n) / 1e9)
	default:
		v.SetUint(1 + n)
	}
}

func TestTheRecordsOfOurOwnProxiesAreReadWithoutReflectingTwice(t *testing.T) {
	var full, empty, negative schemas.RequestEvent
	filled(reflect.ValueOf(&full).Elem(), 1)
	full.Version, empty.Version, negative.Version = schemas.SchemaVersion, schemas.SchemaVersion, schemas.SchemaVersion
	negative.Cost, negative.Candidates, negative.Rejects = schemas.KnownUSD(-5), []string{"one"}, []schemas.Reject{7}
	for name, ev := range map[string]schemas.RequestEvent{"every field": full, "none": empty, "some": negative} {
		value, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		var got schemas.RequestEvent
		if !plainDecoderOf(reflect.TypeFor[schemas.RequestEvent]()).decode(value, reflect.ValueOf(&got).Elem()) {
			t.Errorf("%s: not read: %s", name, value)
		}
		if !reflect.DeepEqual(got, ev) {
			t.Errorf("%s:\n%+v\n%+v", name, got, ev)
		}
	}
	hb, _ := json.Marshal(schemas.Heartbeat{Version: schemas.SchemaVersion, BootID: 3, At: time.Unix(7, 0).UTC()})
	if d := plainDecoderOf(reflect.TypeFor[schemas.Heartbeat]()); !d.decode(hb, reflect.ValueOf(new(schemas.Heartbeat)).Elem()) {
		t.Errorf("not read: %s", hb)
	}
}

// strange is JSON that looks like ours and is not, or is not JSON.
var strange = []string{
	`{}`, `{"schema_version":"1.0"}`, `{"schema_version":"1.0","project":"a","project":"b"}`, `{"schema_version":"1.0","Project":"a"}`, `{"schema_version":"1.0","project":null}`,
	`{"schema_version":"1.0","ts":"2026-11-21T14:03:02.5+01:00"}`, `{"schema_version":"1.0","ts":"2026-11-21 14:03"}`, `{"schema_version":"1.0","ts":null}`, `{"schema_version":"1.0","ts":"0000-01-01T00:00:00Z"}`,
	`{"schema_version":"1.0","revision":256}`, `{"schema_version":"1.0","revision":01}`, `{"schema_version":"1.0","revision":1.0}`, `{"schema_version":"1.0","revision":-0}`, `{"schema_version":"1.0","revision":+1}`, `{"schema_version":"1.0","revision":1_0}`,
	`{"schema_version":"1.0","score":1e40}`, `{"schema_version":"1.0","score":.5}`, `{"schema_version":"1.0","score":0x1p-2}`, `{"schema_version":"1.0","score":inf}`, `{"schema_version":"1.0","score":1e-3}`, `{"schema_version":"1.0","score":-0.0}`,
	`{"schema_version":"1.0","cost":"1"}`, `{"schema_version":"1.0","cost":1.5}`, `{"schema_version":"1.0","cost":9223372036854775808}`, `{"schema_version":"1.0","cost":-07}`, `{"schema_version":"1.0","cost":-1}`,
	`{"schema_version":"1.0","inputs":"AQI="}`, `{"schema_version":"1.0","inputs":"AQI"}`, `{"schema_version":"1.0","inputs":"AQ\nI="}`, `{"schema_version":"1.0","inputs":""}`, `{"schema_version":"1.0","inputs":[1,2]}`,
	`{"schema_version":"1.0","candidates":[]}`, `{"schema_version":"1.0","candidates":["a",]}`, `{"schema_version":"1.0","candidates":["a" ,"b"]}`, `{"schema_version":"1.0","candidates":[null]}`, `{"schema_version":"1.0","candidates":["a"`,
	`{"schema_version":"1.0","tags":{}}`, `{"schema_version":"1.0","tags":{"a":"b","a":"c"}}`, `{"schema_version":"1.0","tags":{"a":1}}`, `{"schema_version":"1.0","tags":{"a":"b",}}`, `{"schema_version":"1.0","tags":{"a"}}`,
	`{"schema_version":"1.0","stream":true}`, `{"schema_version":"1.0","stream":truer}`, `{"schema_version":"1.0","stream":1}`, `{"schema_version":"1.0","ttft_ms":null}`, `{"schema_version":"1.0","ttft_ms":5}`, `{"schema_version":"1.0","ttft_ms":-5}`,
	`{"schema_version":"1.0","project":"a\ud800"}`, "{\"schema_version\":\"1.0\",\"project\":\"a\xff\"}", "{\"schema_version\":\"1.0\",\"project\":\"a\tb\"}", `{"schema_version":"1.0","project":"a\q"}`, `{"schema_version":"1.0","project":"\\"}`, `{"schema_version":"1.0","project":"\\\""}`, `{"schema_version":"1.0","project":"\`,
	`{"schema_version":"1.0","project":"a"}}`, `{"schema_version":"1.0","project":"a"} `, `{"schema_version":"1.0","project":"a",}`, `{"schema_version":"1.0" ,"project":"a"}`, `{"schema_version":"1.0"`, `{"schema_version":"1.0","nonsense":{"a":[1]}}`, `{"schema_version":"1.0","input_tokens":4294967295}`, `{"schema_version":"1.0","input_tokens":4294967296}`,
}

// sameAsEncodingJSON holds the plain decoder against encoding/json: what it reads,
// the other reads alike.
func sameAsEncodingJSON(t *testing.T, value []byte) {
	var got, want schemas.RequestEvent
	if !plainDecoderOf(reflect.TypeFor[schemas.RequestEvent]()).decode(value, reflect.ValueOf(&got).Elem()) {
		return
	}
	if err := json.Unmarshal(value, &want); err != nil {
		t.Errorf("%q is read, and is not JSON of ours: %v", value, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q:\n%+v\n%+v", value, got, want)
	}
}

func TestWhatLooksLikeOursMeansWhatEncodingJSONSays(t *testing.T) {
	for _, s := range strange {
		sameAsEncodingJSON(t, []byte(s))
	}
}

func FuzzPlain(f *testing.F) {
	for _, s := range strange {
		f.Add([]byte(s))
	}
	var full schemas.RequestEvent
	filled(reflect.ValueOf(&full).Elem(), 1)
	value, _ := json.Marshal(full)
	f.Add(value)
	f.Fuzz(sameAsEncodingJSON)
}

func BenchmarkDecode(b *testing.B) {
	value := benchEvents(b, 1)[0].Value
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var ev schemas.RequestEvent
			if _, reason := decode(value, &ev); reason != "" {
				b.Fatal(reason)
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var ev schemas.RequestEvent
			if err := json.Unmarshal(value, &ev); err != nil {
				b.Fatal(err)
			}
		}
	})
}
