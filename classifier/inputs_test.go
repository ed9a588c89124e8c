package classifier

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"

	"github.com/gnomon-llm/gnomon/schemas"
)

func drawInputs(t *rapid.T) Inputs {
	text := rapid.String()
	u64, u32, u16 := rapid.Uint64(), rapid.Uint32(), rapid.Uint16()
	in := Inputs{
		Workload: text.Draw(t, "workload"), Provider: text.Draw(t, "provider"), RequestModel: text.Draw(t, "model"), Dialect: text.Draw(t, "dialect"), Operation: text.Draw(t, "operation"),
		Features: Features{Gates: schemas.Gate(u64.Draw(t, "gates")), SystemPrint: u64.Draw(t, "print"), SystemHash: u64.Draw(t, "system"), FirstUserHash: u64.Draw(t, "user"), PromptHash: u64.Draw(t, "prompt"),
			PromptTokens: u32.Draw(t, "tokens"), MaxOutput: u32.Draw(t, "max"), Bytes: u32.Draw(t, "bytes"), SystemBytes: u32.Draw(t, "sb"), LastUserBytes: u32.Draw(t, "lb"),
			Turns: u16.Draw(t, "turns"), Tools: u16.Draw(t, "tools"), Images: u16.Draw(t, "images")},
		Assessment: Assessment{Score: u16.Draw(t, "score"), Novelty: u16.Draw(t, "novelty"), Task: TaskClass(rapid.Uint8().Draw(t, "task")), Version: u32.Draw(t, "version")},
		Arm:        schemas.Arm(rapid.SampledFrom([]string{"none", "control", "treated", ""}).Draw(t, "arm")),
		Bypassed:   rapid.Bool().Draw(t, "bypassed"), Unhealthy: u64.Draw(t, "unhealthy"), CacheWarm: u64.Draw(t, "warm"), BaselineWarm: rapid.Bool().Draw(t, "bwarm"), Barred: rapid.OneOf(rapid.Just(uint64(0)), u64).Draw(t, "barred"), Hour: u32.Draw(t, "hour"),
	}
	for i := range in.Features.Lexical {
		in.Features.Lexical[i] = rapid.Int16().Draw(t, "lexical")
	}
	return in
}

func TestInputsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawInputs(t)
		packed := in.AppendBinary([]byte("before"))
		if !bytes.HasPrefix(packed, []byte("before")) {
			t.Fatal("what stood before was written over")
		}
		packed = packed[len("before"):]
		var out Inputs
		if err := out.UnmarshalBinary(packed); err != nil {
			t.Fatal(err)
		}
		if out != in {
			t.Fatalf("got %+v, want %+v", out, in)
		}
		cut := rapid.IntRange(0, len(packed)-1).Draw(t, "cut")
		kept := out
		if err := out.UnmarshalBinary(packed[:cut]); !errors.Is(err, ErrInputs) || out != kept {
			t.Fatalf("%d of %d bytes were taken: %v", cut, len(packed), err)
		}
		if err := out.UnmarshalBinary(append(packed, 0)); !errors.Is(err, ErrInputs) {
			t.Fatal("a byte too many was taken")
		}
	})
}

// TestInputsOfBeforeCallersCouldBeBarredBarNobody holds bytes that were packed then
// against what they meant: nobody is anonymous or barred.
func TestInputsOfBeforeCallersCouldBeBarredBarNobody(t *testing.T) {
	in := testInputs()
	in.RequestModel, in.Features.Gates, in.Assessment.Version = "other", schemas.GateInAnthropic, 3 // of then
	packed := in.AppendBinary(nil)
	if packed[0] != inputsPlain || xxhash.Sum64(packed) != 0x4159ab7520e2e5b3 {
		t.Errorf("version %d, %#x: what bars nobody is packed otherwise than it was", packed[0], xxhash.Sum64(packed))
	}
	var again Inputs
	if err := again.UnmarshalBinary(packed); err != nil || again.Barred != 0 || again.Features.Gates&schemas.GateAnonymous != 0 {
		t.Fatalf("%+v, %v", again, err)
	}
	if d := Decide(&again, NewSnapshot(testParts())); d.Route != "anthropic/claude" {
		t.Errorf("decided for %s", d.Route)
	}
	in.Barred = 1
	if packed = in.AppendBinary(nil); packed[0] != inputsBarred {
		t.Errorf("what is barred is packed in version %d", packed[0])
	}
}

// TestDecisionsCanBeTakenAgain: from packed Inputs and the snapshot.
func TestDecisionsCanBeTakenAgain(t *testing.T) {
	s := NewSnapshot(testParts())
	rapid.Check(t, func(t *rapid.T) {
		in := drawInputs(t)
		in.Workload = rapid.SampledFrom([]string{"faq", "proven", "forced", "watched"}).Draw(t, "w")
		in.Provider, in.Dialect, in.Operation = "openai", chat, "chat"
		in.RequestModel = rapid.SampledFrom([]string{"big", "other", "odd"}).Draw(t, "m")
		in.Features.Gates &= everything
		in.Features.PromptTokens %= 50_000
		in.Features.MaxOutput %= 9_000
		var again Inputs
		if err := again.UnmarshalBinary(in.AppendBinary(nil)); err != nil {
			t.Fatal(err)
		}
		a, b := Decide(&in, s), Decide(&again, NewSnapshot(testParts()))
		if string(decisionBytes(&a)) != string(decisionBytes(&b)) {
			t.Fatalf("%+v, then %+v", a, b)
		}
	})
}

func decisionBytes(d *Decision) []byte {
	h := hasher{}
	h.text(d.Route)
	h.texts(d.Candidates)
	for _, r := range d.Rejects {
		h.number(uint64(r))
	}
	h.number(uint64(d.BaselineReject))
	h.flag(d.Act)
	h.number(uint64(d.Expected.Nano))
	h.flag(d.Expected.Known)
	h.text(string(d.Evidence))
	h.number(uint64(d.Adequate.P))
	h.flag(d.Adequate.Known)
	h.text(string(d.Held))
	h.text(string(d.Mode))
	h.number(uint64(d.PolicyVersion))
	h.number(d.SnapshotHash)
	return h
}

func FuzzInputs(f *testing.F) {
	in := testInputs()
	f.Add(in.AppendBinary(nil))
	f.Add([]byte{1})
	in.Barred = 2
	f.Add(in.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, packed []byte) {
		var in Inputs
		if in.UnmarshalBinary(packed) != nil {
			return
		}
		var again Inputs
		if err := again.UnmarshalBinary(in.AppendBinary(nil)); err != nil || again != in {
			t.Fatalf("%+v, then %+v: %v", in, again, err)
		}
	})
}
