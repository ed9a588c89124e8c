package classifier

import (
	"fmt"
	"math"
	"testing"

	"github.com/gnomon-llm/gnomon/schemas"
)

func livePolicy() *schemas.Policy {
	return &schemas.Policy{Project: "shop", Workload: "faq", Mode: schemas.ModeLive, Salt: []byte("0123456789abcdef"), Share: 2500, Control: 500}
}

func TestArmsHaveTheirShares(t *testing.T) {
	const sessions = 50_000
	p := livePolicy()
	n := map[schemas.Arm]float64{}
	for i := range sessions {
		n[Assign(p, fmt.Sprint("session-", i))]++
	}
	for arm, share := range map[schemas.Arm]float64{schemas.ArmControl: .05, schemas.ArmTreated: .95 * .25, schemas.ArmNone: .95 * .75} {
		if sd := math.Sqrt(share * (1 - share) / sessions); math.Abs(n[arm]/sessions-share) > 5*sd {
			t.Errorf("%s: %.4f of sessions, want %.4f ± %.4f", arm, n[arm]/sessions, share, 5*sd)
		}
	}
}

func TestAGrowingShareKeepsEverySession(t *testing.T) {
	for i := range 5000 {
		session := fmt.Sprint("s", i)
		last := schemas.ArmNone
		for _, share := range []schemas.BasisPoints{0, 100, 500, 2500, 5000, 9999, 10000} {
			p := livePolicy()
			p.Share, p.Version = share, uint32(share)
			arm := Assign(p, session)
			if last != schemas.ArmNone && arm != last {
				t.Fatalf("%s was %s and is %s at %d", session, last, arm, share)
			}
			last = arm
		}
		if last == schemas.ArmNone {
			t.Fatalf("%s is in no arm at full share", session)
		}
	}
}

func TestWhoIsInNoArm(t *testing.T) {
	for name, change := range map[string]func(*schemas.Policy){
		"while observing": func(p *schemas.Policy) { p.Mode = schemas.ModeObserve }, "while paused": func(p *schemas.Policy) { p.Mode = schemas.ModePaused }, "without a salt": func(p *schemas.Policy) { p.Salt = nil },
	} {
		p := livePolicy()
		p.Control = 10000
		change(p)
		if arm := Assign(p, "s"); arm != schemas.ArmNone {
			t.Errorf("%s: %s", name, arm)
		}
	}
	if Assign(nil, "s") != schemas.ArmNone || Assign(livePolicy(), "") != schemas.ArmNone {
		t.Error("neither a workload without a policy nor a request without a session is in an arm")
	}
}

// TestAssignmentIsFixed pins the hash: another version of gnomon must put every
// session into the arm it had.
func TestAssignmentIsFixed(t *testing.T) {
	p := livePolicy()
	p.Share, p.Control = 5000, 3000
	got := ""
	for i := range 40 {
		got += string(Assign(p, fmt.Sprint("session-", i))[:1])
	}
	if want := "tncntcnctcntttccntnnttttcncttnncnnctncct"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	other := *p
	other.Workload = "other"
	moved := 0
	for i := range 100 {
		if s := fmt.Sprint("session-", i); Assign(p, s) != Assign(&other, s) {
			moved++
		}
	}
	if moved < 30 {
		t.Errorf("workloads share their assignment: only %d of 100 differ", moved)
	}
}
