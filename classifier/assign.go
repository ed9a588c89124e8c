package classifier

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/gnomon-llm/gnomon/schemas"
)

// buckets is the resolution of the assignment: one basis point.
const buckets = 10_000

// Assign returns the arm of a session under a policy. It is a keyed hash of
// project, workload and session, so every proxy agrees without talking, and a
// caller cannot choose an arm without knowing the salt.
//
// Control and treated are drawn by separate parts of the hash: a share that
// grows keeps every treated session treated, and a session leaves or joins the
// control arm only when the control share itself changes.
//
// It is none while the workload observes or is paused, without a salt, and
// without a session.
func Assign(p *schemas.Policy, session string) schemas.Arm {
	if p == nil || len(p.Salt) == 0 || session == "" || p.Mode != schemas.ModeCanary && p.Mode != schemas.ModeLive {
		return schemas.ArmNone
	}
	mac := hmac.New(sha256.New, p.Salt)
	msg := make([]byte, 0, 192)
	msg = append(append(msg, p.Project...), 0)
	msg = append(append(msg, p.Workload...), 0)
	msg = append(msg, session...)
	mac.Write(msg)
	var digest [sha256.Size]byte
	h := mac.Sum(digest[:0])
	// 64 bits modulo 10,000: the bias is below 1e-15.
	if binary.BigEndian.Uint64(h[:8])%buckets < uint64(p.Control) {
		return schemas.ArmControl
	}
	if binary.BigEndian.Uint64(h[8:16])%buckets < uint64(p.Share) {
		return schemas.ArmTreated
	}
	return schemas.ArmNone
}
