package activation

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

// Shares in basis points.
const (
	Everything     schemas.BasisPoints = 10_000
	DefaultControl schemas.BasisPoints = 500 // 5 %, for ever: savings are verified against it
)

// MaxVerdictAge is how old a verdict may be that supports an activation. The
// analyzer looks every hour: an older one means that it no longer does, and what
// has changed since is unknown.
const MaxVerdictAge = 3 * 24 * time.Hour

// saltBytes is the length of an assignment salt.
const saltBytes = 16

// Request is a person's wish to activate a workload.
type Request struct {
	Project, Workload string
	Candidate         string // provider/model
	RequestModel      string // baseline it applies to; empty: the verdict's, or any under an override
	Share             schemas.BasisPoints
	Threshold         *float64 // nil: the verdict's, or everything under an override without one
	Override          bool
	Actor, Reason     string
}

// Facts are what the rules need to know beside the request.
type Facts struct {
	Current  *schemas.Policy   // nil: none yet
	Verdicts []schemas.Verdict // the latest of this workload, all candidates
	Now      time.Time
	Provider func(name string) bool
	Priced   func(provider, model string) bool
	InLadder func(baseline, candidate string) bool // baseline empty: in any ladder
	Outdated func(*schemas.Verdict) schemas.Held   // why the verdict speaks of nothing now; nil: it does
}

