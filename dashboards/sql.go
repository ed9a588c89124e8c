package dashboards

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// quoteSQL writes a text as a ClickHouse string literal.
func quoteSQL(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\x00", `\0`).Replace(s) + "'"
}

func queryEscape(s string) string { return url.QueryEscape(s) }

// sqlTime writes a time as ClickHouse compares it, to the millisecond.
func sqlTime(t time.Time) string {
	return "toDateTime64('" + t.UTC().Format("2006-01-02 15:04:05.000") + "', 3, 'UTC')"
}

// span is the WHERE of a window.
func span(project string, from, to time.Time) string {
	return "WHERE project = " + quoteSQL(project) + "\n  AND ts >= " + sqlTime(from) + " AND ts < " + sqlTime(to)
}

// sqlWorkloads recomputes the figures of the workloads table from requests. The
// table has a name, for a sum may have the name of what it sums. named: people
// have named workloads, whose requests were recorded under another name.
func sqlWorkloads(project string, named bool, from, to time.Time) string {
	workload, join := "workload", ""
	if named {
		workload, join = "if(n.name = '', r.workload, n.name) AS called", "\nLEFT JOIN (SELECT workload, name FROM gnomon.workload_names WHERE project = "+quoteSQL(project)+") AS n ON n.workload = r.workload"
	}
	return `SELECT ` + workload + `, count() AS requests,
  sum(r.cost) AS cost, sum(r.baseline_cost) AS baseline, sum(r.would_cost) AS would,
  countIf(status != 'lost' AND r.cost IS NULL) AS unpriced, countIf(usage_source IN ('estimated', 'tokenizer')) AS estimated,
  countIf(status NOT IN ('ok', 'lost')) AS failed
FROM gnomon.requests AS r FINAL` + join + `
` + span(project, from, to) + `
GROUP BY ` + map[bool]string{false: "workload", true: "called"}[named] + ` ORDER BY baseline DESC`
}

// sqlDays recomputes the days of one workload, by the names that its requests
// were recorded under; none means all workloads together.
func sqlDays(project string, recorded []string, from, to time.Time) string {
	where := ""
	if len(recorded) > 0 {
		where = "\n  AND " + sqlRecorded(recorded)
	}
	return `SELECT toDate(ts) AS day, count() AS requests,
  sum(r.cost) AS cost, sum(r.baseline_cost) AS baseline, sum(r.would_cost) AS would
FROM gnomon.requests AS r FINAL
` + span(project, from, to) + where + `
GROUP BY day ORDER BY day`
}

// sqlRecorded holds for requests that were recorded under one of the names.
func sqlRecorded(names []string) string {
	if len(names) == 1 {
		return "workload = " + quoteSQL(names[0])
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quoteSQL(n)
	}
	return "workload IN (" + strings.Join(quoted, ", ") + ")"
}

// sqlRejects counts why candidates were refused, by the words on the page.
func sqlRejects(project, workload string, from, to time.Time) string {
	return `SELECT request_model, candidate, reason, count() AS requests
FROM gnomon.rejects
` + span(project, from, to) + "\n  AND workload = " + quoteSQL(workload) + ` AND reason != 'chosen'
GROUP BY request_model, candidate, reason ORDER BY requests DESC, reason`
}

// sqlRequests is the first page of the requests that a filter admits.
func sqlRequests(f RequestFilter) string {
	const baseline = "concat(if(baseline_provider = '', provider, baseline_provider), '/', request_model)"
	var b strings.Builder
	b.WriteString("SELECT ts, request_id, workload, request_model, served_model, would_route, status, arm, cost, baseline_cost, would_cost, latency_ms\nFROM gnomon.requests FINAL\nWHERE project = " + quoteSQL(f.Project))
	if f.Workload != "" {
		recorded := f.Recorded
		if len(recorded) == 0 {
			recorded = []string{f.Workload}
		}
		b.WriteString("\n  AND " + sqlRecorded(recorded))
	}
	for _, c := range []struct{ column, value string }{
		{"request_model", f.RequestModel}, {"served_model", f.ServedModel}, {"provider", f.Provider}, {"team", f.Team},
		{"user_id", f.User}, {"session", f.Session}, {"trace_id", f.Trace}, {"status", string(f.Status)}, {"arm", string(f.Arm)},
	} {
		if c.value != "" {
			b.WriteString("\n  AND " + c.column + " = " + quoteSQL(c.value))
		}
	}
	switch f.Route {
	case "routed":
		b.WriteString("\n  AND (served_model != request_model OR baseline_provider NOT IN ('', provider))")
	case "would":
		b.WriteString("\n  AND would_route NOT IN ('', " + baseline + ")")
	case "kept":
		b.WriteString("\n  AND would_route IN ('', " + baseline + ")")
	}
	if f.Reject != "" {
		b.WriteString("\n  AND request_id IN (SELECT request_id FROM gnomon.rejects WHERE project = " + quoteSQL(f.Project) + " AND reason = " + quoteSQL(f.Reject) + ")")
	}
	if !f.From.IsZero() {
		b.WriteString("\n  AND ts >= " + sqlTime(f.From))
	}
	if !f.To.IsZero() {
		b.WriteString("\n  AND ts < " + sqlTime(f.To))
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	b.WriteString("\nORDER BY ts DESC, request_id DESC LIMIT " + strconv.Itoa(limit))
	return b.String()
}

// sqlLives holds what each proxy life said it accepted against what is stored.
const sqlLives = `SELECT boot_id AS life, proxy, first_heartbeat, last_heartbeat, accepted + newer AS accepted_so_far,
  stored, declared, dropped, in_flight, difference
FROM gnomon.completeness ORDER BY last_heartbeat DESC, boot_id`
