package store

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

// selectRequests names every column in the order scanRequest reads them.
func selectRequests() string {
	names := []string{"request_id"}
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
	var cost, list, baseline, would, wouldOutput, expected *decimal.Decimal
	var rejects []uint16
	var gates uint64
	var baselineReject uint16
	var inputs string
	var status, mode, arm, source, evidence string
	err := row.Scan(&id, &e.Project, &e.Ts, &e.Revision, &e.BootID, &e.Seq, &status, &e.Workload, &e.Feature, &e.Team, &e.UserID, &e.Session, &e.TraceID, &e.Tags,
		&e.KeyID, &e.ClientRetry, &e.Dialect, &e.Operation, &e.Provider, &e.BaselineProvider, &e.RequestModel, &e.ServedModel, &e.ResponseModel, &e.ResponseID,
		&e.ServiceTier, &mode, &arm, &e.Bypassed, &e.Fallback, &e.Stream, &e.HTTPStatus, &e.ErrorType, &e.FinishReason, &e.InputTokens, &e.CacheReadTokens,
		&e.CacheWriteTokens, &e.CacheWrite1hTokens, &e.AudioInputTokens, &e.OutputTokens, &e.ReasoningTokens, &e.AudioOutputTokens, &source, &e.PriceVersion,
		&cost, &list, &baseline, &e.WouldRoute, &would, &wouldOutput, &expected, &e.TaskClass, &e.Score, &e.Novelty, &evidence, &gates, &e.Candidates, &rejects,
		&baselineReject, &inputs, &e.ClassifierVer, &e.PolicyVersion, &e.SnapshotHash, &e.PromptHash, &e.RequestBytes, &e.ResponseBytes, &e.LatencyMS, &e.TTFTMS,
		&e.OverheadUS, &e.Simulated, &e.Version, &e.Extra)
	if err != nil {
		return e, err
	}
	e.RequestID, e.Ts = id.String(), e.Ts.UTC()
	e.Status, e.Mode, e.Arm = schemas.Status(status), schemas.Mode(mode), schemas.Arm(arm)
	e.UsageSource, e.EvidenceState = schemas.UsageSource(source), schemas.EvidenceState(evidence)
	e.Gates, e.BaselineReject = schemas.Gate(gates), schemas.Reject(baselineReject)
	e.Cost, e.ListCost, e.BaselineCost = nano(cost), nano(list), nano(baseline)
	e.WouldCost, e.WouldOutputCost, e.ExpectedCost = nano(would), nano(wouldOutput), nano(expected)
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

// nano is exact: the columns hold nine decimals.
func nano(d *decimal.Decimal) schemas.OptUSD {
	if d == nil {
		return schemas.OptUSD{}
	}
	return schemas.KnownUSD(money(*d))
}

// money turns dollars with nine decimals into nano-USD.
func money(d decimal.Decimal) schemas.NanoUSD { return schemas.NanoUSD(d.Shift(9).IntPart()) }

// Request returns one request by its id.
func (s *Store) Request(ctx context.Context, project, id string) (schemas.RequestEvent, error) {
	missing := &dashboards.Error{Kind: dashboards.NotFound, Message: fmt.Sprintf("No request %s in project %s.", id, project), Hint: "An answer carries its id as x-gnomon-request-id; a new request takes a second or two to arrive."}
	parsed, err := uuid.Parse(id)
	if err != nil {
		return schemas.RequestEvent{}, missing
	}
	// The id's own time narrows the search to a few granules; a clock that jumped
	// is why it is no condition of identity.
	rows, err := s.conn.Query(ctx, selectRequests()+" WHERE project = ? AND request_id = ? LIMIT 1", project, parsed)
	if err != nil {
		return schemas.RequestEvent{}, fmt.Errorf("read request: %w", err)
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return schemas.RequestEvent{}, fmt.Errorf("read request: %w", err)
		}
		return schemas.RequestEvent{}, missing
	}
	return scanRequest(rows)
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

func (w *where) String() string { return " WHERE " + strings.Join(w.conditions, " AND ") }

// notBaseline holds for requests whose would-be route is another model.
const notBaseline = "would_route NOT IN ('', concat(if(baseline_provider = '', provider, baseline_provider), '/', request_model))"

// routed holds for requests that a candidate served.
const routed = "(served_model != request_model OR (baseline_provider != '' AND baseline_provider != provider))"

func requestsWhere(f dashboards.RequestFilter) (*where, error) {
	w := &where{}
	w.add("project = ?", f.Project)
	for column, value := range map[string]string{"workload": f.Workload, "request_model": f.RequestModel, "served_model": f.ServedModel, "provider": f.Provider, "team": f.Team,
		"user_id": f.User, "session": f.Session, "trace_id": f.Trace, "status": string(f.Status), "arm": string(f.Arm)} {
		w.equal(column, value)
	}
	switch f.Route {
	case "would":
		w.add(notBaseline)
	case "kept":
		w.add("NOT " + notBaseline)
	case "routed":
		w.add(routed)
	}
	if f.Reject != "" {
		for code, word := range schemas.RejectCodes() {
			if word == f.Reject {
				w.add("(has(rejects, ?) OR baseline_reject = ?)", uint16(code), uint16(code))
			}
		}
	}
	if !f.From.IsZero() {
		w.add("ts >= fromUnixTimestamp64Milli(?)", f.From.UnixMilli())
	}
	if !f.To.IsZero() {
		w.add("ts < fromUnixTimestamp64Milli(?)", f.To.UnixMilli())
	}
	if f.Cursor != "" {
		ms, id, err := readCursor(f.Cursor)
		if err != nil {
			return nil, err
		}
		w.add("(ts, request_id) < (fromUnixTimestamp64Milli(?), toUUID(?))", ms, id)
	}
	return w, nil
}

// A cursor is the place of a page's last row.
func cursor(e *event) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", e.Ts.UnixMilli(), e.RequestID))
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
	w, err := requestsWhere(f)
	if err != nil {
		return page, err
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	// First the keys of the page alone, then its rows: the wide columns of all
	// other rows are never read.
	keys := "SELECT ts, request_id FROM gnomon.requests FINAL" + w.String() + fmt.Sprintf(" ORDER BY ts DESC, request_id DESC LIMIT %d", limit+1)
	rows, err := s.conn.Query(ctx, selectRequests()+" WHERE project = ? AND (ts, request_id) IN ("+keys+") ORDER BY ts DESC, request_id DESC", append([]any{f.Project}, w.args...)...)
	if err != nil {
		return page, fmt.Errorf("read requests: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanRequest(rows)
		if err != nil {
			return page, fmt.Errorf("read requests: %w", err)
		}
		page.Requests = append(page.Requests, e)
	}
	if len(page.Requests) > limit {
		page.Requests = page.Requests[:limit]
		page.Next = cursor(&page.Requests[limit-1])
	}
	return page, rows.Err()
}

// day is midnight UTC of what the store gives as a date.
func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
