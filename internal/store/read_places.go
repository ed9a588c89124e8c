package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/gnomon-llm/gnomon/dashboards"
	"github.com/gnomon-llm/gnomon/schemas"
)

// place is where a row stands in the list.
type place struct {
	ts time.Time
	id uuid.UUID
}

// places returns where the first n rows that a filter admits stand.
func (s *Store) places(ctx context.Context, f dashboards.RequestFilter, n int) ([]place, error) {
	walk := walk{filter: f, n: n, to: f.To}
	if f.Cursor != "" {
		ms, id, err := readCursor(f.Cursor)
		if err != nil {
			return nil, err
		}
		walk.after = []any{ms, id}
		if last := time.UnixMilli(ms + 1); walk.to.IsZero() || last.Before(walk.to) {
			walk.to = last
		}
	}
	if !countedByHour(f) {
		err := s.walkOn(ctx, &walk, nil)
		return walk.found, err
	}
	sp, err := s.span(ctx, f.Project, orElse(f.From, time.UnixMilli(0)), orElse(walk.to, latest))
	if err != nil {
		return nil, err
	}
	days, err := s.daysWith(ctx, f, sp)
	var hours, part []hourWith
	// What is counted may not be what the filter says (a failure of any kind, for a
	// status): more is asked for each time, or what is not there costs a statement an hour.
	for want := uint64(2 * n); err == nil && len(walk.found) < n && len(days)+len(hours) > 0; want *= wider {
		if len(hours) == 0 {
			part, days = upTo(days, want)
			hours, err = s.hoursWith(ctx, f, sp, part)
		}
		if err == nil && len(hours) > 0 {
			part, hours = upTo(hours, want)
			err = s.walkOn(ctx, &walk, part)
		}
	}
	return walk.found, err
}

// wider is how much more each statement of a search may look at than the one before.
const wider = 16

// upTo cuts off as many of the first as may hold what is wanted.
func upTo(list []hourWith, want uint64) (some, rest []hourWith) {
	expected, n := uint64(0), 0
	for n < len(list) && n < mostHours && expected < want {
		expected += list[n].n
		n++
	}
	return list[:n], list[n:]
}

// mostHours is how many hours one statement names.
const mostHours = 1000

// walk is a search from the newest row backwards.
type walk struct {
	filter dashboards.RequestFilter
	n      int // rows wanted
	to     time.Time
	after  []any // the row behind which it goes on
	found  []place
}

// walkOn adds rows until there are enough, or none any more, within the hours
// given; nil stands for all.
func (s *Store) walkOn(ctx context.Context, k *walk, hours []hourWith) error {
	for {
		w := requestsWhere(k.filter)
		w.between(k.filter.From, k.to)
		if hours != nil {
			w.add("toStartOfHour(ts) IN (SELECT toDateTime(arrayJoin(CAST(?, 'Array(UInt32)')), 'UTC'))", starts(hours))
		}
		if k.after != nil {
			w.add("(ts, request_id) < (fromUnixTimestamp64Milli(?), toUUID(?))", k.after...)
		}
		// Without FINAL, and with nothing but a limit, the table is read from its
		// newest end and no further than needed. A row that is there twice stands
		// beside itself; what a later revision says otherwise is left out when the
		// page's rows are read.
		most := 2 * k.n
		sql := "SELECT ts, request_id FROM gnomon.requests" + w.String() + fmt.Sprintf(" ORDER BY ts DESC, request_id DESC LIMIT %d", most)
		rows, err := query(ctx, s, "requests", sql, func(row scanner) (p place, err error) { return p, row.Scan(&p.ts, &p.id) }, w.args...)
		if err != nil {
			return err
		}
		k.found = slices.Compact(append(k.found, rows...))
		if len(k.found) >= k.n {
			k.found = k.found[:k.n]
			return nil
		}
		if len(rows) < most {
			return nil
		}
		last := rows[most-1]
		k.after, k.to = []any{last.ts.UnixMilli(), last.id.String()}, last.ts.Add(time.Millisecond)
	}
}

// countedByHour is true of a filter that the rollup can say something of, and
// that no index of the rows answers: sessions, traces and users have one each, and
// of statuses it knows which stretches of rows have which, where the rollup knows
// how many failed in whatever way.
func countedByHour(f dashboards.RequestFilter) bool {
	if f.Session != "" || f.Trace != "" || f.User != "" {
		return false
	}
	return f.Workload != "" || f.RequestModel != "" || f.ServedModel != "" || f.Provider != "" || f.Team != "" || f.Arm != "" || f.Route != ""
}

