package activation

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func facts(current *schemas.Policy, verdicts ...schemas.Verdict) Facts {
	return Facts{
		Current: current, Verdicts: verdicts, Now: time.Unix(3600, 0),
		Provider: func(p string) bool { return p == "openai" },
		Priced:   func(_, m string) bool { return m != "mystery" },
		InLadder: func(_, c string) bool { return c == "openai/small" },
	}
}

func wish() Request {
	return Request{Project: "acme", Workload: "w", Candidate: "openai/small", Share: 2500, Actor: "ann", Reason: "because"}
}

func verdict(r schemas.Readiness) schemas.Verdict {
	return schemas.Verdict{Workload: "w", Candidate: "openai/small", RequestModel: "big", Readiness: r, Reasons: []string{"400 more pairs"}, Threshold: 0.4, ComputedAt: time.Unix(1, 0)}
}

func TestWhatMayBeActivated(t *testing.T) {
	half, high := 0.3, 0.9
	for _, tt := range []struct {
		name   string
		change func(*Request)
		facts  Facts
		want   error
		text   string
	}{
		{"a ready candidate is activated without ado", nil, facts(nil, verdict(schemas.Ready)), nil, ""},
		{"a lower threshold than the verdict's is within its evidence", func(r *Request) { r.Threshold = &half }, facts(nil, verdict(schemas.Ready)), nil, ""},
		{"a higher threshold than the verdict's is not", func(r *Request) { r.Threshold = &high }, facts(nil, verdict(schemas.Ready)), ErrUnsupported, "fewer requests"},
		{"without a verdict it is refused", nil, facts(nil), ErrUnsupported, "no verdict"},
		{"a collecting one is refused with what is missing", nil, facts(nil, verdict(schemas.Collecting)), ErrUnsupported, "400 more pairs"},
		{"a worse one is refused", nil, facts(nil, verdict(schemas.Worse)), ErrUnsupported, "worse"},
		{"a worse one goes live when overridden", func(r *Request) { r.Override = true }, facts(nil, verdict(schemas.Worse)), nil, ""},
		{"a verdict that nobody has looked at again for days is refused", nil, func() Facts {
			f := facts(nil, verdict(schemas.Ready))
			f.Now = f.Now.Add(MaxVerdictAge)
			return f
		}(), ErrUnsupported, "has not looked"},
		{"a verdict that stands on the scores of other weights is refused", nil, func() Facts {
			f := facts(nil, verdict(schemas.Ready))
			f.Outdated = func(*schemas.Verdict) schemas.Held { return schemas.HeldWeights }
			return f
		}(), ErrUnsupported, "holds no more. The evidence stands on the scores of other weights"},
		{"one that speaks of what is decided is none of those", nil, func() Facts {
			f := facts(nil, verdict(schemas.Ready))
			f.Outdated = func(*schemas.Verdict) schemas.Held { return schemas.HeldNot }
			return f
		}(), nil, ""},
		{"the baseline may be named with its provider", func(r *Request) { r.RequestModel = "openai/big" }, func() Facts {
			v := verdict(schemas.Ready)
			v.Provider = "openai"
			return facts(nil, v)
		}(), nil, ""},
		{"and is then no other provider's", func(r *Request) { r.RequestModel = "azure/big" }, func() Facts {
			v := verdict(schemas.Ready)
			v.Provider = "openai"
			return facts(nil, v)
		}(), ErrUnsupported, "no verdict"},
		{"outside any ladder it is refused", func(r *Request) { r.Candidate = "openai/other" }, facts(nil), ErrUnsupported, "no ladder"},
		{"outside any ladder it may be overridden", func(r *Request) { r.Candidate = "openai/other"; r.Override = true }, facts(nil), nil, ""},
		{"an unpriced one is never activated", func(r *Request) { r.Candidate = "openai/mystery"; r.Override = true }, facts(nil), ErrInvalid, "price"},
		{"a provider that is not configured", func(r *Request) { r.Candidate = "acme/small"; r.Override = true }, facts(nil), ErrInvalid, "providers.acme"},
		{"no reason", func(r *Request) { r.Reason = " " }, facts(nil, verdict(schemas.Ready)), ErrInvalid, "reason"},
		{"no share", func(r *Request) { r.Share = 0 }, facts(nil, verdict(schemas.Ready)), ErrInvalid, "share"},
		{"a candidate without provider", func(r *Request) { r.Candidate = "small" }, facts(nil, verdict(schemas.Ready)), ErrInvalid, "provider/model"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := wish()
			if tt.change != nil {
				tt.change(&r)
			}
			_, err := Activate(r, tt.facts)
			if !errors.Is(err, tt.want) || (err != nil && !strings.Contains(err.Error(), tt.text)) {
				t.Errorf("Activate = %v; want %v naming %q", err, tt.want, tt.text)
			}
		})
	}
}

func TestTheThresholdIsTheVerdictsOrEverythingUnderAnOverrideWithoutOne(t *testing.T) {
	supported, err := Activate(wish(), facts(nil, verdict(schemas.Ready)))
	if err != nil || supported.Threshold != 0.4 || supported.RequestModel != "big" || supported.Override {
		t.Errorf("supported: %+v, %v", supported, err)
	}
	r := wish()
	r.Override = true
	blind, err := Activate(r, facts(nil))
	if err != nil || blind.Threshold != 1 || !blind.Override || !strings.Contains(blind.OverrideReason, "no verdict") {
		t.Errorf("overridden: %+v, %v", blind, err)
	}
}

func TestAnOverrideThatWasNotNeededIsNotRecordedAsOne(t *testing.T) {
	r := wish()
	r.Override = true
	p, err := Activate(r, facts(nil, verdict(schemas.Ready)))
	if err != nil || p.Override {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestSaltAndControlOutliveRollbackAndRamp(t *testing.T) {
	first, err := Activate(wish(), facts(nil, verdict(schemas.Ready)))
	if err != nil || len(first.Salt) != saltBytes || first.Control != DefaultControl || first.Mode != schemas.ModeCanary {
		t.Fatalf("%+v, %v", first, err)
	}
	first.Version = 1
	back, err := Rollback(&first, "ann", "worse answers")
	if err != nil || back.Mode != schemas.ModeObserve || back.Share != 0 || back.Replaces != 1 || back.Candidate != first.Candidate {
		t.Fatalf("%+v, %v", back, err)
	}
	back.Version = 2
	r := wish()
	r.Share = Everything
	again, err := Activate(r, facts(&back, verdict(schemas.Ready)))
	if err != nil || !bytes.Equal(again.Salt, first.Salt) || again.Replaces != 2 || again.Mode != schemas.ModeLive {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := Rollback(&back, "ann", "again"); !errors.Is(err, ErrNothing) {
		t.Errorf("rolling back what observes: %v", err)
	}
	if _, err := Rollback(nil, "ann", "x"); !errors.Is(err, ErrNothing) {
		t.Errorf("rolling back what was never activated: %v", err)
	}
}

func TestParseShare(t *testing.T) {
	for in, want := range map[string]schemas.BasisPoints{"25%": 2500, "25 %": 2500, "0.25": 2500, "100%": 10000, "0.5%": 50, "0.01%": 1} {
		if got, err := ParseShare(in); err != nil || got != want {
			t.Errorf("ParseShare(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "all", "0", "0%", "-1%", "101%", "25", "1", "1.0", "25abc", "NaN", "0.001%", "1e9%"} {
		if got, err := ParseShare(in); !errors.Is(err, ErrInvalid) {
			t.Errorf("ParseShare(%q) = %d, %v", in, got, err)
		}
	}
}
