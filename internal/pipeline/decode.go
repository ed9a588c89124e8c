package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/gnomon-llm/gnomon/schemas"
)

// envelope is what all records share.
type envelope struct {
	Version string `json:"schema_version"`
}

// decode reads one record. reason is empty when it is one that this version can
// take: JSON, of a known type, of its own major version. extra holds, for a
// record of a newer minor version, the fields this one does not know.
//
// What into holds afterwards may lie in value, which must not change any more.
func decode[T any](value []byte, into *T) (extra, reason string) {
	// The version is the first member of every record we write.
	own := bytes.HasPrefix(value, ownPrefix)
	if own {
		if d := plainDecoderOf(reflect.TypeFor[T]()); d != nil {
			if d.decode(value, reflect.ValueOf(into).Elem()) {
				return "", ""
			}
			*into = *new(T)
		}
	}
	var e envelope
	err := json.Unmarshal(value, into)
	if err != nil {
		// Of a newer major version nothing else can be expected.
		if json.Unmarshal(value, &e) == nil {
			if _, reason := newer(e.Version); reason != "" {
				return "", reason
			}
		}
		return "", notRead(err)
	}
	if own {
		return "", ""
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return "", notRead(err)
	}
	isNewer, reason := newer(e.Version)
	if reason != "" || !isNewer {
		return "", reason
	}
	return unknown(value, reflect.TypeFor[T]()), ""
}

var ownPrefix = []byte(`{"schema_version":"` + schemas.SchemaVersion + `"`)

var plainDecoders sync.Map // reflect.Type → plainDecoder

func plainDecoderOf(t reflect.Type) plainDecoder {
	if d, ok := plainDecoders.Load(t); ok {
		return d.(plainDecoder)
	}
	d := newPlainDecoder(t)
	plainDecoders.Store(t, d)
	return d
}

func notRead(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Sprintf("wrong type: %s is a %s", wrong.Field, wrong.Value)
	}
	return "not JSON: " + err.Error()
}

var ownMajor, ownMinor, _ = parseVersion(schemas.SchemaVersion)

// newer compares a record's version with ours. A record without one is taken
// for one of ours.
func newer(version string) (isNewer bool, reason string) {
	if version == "" {
		return false, ""
	}
	major, minor, ok := parseVersion(version)
	switch {
	case !ok:
		return false, fmt.Sprintf("schema version %.40q cannot be read", version)
	case major != ownMajor:
		return false, fmt.Sprintf("schema version %s: this gnomon reads %d.x", version, ownMajor)
	}
	return minor > ownMinor, ""
}

func parseVersion(v string) (major, minor int, ok bool) {
	a, b, found := strings.Cut(v, ".")
	major, err1 := strconv.Atoi(a)
	minor, err2 := strconv.Atoi(b)
	return major, minor, found && err1 == nil && err2 == nil && major >= 0 && minor >= 0
}

// unknown returns, as a JSON object, the members of value that t has no field
// for, together with what its own extra member holds; "" when there are none.
func unknown(value []byte, t reflect.Type) string {
	var all map[string]json.RawMessage
	if json.Unmarshal(value, &all) != nil {
		return ""
	}
	known := fieldsOf(t)
	rest := map[string]json.RawMessage{}
	var carried string
	if json.Unmarshal(all["extra"], &carried) == nil && carried != "" {
		_ = json.Unmarshal([]byte(carried), &rest)
	}
	for name, v := range all {
		if !known[strings.ToLower(name)] { // encoding/json matches names without regard to case
			rest[name] = v
		}
	}
	if len(rest) == 0 {
		return ""
	}
	text, err := json.Marshal(rest)
	if err != nil {
		return ""
	}
	return string(text)
}

var fieldNames sync.Map // reflect.Type → map[string]bool

func fieldsOf(t reflect.Type) map[string]bool {
	if m, ok := fieldNames.Load(t); ok {
		return m.(map[string]bool)
	}
	names := map[string]bool{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		names[strings.ToLower(name)] = true
	}
	fieldNames.Store(t, names)
	return names
}
