package store

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

// selectRequests names every column in the order scanRequest reads them.
func selectRequests() string {
	var names []string
	for i := range requestColumns {
		names = append(names, requestColumns[i].name)
	}
	return "SELECT " + strings.Join(names, ", ") + " FROM gnomon.requests FINAL"
}

// scanner is a row that can be read into pointers.
type scanner interface{ Scan(dest ...any) error }

// scanRequest reads one row back as the event it was.
func scanRequest(row scanner) (schemas.RequestEvent, error) {
	var e event
	var id uuid.UUID
	var rejects []uint16
	var gates uint64
	var baselineReject uint16
	var inputs string
	var status, mode, arm, source, evidence, held string
	err := row.Scan(&id, &e.Project, &e.Ts, &e.Revision, &e.BootID, &e.Seq, &status, &e.Workload, &e.Feature, &e.Team, &e.UserID, &e.Session, &e.TraceID, &e.Tags,
		&e.KeyID, &e.ClientRetry, &e.Dialect, &e.Operation, &e.Provider, &e.BaselineProvider, &e.RequestModel, &e.ServedModel, &e.ResponseModel, &e.ResponseID,
		&e.ServiceTier, &mode, &arm, &e.Bypassed, &e.Fallback, &e.Stream, &e.HTTPStatus, &e.ErrorType, &e.FinishReason, &e.InputTokens, &e.CacheReadTokens,
		&e.CacheWriteTokens, &e.CacheWrite1hTokens, &e.AudioInputTokens, &e.OutputTokens, &e.ReasoningTokens, &e.AudioOutputTokens, &source, &e.PriceVersion,
		(*amount)(&e.Cost), (*amount)(&e.ListCost), (*amount)(&e.BaselineCost), &e.WouldRoute, (*amount)(&e.WouldCost), (*amount)(&e.WouldOutputCost), (*amount)(&e.ExpectedCost), &e.TaskClass, &e.Score, &e.Novelty, &e.PAdequate, &evidence, &held, &gates, &e.Candidates, &rejects,
		&baselineReject, &inputs, &e.ClassifierVer, &e.PolicyVersion, &e.SnapshotHash, &e.PromptHash, &e.RequestBytes, &e.ResponseBytes, &e.LatencyMS, &e.TTFTMS,
		&e.OverheadUS, &e.Simulated, &e.Version, &e.Extra)
	if err != nil {
		return e, err
	}
	e.RequestID, e.Ts = id.String(), e.Ts.UTC()
	e.Status, e.Mode, e.Arm = schemas.Status(status), schemas.Mode(mode), schemas.Arm(arm)
	e.UsageSource, e.EvidenceState, e.Held = schemas.UsageSource(source), schemas.EvidenceState(evidence), schemas.Held(held)
	e.Gates, e.BaselineReject = schemas.Gate(gates), schemas.Reject(baselineReject)
	if inputs != "" {
		e.Inputs = []byte(inputs)
	}
	for _, r := range rejects {
		e.Rejects = append(e.Rejects, schemas.Reject(r))
	}
	if len(e.Tags) == 0 {
		e.Tags = nil
	}
	if len(e.Candidates) == 0 {
		e.Candidates = nil
	}
	return e, nil
}

// selectListed names what scanListed reads: the fields of dashboards.Listed. Rows of a
// page that are far from each other cost a granule of each column, so that all
// of them take four times as long.
const selectListed = "SELECT request_id, project, ts, status, workload, provider, baseline_provider, request_model, served_model, arm, input_tokens, output_tokens, cost, would_route, would_cost, latency_ms FROM gnomon.requests FINAL"

// scanListed reads of a row what a list of requests shows.
func scanListed(row scanner) (e schemas.RequestEvent, err error) {
	var id uuid.UUID
	var status, arm string
	err = row.Scan(&id, &e.Project, &e.Ts, &status, &e.Workload, &e.Provider, &e.BaselineProvider, &e.RequestModel, &e.ServedModel, &arm, &e.InputTokens, &e.OutputTokens,
		(*amount)(&e.Cost), &e.WouldRoute, (*amount)(&e.WouldCost), &e.LatencyMS)
	e.RequestID, e.Ts, e.Status, e.Arm = id.String(), e.Ts.UTC(), schemas.Status(status), schemas.Arm(arm)
	return e, err
}

// aroundID is how far a request's time may be from its id's for the quick search.
const aroundID = time.Hour

// Request returns one request by its id.
func (s *Store) Request(ctx context.Context, project, id string) (schemas.RequestEvent, error) {
	parsed, err := uuid.Parse(id)
	if err == nil {
		// The id's time says where to look; but it comes from a clock that may have
		// jumped, so that what is not found there is looked for everywhere.
		w := &where{}
		w.add("project = ? AND request_id = ?", project, parsed)
		near := *w
		if parsed.Version() == 7 {
			sec, nsec := parsed.Time().UnixTime()
			near.between(time.Unix(sec, nsec).Add(-aroundID), time.Unix(sec, nsec).Add(aroundID))
		}
		for _, w := range []*where{&near, w} {
			found, err := query(ctx, s, "request", selectRequests()+w.String()+" LIMIT 1", scanRequest, w.args...)
			if err != nil {
				return schemas.RequestEvent{}, err
			}
			if len(found) > 0 {
				return found[0], nil
			}
		}
	}
	return schemas.RequestEvent{}, &dashboards.Error{Kind: dashboards.NotFound, Message: fmt.Sprintf("No request %s in project %s.", id, project),
		Hint: "An answer carries its id as x-gnomon-request-id; a new request takes a second or two to arrive."}
}

