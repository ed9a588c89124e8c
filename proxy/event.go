package proxy

import (
	"encoding/json"
	"math"
	"time"

	"github.com/gnomon-llm/gnomon/classifier"
	"github.com/gnomon-llm/gnomon/proxy/dialect"
	"github.com/gnomon-llm/gnomon/schemas"
)

// team is the team as sent, but for names past the bound; a key's own is its
// operator's, and is kept.
func (o *Observer) team(r *Request) string {
	if r.Team == "" {
		return ""
	}
	return o.teams.bound(r.Team, func(team string) bool { return r.Key != nil && r.Key.Team == team })
}

// Event makes the record of a request that has ended: everything but BootID,
// Seq and RequestID, which the caller sets.
func (o *Observer) Event(r *Request, d *Decided, a *Answer) schemas.RequestEvent {
	read := a.Read
	if read == nil {
		read = dialect.Named(r.Dialect).Read(a.Body)
	}
	in, dec := &d.Inputs, &d.Decision
	ev := schemas.RequestEvent{
		Version: schemas.SchemaVersion, Project: o.project, Ts: r.Ts.UTC().Truncate(time.Millisecond), Revision: 1, Status: a.Status,
		Workload: d.Workload, Feature: r.Feature, Team: o.team(r), UserID: r.User, Session: d.Session, TraceID: r.Trace, Tags: r.Tags,
		KeyID: r.KeyID, ClientRetry: r.Retry,
		Dialect: r.Dialect, Operation: in.Operation, Provider: r.Provider, RequestModel: d.Model, ServedModel: d.Model,
		ResponseModel: read.Model, ResponseID: read.ID, ServiceTier: read.ServiceTier,
		Mode: dec.Mode, Arm: in.Arm, Bypassed: r.Bypassed, Fallback: a.Fallback, Stream: d.Stream,
		HTTPStatus: uint16(a.HTTPStatus), ErrorType: read.ErrorType, FinishReason: read.FinishReason,
		WouldRoute: dec.Route, ExpectedCost: dec.Expected,
		TaskClass: in.Assessment.Task.String(), Score: share(in.Assessment.Score), Novelty: share(in.Assessment.Novelty),
		EvidenceState: dec.Evidence, Held: dec.Held, Gates: in.Features.Gates, Candidates: dec.Candidates, Rejects: dec.Rejects, BaselineReject: dec.BaselineReject,
		Inputs: d.packed, ClassifierVer: in.Assessment.Version, PolicyVersion: dec.PolicyVersion, SnapshotHash: dec.SnapshotHash,
		PromptHash: in.Features.PromptHash, RequestBytes: clamp32(r.bodyBytes()), ResponseBytes: clamp32(a.ResponseBytes),
		LatencyMS: clamp32(a.Latency.Milliseconds()), OverheadUS: clamp32(a.Overhead.Microseconds()), Simulated: r.Simulated,
		PriceVersion: o.book.Version(),
	}
	if dec.Adequate.Known {
		p := share(dec.Adequate.P)
		ev.PAdequate = &p
	}
	if ev.ResponseBytes == 0 {
		ev.ResponseBytes = clamp32(int64(len(a.Body)))
	}
	if a.ServedModel != "" {
		ev.Provider, ev.ServedModel = a.Provider, a.ServedModel
		if ev.Provider != r.Provider {
			ev.BaselineProvider = r.Provider
		}
	}
	if ev.Status == "" {
		ev.Status = statusOf(a.HTTPStatus)
	}
	if ev.Status == schemas.StatusOK && read.Failed {
		ev.Status = schemas.StatusProviderError // an error behind a status of 200
	}
	if a.ErrorType != "" {
		ev.ErrorType = a.ErrorType
	}
	if a.TTFT > 0 {
		ms := clamp32(a.TTFT.Milliseconds())
		ev.TTFTMS = &ms
	}
	if a.Fallback {
		o.settle(r, d)
	}
	o.count(&ev, d, a, read)
	o.price(&ev, d)
	if ev.Status == schemas.StatusRefused && !a.Sent { // nobody was asked: whatever the model, it cost nothing
		free := schemas.KnownUSD(0)
		ev.ListCost, ev.Cost, ev.BaselineCost, ev.WouldCost = free, free, free, free
	}
	if read.Cost.Known && ev.UsageSource == schemas.UsageProvider {
		o.stated(&ev, read.Cost)
	}
	ev.Extra = notes(&ev, r, a, read)
	return ev
}

