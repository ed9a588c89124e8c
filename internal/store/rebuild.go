package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// LeastClickHouse is the oldest release that Migrate takes: the older of the two
// long-term ones that were supported when this was written. The embedded engine
// is newer, and is the one that the tests run on.
const LeastClickHouse = "25.8"

// ErrOldServer says that the server is older than LeastClickHouse.
var ErrOldServer = errors.New("the ClickHouse server is too old")

func (s *Store) checkVersion(ctx context.Context) error {
	var version string
	if err := s.conn.QueryRow(ctx, "SELECT version()").Scan(&version); err != nil {
		return fmt.Errorf("ask the server its version: %w", err)
	}
	return newEnough(version)
}

func newEnough(version string) error {
	var major, minor, leastMajor, leastMinor int
	if _, err := fmt.Sscanf(LeastClickHouse, "%d.%d", &leastMajor, &leastMinor); err != nil {
		return err
	}
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n == 2 && (major < leastMajor || major == leastMajor && minor < leastMinor) {
		return fmt.Errorf("%w: it is %s, the tables need %s or newer\n  upgrade it, or leave clickhouse.dsn out and use the embedded engine", ErrOldServer, version, LeastClickHouse)
	}
	return nil
}

// sortingKey is the key of a table; "" when there is none of that name.
func (s *Store) sortingKey(ctx context.Context, table string) (key string, err error) {
	rows, err := query(ctx, s, "the sorting key of "+table, "SELECT sorting_key FROM system.tables WHERE database = 'gnomon' AND name = ?",
		func(row scanner) (k string, err error) { return k, row.Scan(&k) }, table)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0], nil
}

var orderBy = regexp.MustCompile(`(?m)^ORDER BY \((.*)\)$`)

// rebuild gives a table the sorting key of its text, which no ALTER can: the rows
// are copied into a table beside it, day by day, and the two change names in one
// step once they hold the same. It may be ended at any point and is taken up
// where it stopped. Nothing may write to the table meanwhile, and the disk has to
// have room for it twice.
func (s *Store) rebuild(ctx context.Context, table, text string) error {
	want := orderBy.FindStringSubmatch(text)
	if want == nil {
		return fmt.Errorf("the text of %s names no sorting key", table)
	}
	beside := table + "_rebuilt"
	have, err := s.sortingKey(ctx, table)
	if err != nil {
		return err
	}
	left, err := s.sortingKey(ctx, beside)
	if err != nil {
		return err
	}
	switch {
	case have == "" && left == "":
		return nil
	case have == want[1] && left == "":
		return nil
	case have == want[1]: // the names were changed, and the old table not dropped yet
		return s.dropOld(ctx, table, beside)
	case have == "":
		return fmt.Errorf("gnomon.%s is missing and gnomon.%s is there: rename that one by hand, if it is whole", table, beside)
	}
	s.log.Info("the rows are sorted anew, once: this takes some ten seconds a million of them", "table", table)
	if err := s.conn.Exec(ctx, strings.Replace(text, "gnomon."+table, "gnomon."+beside, 1)); err != nil {
		return fmt.Errorf("make gnomon.%s: %w", beside, err)
	}
	if err := s.copyDays(ctx, table, beside, everything); err != nil {
		return err
	}
	if err := s.conn.Exec(ctx, "EXCHANGE TABLES gnomon."+table+" AND gnomon."+beside); err != nil {
		return fmt.Errorf("exchange gnomon.%s and gnomon.%s: %w", table, beside, err)
	}
	return s.dropOld(ctx, table, beside)
}

// dropOld drops the table whose rows were copied, after it has given what was
// written into it since: an insert that had begun before the names were changed
// ends in the table it began with.
func (s *Store) dropOld(ctx context.Context, table, old string) error {
	if err := s.copyDays(ctx, old, table, missingOnly); err != nil {
		return err
	}
	return s.conn.Exec(ctx, "DROP TABLE gnomon."+old)
}

