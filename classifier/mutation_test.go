package classifier

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/gnomon-llm/gnomon/schemas"
)

// goldenDecisions is the hash of what was decided about the inputs below. Where
// it changes, recorded decisions are not taken again as they were: Rules has to
// change with it.
const (
	goldenDecisions = 0x7d7f3d879b81c71
	goldenBarred    = 0x2f5158fdb52dea7d
)

// goldenParts are testParts with a candidate that can do nothing of what a
// request may need, and with evidence that holds no more: of other weights, and
// of another set of workloads. The length of answers is no round figure.
func goldenParts() Parts {
	p := testParts()
	for _, workload := range []string{"rescored", "merged"} {
		policy, evidence := p.Policies[1], p.Evidence[1]
		policy.Workload, evidence.Workload, evidence.OutputRatio = workload, workload, .987654
		p.Policies, p.Evidence = append(p.Policies, policy), append(p.Evidence, evidence)
	}
	p.Names = []Name{{"~one", "merged"}, {"~two", "merged"}}
	p.Evidence[3].Scorer.Weights++
	p.Evidence[4].Members = []string{"~one"}
	p.Ladders = append(p.Ladders, Ladder{Baseline: "openai/dear", Candidates: []string{"openai/bare"}})
	p.Capabilities = append(p.Capabilities, Capability{Model: "openai/bare"})
	p.Prices.(fixedPrices)["bare"] = [2]int64{1, 1}
	return p
}

// someInputs are thousands of inputs, made by arithmetic, that reach every rule.
func someInputs(tell func(*Inputs)) {
	state := uint64(7)
	next := func(n uint64) uint64 { // SplitMix64
		state += 0x9e3779b97f4a7c15
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		return (z ^ z>>31) % n
	}
	pick := func(of ...string) string { return of[next(uint64(len(of)))] }
	for range 6000 {
		in := testInputs()
		in.Workload = pick("faq", "proven", "guarded", "unproven", "forced", "watched", "rolled-back", "one-model", "rescored", "merged")
		in.RequestModel = pick("big", "big", "other", "odd", "big-2026-01-31", "unpriced", "dear", "nobody")
		in.Operation = pick("chat", "chat", "chat", "chat", "chat", "chat", "chat", "embeddings")
		in.Dialect = pick("openai.chat", "openai.chat", "openai.chat", "anthropic.messages", "openai.responses")
		in.Arm = schemas.Arm(pick("none", "control", "treated", "treated"))
		in.Bypassed, in.BaselineWarm = next(40) == 0, next(3) == 0
		in.Unhealthy, in.CacheWarm = next(4)*next(4)/2, next(4)
		in.Assessment.Score, in.Assessment.Task = uint16(next(65536)), TaskClass(next(13))
		f := &in.Features
		f.Lexical[next(16)] = int16(next(1500))
		f.PromptTokens, f.LastUserBytes = uint32(next(200)*next(200)), uint32(next(4000))
		if next(3) == 0 {
			f.MaxOutput = uint32(next(12_000))
		}
		if next(2) == 0 {
			f.Gates = schemas.Gate(1) << next(19)
		}
		if next(8) == 0 {
			f.Gates |= schemas.Gate(1) << next(19)
		}
		tell(&in)
	}
}

// barredInputs are of callers who may not be sent elsewhere; apart, so that the
// decisions about the others keep their hash.
func barredInputs(tell func(*Inputs)) {
	for i := range 64 {
		in := testInputs()
		in.RequestModel, in.Features.Gates, in.Barred = "other", schemas.GateInAnthropic, uint64(i)&3
		if i&4 != 0 {
			in.Features.Gates |= schemas.GateAnonymous
		}
		in.Assessment.Score = uint16(i * 1000)
		tell(&in)
	}
}

// decideAll hashes the decisions about someInputs, but for the snapshot's hash.
func decideAll(s *Snapshot) uint64 { return decideThese(s, someInputs) }

func decideThese(s *Snapshot, inputs func(func(*Inputs))) uint64 {
	all := xxhash.New()
	inputs(func(in *Inputs) {
		d := Decide(in, s)
		d.SnapshotHash = 0
		all.Write(decisionBytes(&d))
	})
	return all.Sum64()
}