// hourWith is an hour, or a day, and how many of its requests a filter may admit.
type hourWith struct {
	sec uint32
	n   uint64
}

func starts(list []hourWith) []uint32 {
	seconds := make([]uint32, len(list))
	for i := range list {
		seconds[i] = list[i].sec
	}
	return seconds
}

// cellsWith is what a filter says of a cell, and what of a cell counts.
func cellsWith(f dashboards.RequestFilter) (counted string, w *where) {
	counted = map[schemas.Status]string{"": "c.requests", schemas.StatusOK: "c.requests - c.failed - c.lost", schemas.StatusLost: "c.lost"}[f.Status]
	if counted == "" {
		counted = "c.failed"
	}
	w = &where{}
	for _, c := range [][2]string{
		{"c.request_model", f.RequestModel}, {"c.served_model", f.ServedModel}, {"c.provider", f.Provider}, {"c.team", f.Team}, {"c.arm", string(f.Arm)},
	} {
		w.equal(c[0], c[1])
	}
	w.workload("c.workload", f)
	switch f.Route {
	case "would":
		w.add(cellWould)
	case "kept":
		w.add("NOT " + cellWould)
	case "routed":
		w.add(cellRouted)
	}
	return counted, w
}

// daysWith lists the days that may hold what a filter admits, newest first: what
// is rare is looked for where the rollup has counted it, and not in every row. A
// day that is not summed, or of which an hour is behind, may hold anything.
func (s *Store) daysWith(ctx context.Context, f dashboards.RequestFilter, sp span) ([]hourWith, error) {
	counted, w := cellsWith(f)
	w.add("project = ? AND day IN (SELECT toDateTime(arrayJoin(CAST(?, 'Array(UInt32)')), 'UTC'))", f.Project, seconds(sp.days))
	sql := "SELECT toUnixTimestamp(day), toUInt64(sum(" + counted + ")) AS n FROM gnomon.requests_1d FINAL ARRAY JOIN cells AS c" + w.String() + " GROUP BY day HAVING n > 0"
	return s.with(ctx, "the days of a filter", sql, w.args, sp.hourly)
}

// hoursWith lists the hours of days that may hold what a filter admits, newest
// first. An hour whose rollup is behind may hold anything.
func (s *Store) hoursWith(ctx context.Context, f dashboards.RequestFilter, sp span, days []hourWith) ([]hourWith, error) {
	counted, w := cellsWith(f)
	given := starts(days)
	w.add("project = ? AND toStartOfDay(hour) IN (SELECT toDateTime(arrayJoin(CAST(?, 'Array(UInt32)')), 'UTC')) AND hour < fromUnixTimestamp64Milli(?)", f.Project, given, sp.to.UnixMilli())
	sql := "SELECT toUnixTimestamp(hour), toUInt64(sum(" + counted + ")) AS n FROM gnomon.requests_1h FINAL ARRAY JOIN cells AS c" + w.String() + " GROUP BY hour HAVING n > 0"
	var behind []uint32
	for _, h := range sp.rows {
		if slices.Contains(given, h-h%daySeconds) {
			behind = append(behind, h)
		}
	}
	return s.with(ctx, "the hours of a filter", sql, w.args, behind)
}

// with lists what a statement counts, and what may hold anything, newest first.
func (s *Store) with(ctx context.Context, what, sql string, args []any, anything []uint32) ([]hourWith, error) {
	list, err := query(ctx, s, what, sql, func(row scanner) (h hourWith, err error) { return h, row.Scan(&h.sec, &h.n) }, args...)
	for _, sec := range anything {
		list = append(list, hourWith{sec, 1})
	}
	slices.SortFunc(list, func(a, b hourWith) int { return cmp.Or(cmp.Compare(b.sec, a.sec), cmp.Compare(b.n, a.n)) })
	return slices.CompactFunc(list, func(a, b hourWith) bool { return a.sec == b.sec }), err
}

// orElse is a time, or another where it is none.
func orElse(t, other time.Time) time.Time {
	if t.IsZero() {
		return other
	}
	return t
}
