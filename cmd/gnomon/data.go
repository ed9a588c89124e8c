package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/embedded"
	"github.com/gnomon-llm/gnomon/internal/store"
)

// readDSN is the store as every role but ingest sees it: read-only.
func readDSN(c *config.Config) string {
	switch {
	case c.ClickHouse.ReadDSN != "":
		return c.ClickHouse.ReadDSN
	case c.ClickHouse.DSN != "":
		return c.ClickHouse.DSN
	}
	return "http://" + dialable(c.ClickHouse.Listen) + "/gnomon"
}

// writeDSN is the store as ingest and migrate see it.
func writeDSN(c *config.Config) (string, error) {
	if c.ClickHouse.DSN != "" {
		return c.ClickHouse.DSN, nil
	}
	password, err := embedded.WriterPassword(engineDir(c), c.ClickHouse.PasswordFile)
	if err != nil {
		return "", err
	}
	u := url.URL{Scheme: "http", User: url.UserPassword("gnomon", password), Host: dialable(c.ClickHouse.Listen), Path: "/gnomon"}
	return u.String(), nil
}

func (a *app) sqlCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "sql [QUERY]",
		Short: "Ask the store; without a query, standard input is read",
		Example: `  gnomon sql "SELECT workload, count(), sum(cost) FROM gnomon.requests FINAL GROUP BY workload"
  gnomon sql --json < query.sql`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			query := strings.Join(args, "")
			if query == "" || query == "-" {
				raw, err := io.ReadAll(os.Stdin)
				if err != nil {
					return err
				}
				query = string(raw)
			}
			query = strings.TrimRight(query, "; \t\r\n")
			if strings.TrimSpace(query) == "" {
				return fmt.Errorf("%w: no query", errUsage)
			}
			if name := formatOf(query); name != "" {
				return fmt.Errorf("%w: the query ends with FORMAT %s, and gnomon writes the rows itself: leave it out; --json prints them for machines", errUsage, name)
			}
			s, err := store.Open(cmd.Context(), storeOptions(c, readDSN(c), logger(a.stderr, c.Log)))
			if err != nil {
				return storeAway(c, err)
			}
			defer s.Close()
			r, err := s.Query(cmd.Context(), strings.TrimSpace(query))
			if err != nil {
				return err
			}
			return a.printRows(r)
		},
	}
}

var formatClause = regexp.MustCompile(`(?is)\bformat\s+([a-z]\w*)(?:\s+settings\s.*)?$`)

// formatOf is the format that a query ends by asking for; the native protocol has
// none. A column called format may be what rows are ordered by.
func formatOf(query string) string {
	m := formatClause.FindStringSubmatch(query)
	if m == nil || slices.Contains([]string{"asc", "desc", "final"}, strings.ToLower(m[1])) {
		return ""
	}
	return m[1]
}

// storeAway says where the store was looked for.
func storeAway(c *config.Config, err error) error {
	if c.ClickHouse.DSN != "" {
		return fmt.Errorf("the store named by clickhouse.dsn does not answer: %w", plainly(err))
	}
	return fmt.Errorf("the store at %s does not answer: %w\n  it runs inside gnomon serve (or gnomon demo, or gnomon engine); start one, or set clickhouse.listen or clickhouse.dsn", c.ClickHouse.Listen, plainly(err))
}

// plainly is why a call over HTTP failed, without its address and settings.
func plainly(err error) error {
	if call := (*url.Error)(nil); errors.As(err, &call) {
		return call.Err
	}
	return err
}

// printRows writes a result as an aligned table, or as a JSON array of objects.
func (a *app) printRows(r *store.Rows) error {
	if a.json {
		objects := make([]map[string]any, len(r.Rows))
		for i, row := range r.Rows {
			objects[i] = make(map[string]any, len(row))
			for j, v := range row {
				objects[i][r.Columns[j]] = v
			}
		}
		return json.NewEncoder(a.stdout).Encode(objects)
	}
	w := tabwriter.NewWriter(a.stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(r.Columns, "\t"))
	for _, row := range r.Rows {
		for j, v := range row {
			if j > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, cell(v))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func cell(v any) string {
	if v == nil {
		return "NULL"
	}
	if f, is := v.(float64); is { // for people; --json is exact
		return strconv.FormatFloat(f, 'g', 12, 64)
	}
	return strings.NewReplacer("\t", `\t`, "\n", `\n`).Replace(fmt.Sprint(v))
}

func (a *app) migrateCmd() *cobra.Command {
	var show bool
	var cluster string
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the store's tables to this version (gnomon serve does so by itself)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if show || cluster != "" {
				return a.printDDL(show, cluster)
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			dsn, err := writeDSN(c)
			if err != nil {
				return err
			}
			s, err := store.Open(cmd.Context(), storeOptions(c, dsn, logger(a.stderr, c.Log)))
			if err != nil {
				return storeAway(c, err)
			}
			defer s.Close()
			if err := s.Migrate(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintln(a.stdout, "The store's tables are at this version.")
			return nil
		},
	}
	cmd.Flags().BoolVar(&show, "print", false, "print the statements for a cluster and run nothing")
	cmd.Flags().StringVar(&cluster, "cluster", "", "name of the cluster in its servers' configuration")
	return cmd
}

// printDDL prints what makes the store on a cluster of ClickHouse servers.
func (a *app) printDDL(show bool, cluster string) error {
	if !show || cluster == "" {
		return fmt.Errorf("%w: --print and --cluster NAME go together: gnomon changes no table of a cluster\n  gnomon migrate --print --cluster main > gnomon.sql", errUsage)
	}
	statements, err := store.ClusterDDL(cluster)
	if err != nil {
		return err
	}
	for _, sql := range statements {
		fmt.Fprintf(a.stdout, "%s;\n\n", sql)
	}
	return nil
}