// where collects conditions and their arguments.
type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, args ...any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, args...)
}

func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

// workload admits all names under which the filter's workload was recorded.
func (w *where) workload(column string, f dashboards.RequestFilter) {
	if len(f.Recorded) > 1 {
		w.add(column + " IN (" + strings.Trim(literals(f.Recorded), "[]") + ")")
		return
	}
	w.equal(column, f.Workload)
}

// between bounds ts to [from, to); a zero time is no bound.
func (w *where) between(from, to time.Time) {
	if !from.IsZero() {
		w.add("ts >= fromUnixTimestamp64Milli(?)", from.UnixMilli())
	}
	if !to.IsZero() {
		w.add("ts < fromUnixTimestamp64Milli(?)", to.UnixMilli())
	}
}

func (w *where) String() string { return " WHERE " + strings.Join(w.conditions, " AND ") }

// notBaseline holds for requests whose would-be route is another model.
const notBaseline = "would_route NOT IN ('', concat(if(baseline_provider = '', provider, baseline_provider), '/', request_model))"

// routed holds for requests that a candidate served.
const routed = "(served_model != request_model OR (baseline_provider != '' AND baseline_provider != provider))"

// unknownReject is no code: nothing is found by it.
const unknownReject = uint16(math.MaxUint16)

// requestsWhere is what a filter says, but its times and its cursor.
func requestsWhere(f dashboards.RequestFilter) *where {
	w := &where{}
	w.add("project = ?", f.Project)
	for _, c := range [][2]string{
		{"request_model", f.RequestModel}, {"served_model", f.ServedModel}, {"provider", f.Provider}, {"team", f.Team},
		{"user_id", f.User}, {"session", f.Session}, {"trace_id", f.Trace}, {"status", string(f.Status)}, {"arm", string(f.Arm)},
	} {
		w.equal(c[0], c[1])
	}
	w.workload("workload", f)
	switch f.Route {
	case "would":
		w.add(notBaseline)
	case "kept":
		w.add("NOT " + notBaseline)
	case "routed":
		w.add(routed)
	}
	if f.Reject != "" {
		code := unknownReject
		for c, word := range schemas.RejectCodes() {
			if word == f.Reject {
				code = uint16(c)
			}
		}
		w.add("(has(rejects, ?) OR baseline_reject = ?)", code, code)
	}
	return w
}

// A cursor is the place of a page's last row.
func cursor(p place) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", p.ts.UnixMilli(), p.id))
}

func readCursor(c string) (ms int64, id string, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(c)
	if err == nil {
		_, err = fmt.Sscanf(string(raw), "%d %s", &ms, &id)
	}
	if err == nil {
		_, err = uuid.Parse(id)
	}
	if err != nil {
		return 0, "", &dashboards.Error{Code: "bad_cursor", Message: "The cursor cannot be read.", Hint: "Take next of the page before, unchanged."}
	}
	return ms, id, nil
}

// Requests returns what the filter admits, newest first.
func (s *Store) Requests(ctx context.Context, f dashboards.RequestFilter) (dashboards.RequestPage, error) {
	var page dashboards.RequestPage
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	var err error
	if f.Recorded, err = s.recorded(ctx, f.Project, f.Workload); err != nil {
		return page, err
	}
	places, err := s.places(ctx, f, limit+1)
	if err != nil || len(places) == 0 {
		return page, err
	}
	// The wide columns are read for the page's rows only.
	// By time and id, which is the sorting key: an id alone is looked for in every
	// granule between the page's ends, and a hundredth of those answers falsely for
	// each id of the page.
	w := requestsWhere(f)
	at := make([]string, len(places))
	for i, p := range places {
		at[i] = fmt.Sprintf("(fromUnixTimestamp64Milli(%d, 'UTC'), toUUID('%s'))", p.ts.UnixMilli(), p.id)
	}
	w.add("(ts, request_id) IN (" + strings.Join(at, ", ") + ")")
	columns, scan := selectRequests(), scanRequest
	if f.Listed {
		columns, scan = selectListed, scanListed
	}
	page.Requests, err = query(ctx, s, "requests", columns+w.String()+" ORDER BY ts DESC, request_id DESC", scan, w.args...)
	if len(places) > limit {
		page.Next = cursor(places[limit-1])
		page.Requests = slices.DeleteFunc(page.Requests, func(e event) bool { return e.RequestID == places[limit].id.String() })
	}
	return page, err
}

// day is midnight UTC of what the store gives as a date.
func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
