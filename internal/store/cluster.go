package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/cespare/xxhash/v2"
)

// ErrCluster says that the tables are a cluster's and not those of this version:
// gnomon changes no table of a cluster, an operator does.
var ErrCluster = errors.New("the store is a cluster whose tables are not those of this version")

// sharded is the one table that is spread over shards, by the request's id: all
// rows of a request are on one, so that FINAL is right on each. Every other table
// is small and whole on every server, so that a subquery on it is answered where
// the rows are.
const sharded = "requests"

var (
	createTable = regexp.MustCompile(`(?m)^CREATE TABLE IF NOT EXISTS gnomon\.(\w+)`)
	createView  = regexp.MustCompile(`(?m)^CREATE OR REPLACE VIEW gnomon\.(\w+)`)
	alterTable  = regexp.MustCompile(`(?m)^ALTER TABLE gnomon\.(\w+)`)
	engineOf    = regexp.MustCompile(`(?m)^ENGINE = (\w*MergeTree)(?:\((\w*)\))?`)
)

// ClusterDDL returns the statements that make the store on a cluster of
// ClickHouse servers with Keeper, in order: databases, tables, views and the record
// that they were made. The servers' macros {shard} and {replica} have to be set,
// and the cluster's internal_replication has to be true.
func ClusterDDL(cluster string) ([]string, error) {
	if cluster == "" || strings.ContainsAny(cluster, "'\\\n") {
		return nil, fmt.Errorf("%q names no cluster", cluster)
	}
	files, err := migrations()
	if err != nil {
		return nil, err
	}
	on := " ON CLUSTER '" + cluster + "'"
	out := []string{"CREATE DATABASE IF NOT EXISTS gnomon" + on, replicated(migrationsTable, on)}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text := strings.TrimSpace(files[name])
		switch {
		case createTable.MatchString(text):
			made := replicated(text, on)
			out = append(out, made)
			if createTable.FindStringSubmatch(text)[1] == sharded {
				out = append(out, fmt.Sprintf("-- What is asked and written: each row goes to the shard of its id.\nCREATE TABLE IF NOT EXISTS gnomon.%s%s AS gnomon.%s_shard\nENGINE = Distributed('%s', 'gnomon', '%s_shard', cityHash64(request_id))",
					sharded, on, sharded, cluster, sharded))
			}
		case createView.MatchString(text):
			out = append(out, createView.ReplaceAllString(text, "CREATE OR REPLACE VIEW gnomon.$1"+on))
		case alterTable.MatchString(text):
			table := alterTable.FindStringSubmatch(text)[1]
			if table == sharded {
				out = append(out, alterTable.ReplaceAllString(text, "ALTER TABLE gnomon."+sharded+"_shard"+on))
			}
			if table != sharded || strings.Contains(text, "ADD COLUMN") {
				out = append(out, alterTable.ReplaceAllString(text, "ALTER TABLE gnomon."+table+on))
			}
		case name != rowsOfBefore:
			return nil, fmt.Errorf("migration %s has no form for a cluster", name)
		}
		out = append(out, fmt.Sprintf("INSERT INTO gnomon.migrations (name, digest, version) SELECT '%s', %d, %d", name, xxhash.Sum64String(files[name]), SchemaVersion))
	}
	return out, nil
}

// rowsOfBefore is a migration of rows that a new cluster has none of.
const rowsOfBefore = "0052_deliveries_of_before.sql"

// replicated is a table's text for a cluster.
func replicated(text, on string) string {
	name := createTable.FindStringSubmatch(text)[1]
	engine := "ENGINE = Replicated$1('/clickhouse/tables/gnomon/" + name + "', '{shard}-{replica}'"
	if name == sharded {
		engine = "ENGINE = Replicated$1('/clickhouse/tables/gnomon/{shard}/" + name + "', '{replica}'"
		name += "_shard"
	}
	text = createTable.ReplaceAllString(text, "CREATE TABLE IF NOT EXISTS gnomon."+name+on)
	if m := engineOf.FindStringSubmatch(text); m[2] != "" {
		engine += ", $2"
	}
	text = engineOf.ReplaceAllString(text, engine+")")
	// A repetition has to be recognised for as long as ingest may send one.
	return strings.Replace(text, "non_replicated_deduplication_window = 1000", "replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800", 1)
}

// consistent are the settings under which what was written is seen by whoever
// asks next, whichever replica answers: a rollup computed by a count that has
// arrived from rows that have not would be wrong for good. An insert has ended
// when its shards have it.
var consistent = clickhouse.Settings{
	"select_sequential_consistency": 1, "insert_quorum": "auto", "insert_quorum_parallel": 0, "distributed_foreground_insert": 1,
}

// consistently opens the connections anew under the settings that a cluster needs,
// where the tables are one's. A user who may not set them has to have them in his
// profile; it is said.
func (s *Store) consistently(ctx context.Context, opts *clickhouse.Options) error {
	if cluster, err := s.onCluster(ctx); err != nil || !cluster {
		return err
	}
	again := *opts
	again.Settings = clickhouse.Settings{}
	maps.Copy(again.Settings, consistent)
	maps.Copy(again.Settings, opts.Settings) // what the address says goes before
	conn, err := clickhouse.Open(&again)
	if err != nil {
		return err
	}
	if err := conn.Ping(ctx); err != nil {
		s.log.Warn("the store is a cluster, and its user may not ask for consistent reads: give his profile select_sequential_consistency = 1, or name one replica in the address", "err", err)
		return conn.Close()
	}
	before := s.conn
	s.conn = conn
	return before.Close()
}

// onCluster is true when the tables are a cluster's.
func (s *Store) onCluster(ctx context.Context) (bool, error) {
	var n uint64
	err := s.conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = 'gnomon' AND (engine = 'Distributed' OR engine LIKE 'Replicated%')").Scan(&n)
	return n > 0, err
}

// checkCluster holds a cluster's tables against this version's texts.
func (s *Store) checkCluster(done map[string]uint64, files map[string]string) error {
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if before, known := done[name]; !known || before != xxhash.Sum64String(files[name]) && createView.MatchString(files[name]) {
			missing = append(missing, strings.TrimSuffix(name, ".sql"))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("%w: missing or changed are %s\n  on a cluster an operator changes tables: gnomon migrate --print --cluster NAME shows the statements, docs/operators.md how", ErrCluster, strings.Join(missing, ", "))
}