// everything and missingOnly are which rows of a day copyDays takes: those of a
// table that is being filled come twice otherwise, which FINAL tells; in one that
// is written to they are looked for by their ids.
const (
	everything  = false
	missingOnly = true
)

// dayCount is how many requests a table has of a day.
type dayCount struct {
	day time.Time
	n   uint64
}

func (s *Store) days(ctx context.Context, table string) (map[time.Time]uint64, []dayCount, error) {
	rows, err := query(ctx, s, "the days of "+table, "SELECT toStartOfDay(ts) AS d, count() FROM gnomon."+table+" FINAL GROUP BY d ORDER BY d DESC",
		func(row scanner) (c dayCount, err error) { return c, row.Scan(&c.day, &c.n) })
	of := map[time.Time]uint64{}
	for _, r := range rows {
		of[r.day] = r.n
	}
	return of, rows, err
}

// columnsOf are the names of a table's columns, as a list.
func (s *Store) columnsOf(ctx context.Context, table string) (string, error) {
	names, err := query(ctx, s, "the columns of "+table, "SELECT name FROM system.columns WHERE database = 'gnomon' AND table = ? ORDER BY position",
		func(row scanner) (n string, err error) { return n, row.Scan(&n) }, table)
	return strings.Join(names, ", "), err
}

// copyDays copies what the second table lacks of the first, and holds the two
// against each other.
// Days whose rows expire meanwhile are copied and not counted.
func (s *Store) copyDays(ctx context.Context, from, to string, missing bool) error {
	columns, err := s.columnsOf(ctx, from) // by name: the new table may have more
	if err != nil {
		return err
	}
	there, _, err := s.days(ctx, to)
	if err != nil {
		return err
	}
	_, days, err := s.days(ctx, from)
	if err != nil {
		return err
	}
	expiring := time.Now().UTC().AddDate(0, 0, -398)
	for _, d := range days {
		if there[d.day] == d.n && !missing || d.day.Before(expiring.AddDate(0, 0, -3)) {
			continue
		}
		step := 24 * time.Hour
		if d.n > rollupRows { // what fits a statement's time
			step = time.Hour
		}
		for hour := d.day; hour.Before(d.day.AddDate(0, 0, 1)); hour = hour.Add(step) {
			unless, args := "", []any{hour.UnixMilli(), hour.Add(step).UnixMilli()}
			if missing {
				unless = " AND request_id NOT IN (SELECT request_id FROM gnomon." + to + " WHERE ts >= fromUnixTimestamp64Milli(?) AND ts < fromUnixTimestamp64Milli(?))"
				args = append(args, args...)
			}
			err := s.conn.Exec(ctx, "INSERT INTO gnomon."+to+" ("+columns+") SELECT "+columns+" FROM gnomon."+from+" WHERE ts >= fromUnixTimestamp64Milli(?) AND ts < fromUnixTimestamp64Milli(?)"+unless+
				" SETTINGS max_block_size = 8192, max_threads = 1, max_insert_threads = 1, min_insert_block_size_rows = 50000, min_insert_block_size_bytes = 50000000, insert_deduplicate = 0",
				args...)
			if err != nil {
				return fmt.Errorf("copy %s of gnomon.%s: %w", hour.Format(time.DateOnly), from, err)
			}
		}
		if missing {
			continue
		}
		s.log.Info("sorted anew", "table", from, "day", d.day.Format(time.DateOnly), "rows", d.n)
	}
	if missing {
		return nil
	}
	if there, _, err = s.days(ctx, to); err != nil {
		return err
	}
	_, again, err := s.days(ctx, from)
	if err != nil {
		return err
	}
	for _, d := range again {
		if there[d.day] != d.n && d.day.After(expiring) {
			return fmt.Errorf("gnomon.%s has %d requests of %s, its copy %d: does another gnomon still write? End it, and migrate again", from, d.n, d.day.Format(time.DateOnly), there[d.day])
		}
	}
	return nil
}