func TestDecisionsAreTheSame(t *testing.T) {
	s := NewSnapshot(goldenParts())
	if got := decideAll(s); got != goldenDecisions {
		t.Errorf("got %#x, want %#x: something is decided otherwise than before; raise Rules and set the hash", got, uint64(goldenDecisions))
	}
	seen := map[schemas.Reject]int{}
	if got := decideThese(s, barredInputs); got != goldenBarred {
		t.Errorf("of barred callers got %#x, want %#x", got, uint64(goldenBarred))
	}
	barredInputs(func(in *Inputs) { seen[Decide(in, s).Rejects[0]]++ })
	acted, held := 0, map[schemas.Held]int{}
	someInputs(func(in *Inputs) {
		d := Decide(in, s)
		for _, r := range d.Rejects {
			seen[r]++
		}
		held[d.Held]++
		if d.Act {
			acted++
		}
	})
	// These are given by others than Decide, or not at all yet.
	for _, elsewhere := range []schemas.Reject{schemas.RejectNovel, schemas.RejectResidency, schemas.RejectClassifier} {
		seen[elsewhere]++
	}
	for r := range schemas.RejectCodes() {
		if seen[r] == 0 {
			t.Errorf("no input is rejected for %q", r.Code())
		}
	}
	if acted < 50 {
		t.Errorf("only %d decisions act", acted)
	}
	for _, h := range []schemas.Held{schemas.HeldWeights, schemas.HeldMembers, schemas.HeldNovel, schemas.HeldEvidence, schemas.HeldMode, schemas.HeldArm} {
		if held[h] < 10 || h.Sentence() == schemas.Held("?").Sentence() {
			t.Errorf("%d routes are held for %q: %s", held[h], h, h.Sentence())
		}
	}
}

// TestACacheIsWarmOnlyFromTheLengthItsModelKeeps has a baseline that keeps no
// prefix as short: moving from it costs no warmth.
func TestACacheIsWarmOnlyFromTheLengthItsModelKeeps(t *testing.T) {
	in := testInputs()
	in.Features.PromptTokens, in.Features.LastUserBytes, in.BaselineWarm, in.Features.MaxOutput = 50_000, 100, true, 10
	parts := testParts()
	for least, want := range map[uint32]string{0: baseline, 49_000: baseline, 60_000: "openai/mid"} {
		p := parts
		p.Capabilities = append([]Capability{{Model: "openai/big", MinCached: least}}, parts.Capabilities...)
		if d := Decide(&in, NewSnapshot(p)); d.Route != want {
			t.Errorf("a baseline that keeps prefixes from %d tokens on: %s, want %s", least, d.Route, want)
		}
	}
}

// TestEveryRuleIsInTheHash changes every entry of every table that Decide reads,
// and looks whether the hash of the rules, and with it every snapshot's, is
// another one.
func TestEveryRuleIsInTheHash(t *testing.T) {
	before := rulesHash()
	snapshot := NewSnapshot(testParts()).Hash()
	mutations := 0
	look := func(what string) {
		t.Helper()
		mutations++
		if rulesHash() == before || NewSnapshot(testParts()).Hash() == snapshot {
			t.Errorf("%s: the hash is the same", what)
		}
	}
	for i := range expectedOutput {
		expectedOutput[i]++
		look(fmt.Sprintf("expected output of task %d", i))
		expectedOutput[i]--
	}
	for i := range needs {
		old := needs[i]
		needs[i].gate <<= 1
		look(fmt.Sprintf("gate of need %d", i))
		needs[i] = old
		needs[i].reject++
		look(fmt.Sprintf("reason of need %d", i))
		needs[i] = old
	}
	for dialect, gate := range translated {
		translated[dialect] = gate << 8
		look("translation into " + dialect)
		delete(translated, dialect)
		look("no translation into " + dialect)
		translated[dialect] = gate
	}
	if rulesHash() != before || mutations < 35 {
		t.Errorf("%d mutations, and something was left behind: %v", mutations, rulesHash() != before)
	}
}

// TestASnapshotOfAnotherBuildHasAnotherHash changes each part of the origin.
func TestASnapshotOfAnotherBuildHasAnotherHash(t *testing.T) {
	before := NewSnapshot(testParts()).Hash()
	origin := thisBuild(nil)
	v := reflect.ValueOf(&origin).Elem()
	for i := range v.NumField() {
		old := v.Field(i).Uint()
		v.Field(i).SetUint(old + 1)
		if newSnapshot(testParts(), origin).Hash() == before {
			t.Errorf("another %s, the same hash", v.Type().Field(i).Name)
		}
		v.Field(i).SetUint(old)
	}
}

func TestWhatWasKeptOfASnapshotDecidesTheSame(t *testing.T) {
	s := NewSnapshot(testParts())
	kept := s.Sealed()
	raw, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	var read Sealed
	if err := json.Unmarshal(raw, &read); err != nil {
		t.Fatal(err)
	}
	again, err := read.Open(testParts().Prices)
	if err != nil {
		t.Fatal(err)
	}
	if again.Hash() != s.Hash() || decideAll(again) != decideAll(s) || !read.Assesses(builtin) || read.PoliciesHash() != kept.PoliciesHash() {
		t.Errorf("%x decides as %x, kept %x as %x", s.Hash(), decideAll(s), again.Hash(), decideAll(again))
	}
	for _, p := range read.Parts.Policies {
		if len(p.Salt) != 0 && len(p.Salt) != 32 {
			t.Errorf("%s: the salt itself was kept: %q", p.Workload, p.Salt)
		}
	}
	if twice := again.Sealed(); twice.Hash != kept.Hash || !reflect.DeepEqual(twice.Parts.Policies, kept.Parts.Policies) {
		t.Error("sealed twice is not sealed once")
	}
}

