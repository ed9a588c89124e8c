package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gnomon-llm/gnomon/schemas"
)

var nameColumns = []column[schemas.Naming]{
	col("project", func(n *schemas.Naming) string { return n.Project }),
	col("workload", func(n *schemas.Naming) string { return n.Workload }),
	col("version", func(n *schemas.Naming) uint32 { return n.Version }),
	col("replaces", func(n *schemas.Naming) uint32 { return n.Replaces }),
	at("at", func(n *schemas.Naming) time.Time { return n.At }),
	col("offset", func(n *schemas.Naming) int64 { return n.Offset }),
	col("name", func(n *schemas.Naming) string { return n.Name }),
	col("actor", func(n *schemas.Naming) string { return n.Actor }),
	col("reason", func(n *schemas.Naming) string { return n.Reason }),
	col("record", func(n *schemas.Naming) string { return record(n) }),
}

// InsertNames stores what discovered workloads are called.
func (s *Store) InsertNames(ctx context.Context, token string, ns []schemas.Naming) error {
	return insert(ctx, s, "names", token, nameColumns, ns)
}

// calledInViews is what a recorded workload is called, as views say it: names
// are few, and are read once before the rows.
const calledInViews = `toLowCardinality(transform(concat(project, '/', workload),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 1),
        tupleElement((SELECT arraySort(groupArray((concat(project, '/', workload), name))) FROM gnomon.workload_names), 2), toString(workload)))`

// given are the names that people gave discovered workloads of one project.
type given struct {
	found, names []string
	carried      []bool // the name is of rules of before: the same requests, and none that joined them
	since        []time.Time
}

// named reads them. A reader that sees a new name a moment before its proxies do
// shows the same requests: those of before are looked up, those to come have it.
func (s *Store) named(ctx context.Context, project string) (g given, err error) {
	_, err = query(ctx, s, "names of workloads", "SELECT workload, name, since FROM gnomon.workload_names WHERE project = ? ORDER BY workload", func(row scanner) (none struct{}, err error) {
		var found, name string
		var since time.Time
		err = row.Scan(&found, &name, &since)
		g.found, g.names, g.since = append(g.found, found), append(g.names, name), append(g.since, since.UTC())
		return none, err
	}, project)
	called := map[string]string{}
	for i, found := range g.found {
		called[found] = g.names[i]
	}
	for i, name := range g.names {
		g.carried = append(g.carried, strings.HasPrefix(name, "~"))
		for range 8 { // versions of the rules, at most
			if again, ok := called[name]; ok {
				name = again
			}
		}
		g.names[i] = name
	}
	return g, err
}

// of is SQL for what the workload in a column is called.
func (g given) of(column string) string {
	if len(g.found) == 0 {
		return column
	}
	return "toLowCardinality(transform(toString(" + column + "), " + literals(g.found) + ", " + literals(g.names) + ", toString(" + column + ")))"
}

// recorded returns the names under which a workload's requests were recorded.
func (g given) recorded(name string) []string {
	all := []string{name}
	for i, n := range g.names {
		if n == name {
			all = append(all, g.found[i])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// verdicts puts verdicts of before a workload was named under its name. Where
// several have become one, those of its parts speak of no workload any more, and
// are left out until the analyzer has looked at the whole.
func (g given) verdicts(all []schemas.Verdict) []schemas.Verdict {
	if len(g.found) == 0 {
		return all
	}
	from := map[string]map[string]bool{} // what verdicts of a name were computed as
	for i := range all {
		v := &all[i]
		name := g.called(v.Workload)
		if from[name] == nil {
			from[name] = map[string]bool{}
		}
		from[name][v.Workload] = true
	}
	kept := all[:0]
	for _, v := range all {
		if name := g.called(v.Workload); name == v.Workload || len(from[name]) == 1 {
			v.Workload = name
			kept = append(kept, v)
		}
	}
	return kept
}

// called is what a recorded workload is called.
func (g given) called(recorded string) string {
	if i, ok := slices.BinarySearch(g.found, recorded); ok {
		return g.names[i]
	}
	return recorded
}

// recorded returns the names under which a workload's requests were recorded.
func (s *Store) recorded(ctx context.Context, project, workload string) ([]string, error) {
	if workload == "" {
		return nil, nil
	}
	g, err := s.named(ctx, project)
	return g.recorded(workload), err
}

// literals is an array of strings as SQL.
func literals(list []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = "'" + escape.Replace(s) + "'"
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
