package simulator

import (
	"testing"

	"github.com/gnomon-llm/gnomon/analyzer/familiar"
	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/schemas"
)

// switchedOn is the configuration with every workload of the world live at all
// its sessions, nobody having overridden anything, under the evidence given.
func switchedOn(t *testing.T, k *kept, evidence ...classifier.Evidence) HistoryConfig {
	cfg := configuration(t, 1)
	p := cfg.Snapshot.Parts()
	had := map[string]bool{}
	for i := range k.events {
		if w := k.events[i].Workload; !had[w] {
			had[w] = true
			p.Policies = append(p.Policies, schemas.Policy{Project: "acme", Workload: w, Version: 1, Mode: schemas.ModeLive, Share: 10_000, Salt: []byte("0123456789abcdef")})
		}
	}
	p.Evidence = evidence
	cfg.Snapshot = classifier.NewSnapshot(p)
	return cfg
}

// acts reports whether the route recorded would have been taken.
func acts(e *schemas.RequestEvent) bool {
	return e.WouldRoute != e.Provider+"/"+e.RequestModel && e.Held == schemas.HeldNot
}

// TestNoTrafficIsMovedWithoutEvidence is R11 of the routing targets, over
// simulated traffic of every workload.
func TestNoTrafficIsMovedWithoutEvidence(t *testing.T) {
	w := NewWorld(9, .05)
	seen, _ := record(t, w, configuration(t, 1))
	for name, state := range map[string]schemas.EvidenceState{"nothing known": "", "collecting": schemas.EvidenceCollecting, "worse": schemas.EvidenceWorse} {
		t.Run(name, func(t *testing.T) {
			var evidence []classifier.Evidence
			for key := range routesOf(seen) {
				evidence = append(evidence, classifier.Evidence{Workload: key.workload, Provider: key.provider, Scorer: classifier.Builtin().Scorer(), RequestModel: key.model, Candidate: key.candidate, State: state})
			}
			k, _ := record(t, w, switchedOn(t, seen, evidence...))
			routed := 0
			for i := range k.events {
				e := &k.events[i]
				if acts(e) {
					t.Fatalf("%s to %s, evidence %s, held %q", e.Workload, e.WouldRoute, e.EvidenceState, e.Held)
				}
				if e.Mode != schemas.ModeLive || e.Arm != schemas.ArmTreated {
					t.Fatalf("the policy does not hold: %s, %s", e.Mode, e.Arm)
				}
				if e.Held == schemas.HeldEvidence {
					routed++
				}
			}
			if routed < len(k.events)/4 {
				t.Errorf("only %d of %d routes were recorded all the same", routed, len(k.events))
			}
		})
	}
	ready := func(profile schemas.Profile) *kept {
		var evidence []classifier.Evidence
		for key := range routesOf(seen) {
			evidence = append(evidence, classifier.Evidence{Workload: key.workload, Provider: key.provider, Scorer: classifier.Builtin().Scorer(), RequestModel: key.model, Candidate: key.candidate, State: schemas.EvidenceReady, Profile: profile})
		}
		k, _ := record(t, w, switchedOn(t, seen, evidence...))
		return k
	}
	t.Run("ready, but nobody knows by what prompts", func(t *testing.T) {
		for _, e := range ready(schemas.Profile{}).events {
			if acts(&e) {
				t.Fatalf("%s to %s, held %q", e.Workload, e.WouldRoute, e.Held)
			}
		}
	})
	t.Run("and the check would notice", func(t *testing.T) {
		shape := make([]int32, classifier.ShapeSize)
		k := ready(schemas.Profile{Features: classifier.Version, Pairs: 100, Middle: shape, Scale: make([]uint32, classifier.ShapeSize), Bound: classifier.Strangest - 1})
		for i := range k.events {
			if acts(&k.events[i]) {
				return
			}
		}
		t.Error("nothing acts with evidence either")
	})
}

type routeKey struct{ workload, provider, model, candidate string }

// routesOf files requests under the candidate they would go to.
func routesOf(k *kept) map[routeKey][]*schemas.RequestEvent {
	out := map[routeKey][]*schemas.RequestEvent{}
	for i := range k.events {
		if e := &k.events[i]; e.WouldRoute != e.Provider+"/"+e.RequestModel {
			key := routeKey{e.Workload, e.Provider, e.RequestModel, e.WouldRoute}
			out[key] = append(out[key], e)
		}
	}
	return out
}

// TestAPromptUnlikeTheGradedIsNotMoved gives every candidate sufficient evidence,
// of a sample of the first day's prompts, and sends it the next day's own prompts
// and those of all other workloads.
func TestAPromptUnlikeTheGradedIsNotMoved(t *testing.T) {
	w := NewWorld(9, .2)
	seen, _ := record(t, w, configuration(t, 1))
	var evidence []classifier.Evidence
	for key, events := range routesOf(seen) {
		var prompts []familiar.Seen
		for _, e := range events[:min(len(events), 200)] {
			s, ok := familiar.Unpack(e.Inputs)
			if !ok {
				t.Fatal("inputs that this build made cannot be read")
			}
			s.Cluster = e.Session
			prompts = append(prompts, s)
		}
		if p := familiar.Fit(prompts); p != nil {
			evidence = append(evidence, classifier.Evidence{Workload: key.workload, Provider: key.provider, Scorer: classifier.Builtin().Scorer(), RequestModel: key.model, Candidate: key.candidate, State: schemas.EvidenceReady, Profile: *p})
		}
	}
	cfg := switchedOn(t, seen, evidence...)
	cfg.From, cfg.To = cfg.To, cfg.To.AddDate(0, 0, 1)
	next, _ := record(t, w, cfg)
	var own, ownNovel, foreign, foreignActed int
	for _, e := range evidence {
		for i := range next.events {
			ev := &next.events[i]
			var in classifier.Inputs
			if in.UnmarshalBinary(ev.Inputs) != nil || in.Features.Gates&schemas.GateUnreadable != 0 {
				continue
			}
			mine := in.Workload == e.Workload
			if mine && in.RequestModel != e.RequestModel {
				continue
			}
			in.Workload, in.RequestModel, in.Provider, in.Dialect = e.Workload, e.RequestModel, cutProvider(e.Candidate), dialectOf(cutProvider(e.Candidate))
			d := classifier.Decide(&in, cfg.Snapshot)
			if d.Route != e.Candidate {
				continue
			}
			strange, ok := classifier.Strangeness(&in.Features, in.Assessment.Task, &e.Profile)
			if novel := ok && strange > e.Profile.Bound; novel == d.Act || novel != (d.Held == schemas.HeldNovel) {
				t.Fatalf("%s: novel %v, acted %v, held %q", e.Workload, novel, d.Act, d.Held)
			}
			switch {
			case mine:
				own++
				ownNovel += btoi(!d.Act)
			default:
				foreign++
				foreignActed += btoi(d.Act)
			}
		}
	}
	t.Logf("SIMULATED: %d of %d own prompts of the next day are called novel; %d of %d prompts of other workloads are not", ownNovel, own, foreignActed, foreign)
	if own < 500 || foreign < 5000 || float64(ownNovel) > .05*float64(own) || float64(foreignActed) > .02*float64(foreign) {
		t.Errorf("%d of %d own are novel, %d of %d foreign are not", ownNovel, own, foreignActed, foreign)
	}
}

func cutProvider(route string) string { p, _ := cutRoute(route); return p }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