// Errors of the rules. ErrUnsupported may be overridden, ErrInvalid may not.
var (
	ErrInvalid     = errors.New("this cannot be activated")
	ErrUnsupported = errors.New("the verdict does not support this")
	ErrNothing     = errors.New("nothing to roll back")
	ErrName        = errors.New("this cannot be named so")
	ErrUnnamed     = errors.New("there is no name to take back")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Activate turns a wish into the policy that would grant it. What the verdict
// does not support is refused with ErrUnsupported, saying why, unless
// overridden; the override and what stood against it are part of the record.
func Activate(r Request, f Facts) (schemas.Policy, error) {
	if err := check(r, f); err != nil {
		return schemas.Policy{}, err
	}
	p := schemas.Policy{
		Project: r.Project, Workload: r.Workload, Candidate: r.Candidate, RequestModel: r.RequestModel,
		Share: r.Share, Control: DefaultControl, Threshold: 1, Mode: schemas.ModeCanary, Actor: r.Actor, Reason: r.Reason,
	}
	if r.Share == Everything {
		p.Mode = schemas.ModeLive
	}
	if f.Current != nil {
		p.Replaces, p.Salt, p.Control = f.Current.Version, f.Current.Salt, f.Current.Control
	}
	if len(p.Salt) == 0 {
		p.Salt = make([]byte, saltBytes)
		_, _ = rand.Read(p.Salt) // never fails
		p.Control = DefaultControl
	}
	v := pick(r, f.Verdicts)
	against := objection(r, v, f)
	if against != "" {
		if !r.Override {
			return schemas.Policy{}, fmt.Errorf("%w: %s; --override activates it all the same, and is recorded and shown from then on", ErrUnsupported, against)
		}
		p.Override, p.OverrideReason = true, against
	}
	if v != nil {
		p.VerdictAt, p.Threshold = v.ComputedAt, v.Threshold
		if p.RequestModel == "" && !p.Override {
			p.RequestModel = v.RequestModel
		}
	}
	if r.Threshold != nil {
		p.Threshold = *r.Threshold
	}
	return p, nil
}

func check(r Request, f Facts) error {
	provider, model, ok := strings.Cut(r.Candidate, "/")
	switch {
	case r.Workload == "":
		return invalid("no workload is named")
	case r.Workload == "~other" || r.Workload == "~unnamed":
		return invalid("%s is no workload of one kind: it holds what could not be told apart, and changes by itself", r.Workload)
	case strings.TrimSpace(r.Reason) == "":
		return invalid("a reason is required: whoever finds this in a year wants to know why (--reason \"…\")")
	case !ok || provider == "" || model == "":
		return invalid("candidate %q: want provider/model, like openai/gpt-4o-mini", r.Candidate)
	case r.Share == 0 || r.Share > Everything:
		return invalid("share must be above 0 %% and at most 100 %%; to stop, roll back")
	case r.Threshold != nil && (*r.Threshold < 0 || *r.Threshold > 1):
		return invalid("threshold must be between 0 and 1 (1 admits every request)")
	case !f.Provider(provider):
		return invalid("provider %q is not configured: add providers.%s to the configuration", provider, provider)
	case !f.Priced(provider, model):
		return invalid("%s has no price, so no saving could be told: add it to the price book", r.Candidate)
	}
	return nil
}

// pick finds the verdict that speaks of the wish: of its candidate, and of its
// requested model where one is named; else the one with the most traffic.
func pick(r Request, verdicts []schemas.Verdict) *schemas.Verdict {
	var best *schemas.Verdict
	for i := range verdicts {
		v := &verdicts[i]
		if v.Candidate != r.Candidate || (r.RequestModel != "" && v.RequestModel != r.RequestModel && v.Provider+"/"+v.RequestModel != r.RequestModel) {
			continue
		}
		if best == nil || v.Savings.Requests > best.Savings.Requests {
			best = v
		}
	}
	return best
}

// objection says what stands against the wish, or nothing.
func objection(r Request, v *schemas.Verdict, f Facts) string {
	switch {
	case v == nil && !f.InLadder(r.RequestModel, r.Candidate):
		return fmt.Sprintf("%s is in no ladder and nothing is known of it in this workload", r.Candidate)
	case v == nil:
		return fmt.Sprintf("there is no verdict on %s in this workload yet", r.Candidate)
	case v.Readiness != schemas.Ready:
		why := ""
		if len(v.Reasons) > 0 {
			why = ": " + strings.TrimSuffix(v.Reasons[0], ".")
		}
		return fmt.Sprintf("the verdict on %s is %q%s", r.Candidate, v.Readiness, why)
	case f.Outdated != nil && f.Outdated(v) != schemas.HeldNot:
		return fmt.Sprintf("the verdict on %s holds no more. %s", r.Candidate, strings.TrimSuffix(f.Outdated(v).Sentence(), "."))
	case f.Now.Sub(v.ComputedAt) > MaxVerdictAge:
		return fmt.Sprintf("the verdict on %s is of %s: the analyzer has not looked for %.0f days (gnomon doctor)", r.Candidate, v.ComputedAt.UTC().Format(time.DateTime), f.Now.Sub(v.ComputedAt).Hours()/24)
	case r.Threshold != nil && *r.Threshold > v.Threshold:
		return fmt.Sprintf("threshold %v is above the verdict's %v: the evidence is of fewer requests than that would route", *r.Threshold, v.Threshold)
	}
	return ""
}

// Rollback turns the workload back to observing. Candidate, threshold and salt
// stay in the record: the would-be route goes on being recorded, and a later
// activation keeps every session on its arm.
func Rollback(current *schemas.Policy, actor, reason string) (schemas.Policy, error) {
	if current == nil || current.Mode == schemas.ModeObserve {
		return schemas.Policy{}, ErrNothing
	}
	if strings.TrimSpace(reason) == "" {
		return schemas.Policy{}, invalid("a reason is required (--reason \"…\")")
	}
	p := *current
	p.Replaces, p.Mode, p.Share = current.Version, schemas.ModeObserve, 0
	p.Actor, p.Reason = actor, reason
	return p, nil
}

// ParseShare reads "25%", "25 %" or "0.25". A bare 1 is refused like a bare 25: it
// could be meant either way, and one of them moves everything.
func ParseShare(s string) (schemas.BasisPoints, error) {
	text, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || f != f {
		return 0, invalid("share %q: want a percentage like 25%%", s)
	}
	if percent {
		f /= 100
	} else if f == 1 {
		return 0, invalid("share %q: did you mean 1%% or 100%%?", s)
	} else if f > 1 {
		return 0, invalid("share %q: more than everything; did you mean %s%%?", s, s)
	}
	if f <= 0 || f > 1 {
		return 0, invalid("share %q: want above 0%% and at most 100%%", s)
	}
	bp := schemas.BasisPoints(f*10_000 + 0.5)
	if bp == 0 {
		return 0, invalid("share %q is below 0.01%%", s)
	}
	return bp, nil
}
