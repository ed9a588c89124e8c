package dashboards

import (
	"net/url"
	"strings"
	"time"
)

// quoteSQL writes a text as a ClickHouse string literal.
func quoteSQL(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`, "\x00", `\0`).Replace(s) + "'"
}

func queryEscape(s string) string { return url.QueryEscape(s) }

// span is the WHERE of a window.
func span(project string, from, to time.Time) string {
	return "WHERE project = " + quoteSQL(project) + "\n  AND ts >= toDateTime64('" + from.Format("2006-01-02 15:04:05") + "', 3, 'UTC') AND ts < toDateTime64('" + to.Format("2006-01-02 15:04:05") + "', 3, 'UTC')"
}

// sqlWorkloads recomputes the figures of the workloads table from requests.
func sqlWorkloads(project string, from, to time.Time) string {
	return `SELECT workload, count() AS requests,
  sum(cost) AS cost, sum(baseline_cost) AS baseline, sum(would_cost) AS would,
  countIf(cost IS NULL) AS unpriced, countIf(usage_source = 'estimated') AS estimated,
  countIf(status NOT IN ('ok', 'lost')) AS failed
FROM gnomon.requests FINAL
` + span(project, from, to) + `
GROUP BY workload ORDER BY baseline DESC`
}

// sqlDays recomputes the days of one workload; "" means all of them together.
func sqlDays(project, workload string, from, to time.Time) string {
	where := ""
	if workload != "" {
		where = "\n  AND workload = " + quoteSQL(workload)
	}
	return `SELECT toDate(ts) AS day, count() AS requests,
  sum(cost) AS cost, sum(baseline_cost) AS baseline, sum(would_cost) AS would
FROM gnomon.requests FINAL
` + span(project, from, to) + where + `
GROUP BY day ORDER BY day`
}

// sqlRejects counts why candidates were refused.
func sqlRejects(project, workload string, from, to time.Time) string {
	return `SELECT arrayJoin(rejects) AS reject, count() AS requests
FROM gnomon.requests FINAL
` + span(project, from, to) + "\n  AND workload = " + quoteSQL(workload) + `
GROUP BY reject ORDER BY requests DESC`
}

// sqlRequests is the list of requests that a filter admits.
func sqlRequests(f RequestFilter) string {
	var b strings.Builder
	b.WriteString("SELECT ts, request_id, workload, request_model, served_model, would_route, status, arm, cost, baseline_cost, would_cost, latency_ms\nFROM gnomon.requests FINAL\nWHERE project = " + quoteSQL(f.Project))
	for _, c := range []struct{ column, value string }{
		{"workload", f.Workload}, {"request_model", f.RequestModel}, {"served_model", f.ServedModel}, {"provider", f.Provider}, {"team", f.Team},
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
		b.WriteString("\n  AND would_route != concat(if(baseline_provider = '', provider, baseline_provider), '/', request_model)")
	case "kept":
		b.WriteString("\n  AND would_route = concat(if(baseline_provider = '', provider, baseline_provider), '/', request_model)")
	}
	if !f.From.IsZero() {
		b.WriteString("\n  AND ts >= toDateTime64('" + f.From.Format("2006-01-02 15:04:05") + "', 3, 'UTC')")
	}
	if !f.To.IsZero() {
		b.WriteString("\n  AND ts < toDateTime64('" + f.To.Format("2006-01-02 15:04:05") + "', 3, 'UTC')")
	}
	b.WriteString("\nORDER BY ts DESC LIMIT 50")
	return b.String()
}

const sqlLives = `SELECT boot_id, any(proxy) AS proxy, max(accepted) AS accepted, max(ended) AS ended, max(dropped) AS dropped
FROM gnomon.heartbeats FINAL GROUP BY boot_id ORDER BY max(at) DESC;

SELECT boot_id, count() AS stored, countIf(status = 'lost') AS declared
FROM gnomon.requests FINAL GROUP BY boot_id`