func statusOf(httpStatus int) schemas.Status {
	if httpStatus >= 400 {
		return schemas.StatusProviderError
	}
	return schemas.StatusOK
}

// count sets the usage and says where it comes from.
func (o *Observer) count(ev *schemas.RequestEvent, d *Decided, a *Answer, read *dialect.Answer) {
	ev.UsageSource = schemas.UsageNone
	whole := ev.Status == schemas.StatusOK || ev.Status == schemas.StatusProviderError && ev.HTTPStatus >= 400
	switch {
	case !dialect.Named(ev.Dialect).Readable:
	case read.HasUsage && (whole && !read.Early || read.Final):
		ev.Usage, ev.UsageSource = read.Usage, schemas.UsageProvider
	case whole && (read.Foreign || read.Pending || read.Bytes == 0):
		// A login page, a 204: not the API's answer, nothing is known. Nor is it
		// of work that goes on.
	case ev.Status == schemas.StatusRefused, ev.Status == schemas.StatusProviderError && ev.HTTPStatus >= 400, !a.Sent && read.Bytes == 0, read.Failed && read.Events == 0 && !read.HasUsage:
		// The provider refused it (some say so behind a status of 200), or never
		// had it: nothing was used.
	default:
		// Broken off, or a host that states no usage: what was stated so far,
		// and an estimate of the rest.
		ev.Usage, ev.UsageSource = read.Usage, schemas.UsageEstimated
		if !read.HasUsage {
			ev.InputTokens = d.Inputs.Features.PromptTokens
		}
		if ev.Operation != "embeddings" {
			ev.OutputTokens = max(ev.OutputTokens, clamp32(int64(read.OutputBytes+bytesPerToken-1)/bytesPerToken))
		}
	}
}

// bytesPerToken is the usual length of a token of text. Estimates are flagged
// and never invoiced.
const bytesPerToken = 4

// price sets the costs. What has no price stays unknown; it is never free.
func (o *Observer) price(ev *schemas.RequestEvent, d *Decided) {
	if !dialect.Named(ev.Dialect).Readable || (ev.UsageSource == schemas.UsageNone && ev.Status == schemas.StatusOK) {
		return // there is nothing to price
	}
	u, at := ev.Usage, ev.Ts
	served, name := o.served(ev)
	ev.ListCost, ev.Cost = served.total, served.total
	baseline, baselineProvider := served, ev.Provider
	if ev.BaselineProvider != "" {
		baselineProvider = ev.BaselineProvider
	}
	routed := ev.ServedModel != ev.RequestModel || baselineProvider != ev.Provider
	if routed {
		baseline = o.rate(baselineProvider, ev.RequestModel, tierAt(ev, baselineProvider), u, at)
	}
	ev.BaselineCost = baseline.total
	provider, model, ok := cutRoute(ev.WouldRoute)
	switch {
	case !ok || (provider == baselineProvider && model == ev.RequestModel):
		ev.WouldCost, ev.WouldOutputCost = baseline.total, baseline.output
		// What stays loses the warmth that its neighbours, routed, would not leave.
		if !routed && u.CacheReadTokens > 0 && ev.UsageSource == schemas.UsageProvider {
			would := o.rate(baselineProvider, name, ev.ServiceTier, d.left(u, ev.Dialect, baselineProvider, ev.RequestModel), at)
			if would.known {
				ev.WouldCost, ev.WouldOutputCost = would.total, would.output
			}
		}
	case routed && provider == ev.Provider && model == ev.ServedModel:
		ev.WouldCost, ev.WouldOutputCost = served.total, served.output
	default:
		u = d.left(u, ev.Dialect, provider, model)
		would := o.rate(provider, model, tierAt(ev, provider), u, at)
		ev.WouldCost, ev.WouldOutputCost = would.total, would.output
	}
}

