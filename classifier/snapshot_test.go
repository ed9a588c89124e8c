package classifier

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/gnomon-llm/gnomon/schemas"
)

// TestEveryFieldOfASnapshotIsInItsHash changes each field of each part, one at
// a time, and each element of each list.
func TestEveryFieldOfASnapshotIsInItsHash(t *testing.T) {
	before := NewSnapshot(testParts()).Hash()
	seen := map[uint64]string{before: "nothing changed"}
	mutations := 0
	p := testParts()
	mutate(reflect.ValueOf(&p).Elem(), "", func(what string) {
		mutations++
		hash := NewSnapshot(p).Hash()
		if other, ok := seen[hash]; ok {
			t.Errorf("%s: the hash is as after: %s", what, other)
		}
		seen[hash] = what
	})
	t.Logf("%d mutations", mutations)
	if mutations < 140 {
		t.Errorf("only %d mutations were tried", mutations)
	}
	if NewSnapshot(testParts()).Hash() != before {
		t.Error("the mutations left something behind")
	}
	p = testParts()
	p.Prices = fixedPrices{"big": {1, 1}}
	if _, ok := seen[NewSnapshot(p).Hash()]; ok {
		t.Error("other prices, the same hash")
	}
}

// mutate changes one thing at a time below v, tells, and puts it back.
func mutate(v reflect.Value, path string, tell func(what string)) {
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	try := func(what string, x reflect.Value) {
		v.Set(x)
		tell(path + what)
		v.Set(old)
	}
	switch v.Kind() {
	case reflect.Interface: // the prices have their own hash
	case reflect.Struct:
		policy, isPolicy := v.Addr().Interface().(*schemas.Policy)
		if isPolicy && policy.Project != "shop" {
			return // not of this project: no part of the snapshot
		}
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if isPolicy && (unread[name] || name == "Project") { // another Project takes the policy away, which is tried on its own
				continue
			}
			mutate(v.Field(i), path+"."+name, tell)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			try(" longer", reflect.AppendSlice(reflect.ValueOf([]byte{1}), v))
			return
		}
		if v.Len() == 0 { // a field that these parts say nothing of, or that somebody has added since
			try(" begun", reflect.Append(v, filled(v.Type().Elem())))
		}
		for i := range v.Len() {
			at := fmt.Sprintf("[%d]", i)
			mutate(v.Index(i), path+at, tell)
			if p, ok := v.Index(i).Addr().Interface().(*schemas.Policy); ok && p.Project != "shop" {
				continue
			}
			without := reflect.MakeSlice(v.Type(), 0, v.Len())
			for k := range v.Len() {
				if k != i {
					without = reflect.Append(without, v.Index(k))
				}
			}
			try(at+" gone", without)
		}
	case reflect.Pointer:
		if v.Type() != reflect.TypeFor[*Model]() { // its weights have hundreds of mutations of their own
			try(" there", filled(v.Type()))
		}
	case reflect.Map:
		try(" begun", filled(v.Type()))
	case reflect.String:
		try(" longer", reflect.ValueOf(v.String()+"x").Convert(v.Type()))
	case reflect.Bool:
		try(" turned", reflect.ValueOf(!v.Bool()))
	case reflect.Float64:
		try(" larger", reflect.ValueOf(v.Float()+0.001))
	default:
		try(" larger", reflect.ValueOf(v.Convert(reflect.TypeFor[uint64]()).Uint()+1).Convert(v.Type()))
	}
}

// filled is a value of which nothing is zero.
func filled(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			v.Field(i).Set(filled(t.Field(i).Type))
		}
	case reflect.Slice:
		return reflect.Append(v, filled(t.Elem()))
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).Set(filled(t.Elem()))
		}
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(filled(t.Elem()))
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(filled(t.Key()), filled(t.Elem()))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64, reflect.Float32:
		v.SetFloat(0.5)
	default:
		v.Set(reflect.ValueOf(1).Convert(t))
	}
	return v
}

func TestPolicyFieldsThatNoDecisionReadsLeaveTheHash(t *testing.T) {
	p := testParts()
	p.Policies[0].Actor, p.Policies[0].Reason = "somebody", "because"
	if NewSnapshot(p).Hash() != NewSnapshot(testParts()).Hash() {
		t.Error("who signed a policy changes no decision")
	}
	for name := range unread {
		if _, ok := reflect.TypeFor[schemas.Policy]().FieldByName(name); !ok {
			t.Errorf("a policy has no field %s any more: take it from the list", name)
		}
	}
}

func TestTheOrderOfPartsDoesNotMatter(t *testing.T) {
	p := testParts()
	slices.Reverse(p.Ladders)
	slices.Reverse(p.Capabilities)
	slices.Reverse(p.Providers)
	slices.Reverse(p.Policies)
	if NewSnapshot(p).Hash() != NewSnapshot(testParts()).Hash() {
		t.Error("the hash depends on the order in which parts were given")
	}
}

func TestASnapshotIsACopy(t *testing.T) {
	p := testParts()
	s := NewSnapshot(p)
	p.Ladders[0].Candidates[0] = "openai/small"
	p.Policies[0].Salt[0] = 'x'
	p.Providers[0].Dialects[0] = "x"
	if got, _ := s.LadderFor("openai/big"); got[0] != "openai/mid" || string(s.PolicyFor("proven").Salt) != "s" || s.Hash() != NewSnapshot(testParts()).Hash() {
		t.Error("a snapshot changed with what it was made of")
	}
}

func TestUndated(t *testing.T) {
	for model, want := range map[string]string{
		"gpt-4o-2024-08-06": "gpt-4o", "claude-sonnet-4-20250514": "claude-sonnet-4", "claude-haiku-4-5@20251001": "claude-haiku-4-5", "claude-3-5-haiku-latest": "claude-3-5-haiku",
		"gpt-4o": "gpt-4o", "gpt-4o-mini": "gpt-4o-mini", "gpt-4-0613": "gpt-4-0613", "o3": "o3", "": "", "2024-08-06": "2024-08-06", "model-12345678": "model-12345678", "x-2024-aa-06": "x-2024-aa-06",
	} {
		if got := undated(model); got != want {
			t.Errorf("%s: %s, want %s", model, got, want)
		}
	}
}

func TestBuiltinModels(t *testing.T) {
	if _, err := parseModels(modelsJSON); err != nil {
		t.Fatal(err)
	}
	known := map[string]Capability{}
	for _, c := range BuiltinCapabilities() {
		if _, twice := known[c.Model]; twice || c.ContextWindow == 0 || c.MaxOutput == 0 {
			t.Errorf("%s: stated twice, or without limits", c.Model)
		}
		known[c.Model] = c
	}
	s := NewSnapshot(Parts{Ladders: BuiltinLadders(), Capabilities: BuiltinCapabilities()})
	for _, l := range BuiltinLadders() {
		for i, c := range l.Candidates {
			if _, ok := known[c]; !ok || c == l.Baseline || slices.Contains(l.Candidates[:i], c) {
				t.Errorf("%s: candidate %s is unknown, repeated or the baseline", l.Baseline, c)
			}
		}
	}
	for _, dated := range []string{"openai/gpt-4o-2024-08-06", "anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-opus-4-20250514", "anthropic/claude-3-7-sonnet-latest"} {
		if got, ok := s.LadderFor(dated); !ok || len(got) == 0 {
			t.Errorf("%s has no ladder", dated)
		}
	}
	if _, err := parseModels([]byte(`{"models":[{"names":["x/y"],"supports":["telepathy"]}]}`)); err == nil {
		t.Error("an unknown capability was taken")
	}
}
