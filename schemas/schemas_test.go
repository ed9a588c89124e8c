package schemas

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMoneyIsWrittenAndReadExactly(t *testing.T) {
	for n, want := range map[NanoUSD]string{
		0: "0.000000000", 1: "0.000000001", -150: "-0.000000150", Dollar: "1.000000000", 12_345_678_901: "12.345678901",
		math.MaxInt64: "9223372036.854775807", math.MinInt64: "-9223372036.854775808",
	} {
		if got := n.String(); got != want {
			t.Errorf("%d is written %s, want %s", int64(n), got, want)
		}
		if back, err := ParseUSD(want); err != nil || back != n {
			t.Errorf("%s is read as %d, %v", want, int64(back), err)
		}
	}
	for _, s := range []string{"", ".", ".5", "1.0000000001", "1e3", "--1", "+1", "1_000", "0x10", "9223372036.854775808", "1,5", " 1", "$1"} {
		if n, err := ParseUSD(s); !errors.Is(err, ErrMoney) {
			t.Errorf("%q is taken for %v (%v)", s, n, err)
		}
	}
	if n, err := ParseUSD("2.5"); err != nil || n != 2_500_000_000 {
		t.Errorf("2.5 is %v, %v", n, err)
	}
}

func TestMoneyGoesRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := NanoUSD(rapid.Int64().Draw(t, "n"))
		if back, err := ParseUSD(n.String()); err != nil || back != n {
			t.Fatalf("%d → %s → %d, %v", int64(n), n, int64(back), err)
		}
		o := OptUSD{Nano: n, Known: rapid.Bool().Draw(t, "known")}
		if !o.Known {
			o.Nano = 0
		}
		raw, err := json.Marshal(o)
		var got OptUSD
		if err == nil {
			err = json.Unmarshal(raw, &got)
		}
		if err != nil || got != o {
			t.Fatalf("%+v → %s → %+v, %v", o, raw, got, err)
		}
	})
}

func TestAnUnknownPriceIsNullAndNeverZero(t *testing.T) {
	raw, err := json.Marshal(RequestEvent{})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{`"cost":null`, `"baseline_cost":null`, `"would_cost":null`} {
		if !strings.Contains(string(raw), field) {
			t.Errorf("an event without prices lacks %s", field)
		}
	}
	var o OptUSD
	if err := json.Unmarshal([]byte("1.5"), &o); err == nil {
		t.Error("a fraction of a nano-dollar was taken")
	}
	if o.String() != "unpriced" {
		t.Errorf("unknown reads %q", o)
	}
}

func TestEveryRejectHasACodeAndASentenceOfItsOwn(t *testing.T) {
	codes, sentences := map[string]Reject{}, map[string]Reject{}
	for r := RejectNone; r <= RejectKeyScope; r++ {
		code, sentence := r.Code(), r.Sentence()
		if code == "unknown" || !strings.HasSuffix(sentence, ".") {
			t.Errorf("reject %d has code %q and sentence %q", r, code, sentence)
		}
		if other, dup := codes[code]; dup {
			t.Errorf("%q is the code of %d and %d", code, other, r)
		}
		if other, dup := sentences[sentence]; dup {
			t.Errorf("%d and %d have one sentence", other, r)
		}
		codes[code], sentences[sentence] = r, r
	}
	if len(RejectCodes()) != int(RejectKeyScope)+1 {
		t.Errorf("%d codes for %d reasons", len(RejectCodes()), RejectKeyScope+1)
	}
	if Reject(60_000).Code() != "unknown" {
		t.Error("a newer gnomon's reason has no word")
	}
}

// The numbers are in stores for 400 days: a reason moved is a history misread.
func TestCodesAreNeverRenumbered(t *testing.T) {
	for want, r := range map[string]Reject{"tools": 1, "context": 9, "repeated_key": 14, "unpriced": 17, "not_cheaper": 18, "dialect": 19, "no_credential": 20, "score": 22, "bypassed": 24, "classifier": 31, "anonymous": 32, "key_scope": 33} {
		if r.Code() != want {
			t.Errorf("code %d reads %q, and read %q when it was first stored", r, r.Code(), want)
		}
	}
	for want, g := range map[Gate]Gate{1: GateTools, 2: GateParallelTools, 4: GateVision, 512: GateSignedThinking, 4096: GateUnreadable, 32768: GateWebSearch, 524288: GateAnonymous} {
		if g != want {
			t.Errorf("a gate has moved to %d from %d", g, want)
		}
	}
}

func TestAPolicyComesBackFromItsTopic(t *testing.T) {
	p := Policy{SchemaVersion: SchemaVersion, Project: "acme", Workload: "a/b", Version: 2, Replaces: 1, Mode: ModeCanary, Candidate: "openai/small", Share: 2500, Control: 500,
		Threshold: .4, Salt: []byte{1, 2}, Actor: "ann", Reason: "r", At: time.UnixMilli(5).UTC()}
	raw, err := json.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	var got Policy
	if err := json.Unmarshal(raw, &got); err != nil || got.Key() != "acme/a/b" || got.Share != 2500 || string(got.Salt) != string(p.Salt) || !got.VerdictAt.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestEachFileOfTheDDLIsOneStatementThatCanBeRunAgain(t *testing.T) {
	files, err := fs.Glob(DDL, "ddl/*.sql")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		raw, err := fs.ReadFile(DDL, path)
		if err != nil {
			t.Fatal(err)
		}
		text, statement := string(raw), ""
		fills := strings.Contains(text, "INSERT INTO") && strings.Contains(text, "NOT IN (SELECT") // what is there is left out
		codecs := strings.Count(text, "MODIFY COLUMN") > 0 && strings.Count(text, "MODIFY COLUMN") == strings.Count(text, " CODEC(")
		if !codecs && !strings.Contains(text, "IF NOT EXISTS") && !strings.Contains(text, "CREATE OR REPLACE VIEW") && !fills {
			t.Errorf("%s cannot be run twice", path)
		}
		for line := range strings.SplitSeq(text, "\n") {
			if !strings.HasPrefix(strings.TrimSpace(line), "--") {
				statement += line
			}
		}
		if strings.Contains(statement, ";") {
			t.Errorf("%s holds more than one statement", path)
		}
	}
}