// served prices what was served, and says by which name. The model that ran has
// the price, not the alias or the deployment that was asked for; but an own
// price goes before every list.
func (o *Observer) served(ev *schemas.RequestEvent) (amount, string) {
	if ev.ResponseModel != "" && ev.ResponseModel != ev.ServedModel && !o.book.Own(ev.Provider, ev.ServedModel) {
		if by := o.rate(ev.Provider, ev.ResponseModel, ev.ServiceTier, ev.Usage, ev.Ts); by.known {
			return by, ev.ResponseModel
		}
	}
	return o.rate(ev.Provider, ev.ServedModel, ev.ServiceTier, ev.Usage, ev.Ts), ev.ServedModel
}

// stated puts what the provider says that it charged in the place of the list
// price. The list prices stay beside it: routes are compared like with like.
// Only what no list holds is compared by it.
func (o *Observer) stated(ev *schemas.RequestEvent, charged schemas.OptUSD) {
	ev.Cost = charged
	routed := ev.ServedModel != ev.RequestModel || ev.BaselineProvider != ""
	if !ev.BaselineCost.Known && !routed {
		ev.BaselineCost = charged
		if ev.WouldRoute == ev.Provider+"/"+ev.RequestModel {
			ev.WouldCost = charged
		}
	}
}

// notes are facts that have no column of their own, as the members of extra.
func notes(ev *schemas.RequestEvent, r *Request, a *Answer, read *dialect.Answer) string {
	n := schemas.Notes{UsageMended: read.Odd && ev.UsageSource != schemas.UsageNone, ServerTools: read.ServerTools, Idempotency: r.Idempotency,
		CostStated:    read.Cost.Known && ev.Cost == read.Cost && ev.UsageSource == schemas.UsageProvider,
		AttemptFailed: a.Reason, AttemptsLost: a.Lost}
	if a.Calls > 1 {
		n.Attempts = a.Calls
	}
	if n == (schemas.Notes{}) {
		return ""
	}
	raw, err := json.Marshal(n)
	if err != nil { // strings, numbers and booleans: cannot happen
		return ""
	}
	return string(raw)
}

type amount struct {
	total, output schemas.OptUSD
	known         bool
}

func (o *Observer) rate(provider, model, tier string, u schemas.Usage, at time.Time) amount {
	if model == "" {
		return amount{}
	}
	total, output, err := o.book.Cost(provider, model, tier, u, at)
	if err != nil {
		return amount{}
	}
	return amount{schemas.KnownUSD(total), schemas.KnownUSD(output), true}
}

// tierAt is the answer's service tier where the same provider would answer;
// another one's standard tier.
func tierAt(ev *schemas.RequestEvent, provider string) string {
	if provider == ev.Provider {
		return ev.ServiceTier
	}
	return ""
}

func share(fixed uint16) float32 { return float32(fixed) / math.MaxUint16 }

func clamp32(n int64) uint32 { return uint32(max(0, min(n, math.MaxUint32))) }

// left is the usage u as a route's cache would have left it, had the decisions
// been acted on: of what was read from the baseline's cache, the route's holds
// the prefix that its own earlier requests left there (d.kept), if that is no
// shorter than its provider keeps. The rest is plain input, or is written where
// the dialect bills writes.
func (d *Decided) left(u schemas.Usage, name, provider, model string) schemas.Usage {
	var able classifier.Capability
	if d.snapshot != nil {
		able, _ = d.snapshot.CapabilityOf(provider + "/" + model)
	}
	least := able.ShortestCached()
	// kept was predicted from bytes: the provider's own count sets the scale.
	kept := uint64(d.kept)
	if p := d.Inputs.Features.PromptTokens; p > 0 {
		kept = kept * uint64(u.InputTokens) / uint64(p)
	}
	region := u.CacheReadTokens + u.CacheWriteTokens
	read := uint32(min(uint64(u.CacheReadTokens), kept))
	if kept < uint64(least) {
		read = 0
	}
	to := name
	if d.snapshot != nil {
		to = spokenTo(d.snapshot.Provider(provider), name)
	}
	if to != name && to == dialect.AnthropicMessages {
		read, region = 0, 0 // nothing is cached there that nobody asked to cache
	}
	writes := to == dialect.AnthropicMessages || to == name && u.CacheWriteTokens > 0
	u.CacheReadTokens, u.CacheWriteTokens, u.CacheWrite1hTokens = read, 0, 0
	if writes && u.InputTokens >= least {
		u.CacheWriteTokens = region - read
	}
	return u
}