// TestATamperedSnapshotIsRefused mutates what was kept: whatever the change, the
// snapshot is refused, or is the same snapshot.
func TestATamperedSnapshotIsRefused(t *testing.T) {
	kept := NewSnapshot(testParts()).Sealed()
	raw, err := json.Marshal(kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &kept); err != nil {
		t.Fatal(err)
	}
	mutations := 0
	mutate(reflect.ValueOf(&kept).Elem(), "", func(what string) {
		mutations++
		if _, err := kept.Open(testParts().Prices); err == nil {
			t.Errorf("%s: opened all the same", what)
		}
	})
	if mutations < 140 {
		t.Errorf("only %d mutations were tried", mutations)
	}
}

func TestWhatThisBuildCannotDecideIsRefused(t *testing.T) {
	prices := testParts().Prices
	for name, row := range map[string]struct {
		change func(*Sealed)
		prices Pricer
		opens  bool
		origin bool
	}{
		"as it was":         {func(*Sealed) {}, prices, true, false},
		"other rules":       {func(s *Sealed) { s.Origin.Rules++ }, prices, false, true},
		"no prices at hand": {func(*Sealed) {}, nil, false, false},
		"other prices":      {func(*Sealed) {}, fixedPrices{"big": {1, 1}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			kept := NewSnapshot(testParts()).Sealed()
			row.change(&kept)
			_, err := kept.Open(row.prices)
			if (err == nil) != row.opens || errors.Is(err, ErrOrigin) != row.origin {
				t.Error(err)
			}
		})
	}
	t.Run("other weights decide the same from the recorded assessment", func(t *testing.T) {
		old, parts := thisBuild(nil), testParts()
		old.Model++
		for i := range parts.Evidence {
			parts.Evidence[i].Scorer.Weights++
		}
		kept := newSnapshot(parts, old).Sealed()
		again, err := kept.Open(prices)
		if err != nil {
			t.Fatal(err)
		}
		if kept.Assesses(builtin) || decideAll(again) != decideAll(NewSnapshot(testParts())) {
			t.Error("it says that it assesses alike, or decides otherwise")
		}
	})
}

// TestEveryWeightIsInTheHash changes values of the shipped weights, every one of
// the short lists and some of the long ones, one at a time: the file is refused,
// or is another model with another hash, and then every snapshot has another
// hash, too.
func TestEveryWeightIsInTheHash(t *testing.T) {
	w := *Builtin().Weights()
	seen := map[uint64]string{Builtin().Hash(): "nothing changed"}
	snapshot := NewSnapshot(testParts()).Hash()
	mutations := 0
	try := func(what string, v reflect.Value) {
		old := reflect.New(v.Type()).Elem()
		old.Set(v)
		if v.CanInt() {
			v.SetInt(v.Int() ^ 1)
		} else {
			v.SetUint(v.Uint() ^ 1)
		}
		file := w.Encode()
		v.Set(old)
		mutations++
		m, err := ReadWeights(file)
		if err != nil {
			return // noticed
		}
		if other, twice := seen[m.Hash()]; twice {
			t.Errorf("%s: the hash is as after: %s", what, other)
		}
		seen[m.Hash()] = what
		parts := testParts()
		if parts.Model = m; NewSnapshot(parts).Hash() == snapshot {
			t.Errorf("%s: a snapshot has the hash it had", what)
		}
	}
	var walk func(what string, v reflect.Value)
	walk = func(what string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Type().Field(i).Name, v.Field(i))
			}
		case reflect.Array:
			for i := 0; i < v.Len(); i += max(1, v.Len()/32) {
				walk(fmt.Sprintf("%s[%d]", what, i), v.Index(i))
			}
		default:
			try(what, v)
		}
	}
	walk("", reflect.ValueOf(&w).Elem())
	t.Logf("%d mutations", mutations)
	if mutations < 300 {
		t.Errorf("only %d mutations were tried", mutations)
	}
	file := Builtin().Weights().Encode()
	for i := 0; i < len(file); i += len(file) / 200 { // a byte that nobody wrote
		file[i] ^= 1
		if _, err := ReadWeights(file); err == nil {
			t.Errorf("byte %d was changed and the file is taken", i)
		}
		file[i] ^= 1
	}
}
