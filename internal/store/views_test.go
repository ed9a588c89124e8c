package store

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

func TestTheWordsOfTheRejectViewAreTheCodes(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(15, 16))
	var batch []schemas.RequestEvent
	for code := range schemas.RejectCodes() {
		e := someEvent(project, r)
		e.Candidates, e.Rejects, e.Workload = []string{"openai/small"}, []schemas.Reject{code}, code.Code()
		batch = append(batch, e)
	}
	none := someEvent(project, r)
	none.Candidates, none.Rejects, none.BaselineReject, none.Workload = nil, nil, schemas.RejectBypassed, schemas.RejectBypassed.Code()
	if err := s.InsertRequests(t.Context(), "", append(batch, none)); err != nil {
		t.Fatal(err)
	}
	n := count(t, s, "SELECT count() FROM gnomon.rejects WHERE project = '"+project+"' AND reason = workload")
	if n != uint64(len(batch)+1) {
		t.Errorf("%d of %d reasons read as their code", n, len(batch)+1)
	}
}

func TestCompletenessIsADifferenceAnyoneCanSee(t *testing.T) {
	s, project := open(t)
	r := rand.New(rand.NewPCG(17, 18))
	boot := r.Uint64() >> 12
	var batch []schemas.RequestEvent
	for seq := range uint64(5) {
		e := someEvent(project, r)
		e.BootID, e.Seq, e.Revision = boot, seq+1, 1
		if seq == 4 {
			e.Status, e.Revision = schemas.StatusLost, 0
		}
		batch = append(batch, e)
	}
	err := errors.Join(
		s.InsertRequests(t.Context(), "", batch),
		s.InsertHeartbeats(t.Context(), "", []schemas.Heartbeat{{BootID: boot, Proxy: "p", At: time.Now(), Accepted: 9, Ended: 9, LastSeq: 9}}),
		s.InsertDeclared(t.Context(), "", []schemas.Declared{{BootID: boot, FirstSeq: 6, LastSeq: 7, Reason: "spool_full", At: time.Now()}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Completeness(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range c.Lives {
		if l.BootID == boot {
			if l.Accepted != 9 || l.Stored != 4 || l.Declared != 3 || l.Waiting() != 2 {
				t.Errorf("%+v", l)
			}
			return
		}
	}
	t.Error("the proxy life is not there")
}

func TestViewsCanBeRead(t *testing.T) {
	s, _ := open(t)
	for _, view := range []string{"completeness", "spend_daily", "workloads", "would_routes", "rejects", "latest_verdicts", "accepted_policies"} {
		if _, err := s.Query(t.Context(), "SELECT * FROM gnomon."+view+" LIMIT 3"); err != nil {
			t.Errorf("%s: %v", view, err)
		}
	}
}
