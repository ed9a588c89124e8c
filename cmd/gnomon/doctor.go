package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/embedded"
	"github.com/gnomon-llm/gnomon/internal/pipeline"
	"github.com/gnomon-llm/gnomon/internal/store"
	"github.com/gnomon-llm/gnomon/savings"
)

// finding is the result of one check.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Mend   string `json:"mend,omitempty"`
	Notice bool   `json:"notice,omitempty"` // in order, but somebody should know of it
}

func (a *app) doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Look at every part, say what is wrong and what to do",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			findings := a.diagnose(cmd.Context())
			ok := true
			for _, f := range findings {
				ok = ok && f.OK
			}
			if a.json {
				if err := a.printJSON(map[string]any{"ok": ok, "findings": findings}); err != nil {
					return err
				}
			} else {
				printFindings(a, findings)
			}
			if !ok {
				return errSilent
			}
			return nil
		},
	}
}

func printFindings(a *app, findings []finding) {
	for _, f := range findings {
		mark := "●"
		switch {
		case !f.OK:
			mark = "✕"
		case f.Notice:
			mark = "▲"
		}
		fmt.Fprintf(a.stdout, "%s %-14s %s\n", mark, f.Check, f.Detail)
		if (!f.OK || f.Notice) && f.Mend != "" {
			fmt.Fprintf(a.stdout, "%17s%s\n", "→ ", f.Mend)
		}
	}
}

// diagnose looks at everything that can be looked at from here.
func (a *app) diagnose(ctx context.Context) []finding {
	c, err := a.config()
	if err != nil {
		var all []finding
		for fault := range strings.Lines(err.Error()) {
			all = append(all, finding{Check: "configuration", Detail: strings.TrimSpace(fault)})
		}
		all[len(all)-1].Mend = "mend what is named, then ask again: nothing else was looked at. gnomon config print --defaults shows all keys"
		return all
	}
	all := []finding{{Check: "configuration", OK: true, Detail: fmt.Sprintf("%s: project %s, %d providers, %d workloads with a data policy", a.configSource(), c.Project, len(c.Providers), len(c.Workloads))}}
	// What runs here may have been started with another configuration: a demo, a service.
	if s, err := running(ctx, c); err == nil && s.Project != c.Project {
		all[0].Detail += ". What runs at " + newClient(c).base + " was started with another: it is project " + s.Project
		if s.Simulated {
			all[0].Detail += ", SIMULATED"
		}
		all[0].Detail += ". Up to engine this speaks of the configuration, from broker on of what runs"
	}
	all = append(all, diagnoseFolder(c.DataDir))
	all = append(all, diagnoseRehearsal(c)...)
	all = append(all, diagnoseCrossing(c)...)
	all = append(all, diagnosePrices(c)...)
	all = append(all, diagnoseEngine(c), diagnoseBroker(ctx, c))
	all = append(all, diagnoseStore(ctx, c)...)
	return append(all, diagnoseProcess(ctx, c)...)
}

// configSource is the file that is read, or that there is none.
func (a *app) configSource() string {
	if a.configFile != "" {
		return a.configFile
	}
	if _, err := os.Stat(config.DefaultFile); err == nil {
		return config.DefaultFile
	}
	return "no " + config.DefaultFile + " here, so the defaults"
}

// theRunning is what a running gnomon says of itself.
type theRunning struct {
	Project   string
	Simulated bool
}

// running asks the gnomon at admin.addr which project it is, whatever c names.
func running(ctx context.Context, c *config.Config) (s theRunning, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	cl := newClient(c)
	cl.project = ""
	if err = cl.get(ctx, "/status", &s); err == nil && s.Project == "" {
		err = errors.New("it does not say")
	}
	return s, err
}

// diagnoseFolder looks at the data folder and makes none: a person who asks what is
// wrong has not asked for one.
func diagnoseFolder(dir string) finding {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return finding{Check: "data folder", OK: true, Detail: dir + " is not there yet: gnomon serve makes it"}
	}
	return checked("data folder", dir, checkDataDir(dir), "")
}

func checked(check, good string, err error, mend string) finding {
	if err != nil {
		return finding{Check: check, Detail: err.Error(), Mend: mend}
	}
	return finding{Check: check, OK: true, Detail: good}
}

// diagnoseRehearsal names providers that rehearsal has no credential for.
func diagnoseRehearsal(c *config.Config) []finding {
	var all []finding
	for _, text := range keyless(c) {
		all = append(all, finding{Check: "rehearsal", Detail: text, Mend: "put the key into a file and name it in api_key_file; rehearsal never uses a client's key"})
	}
	return all
}

// keyless says which workloads cannot be rehearsed for want of a stored key, by
// provider of a candidate.
func keyless(c *config.Config) []string {
	var names []string
	for _, name := range sortedKeys(c.Workloads) {
		if c.RehearsalPermitted(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	missing := map[string]bool{}
	for _, l := range ladders(c) {
		for _, candidate := range l.Candidates {
			provider, _, _ := strings.Cut(candidate, "/")
			if p, ok := c.Providers[provider]; ok && p.APIKey == "" {
				missing[provider] = true
			}
		}
	}
	var texts []string
	for _, provider := range sortedKeys(missing) {
		texts = append(texts, fmt.Sprintf("providers.%s has no api_key: %s cannot be rehearsed with its models", provider, strings.Join(names, ", ")))
	}
	return texts
}

// diagnoseCrossing says what it takes for candidates at another provider than their
// baseline's to count: a stored credential there, and a caller it is spent for.
func diagnoseCrossing(c *config.Config) []finding {
	crossing, missing := 0, map[string]bool{}
	for _, l := range ladders(c) {
		own, _, _ := strings.Cut(l.Baseline, "/")
		for _, candidate := range l.Candidates {
			provider, _, _ := strings.Cut(candidate, "/")
			if provider == own {
				continue
			}
			crossing++
			if p, ok := c.Providers[provider]; !ok || p.APIKey == "" {
				missing[provider] = true
			}
		}
	}
	if crossing == 0 {
		return nil
	}
	found := []finding{{Check: "ladders", OK: true, Detail: fmt.Sprintf("%d candidates at another provider than their baseline: open to callers with a credential of their own, or with a gnomon key that may spend there; a request with neither is refused them as anonymous, one whose key may not as key_scope", crossing)}}
	for _, provider := range sortedKeys(missing) {
		found = append(found, finding{Check: "ladders", Detail: fmt.Sprintf("providers.%s has no api_key: its candidates are refused to callers of other providers (no_credential), and count for nothing in savings", provider),
			Mend: "put the key into a file and name it in providers." + provider + ".api_key_file, or take its models out of those ladders"})
	}
	return found
}

func diagnosePrices(c *config.Config) []finding {
	book, err := priceBook(c)
	if err != nil {
		return []finding{checked("prices", "", err, "")}
	}
	n := len(book.Check(time.Now()))
	found := finding{Check: "prices", OK: true, Detail: fmt.Sprintf("book of %s, %d notes (gnomon prices check)", book.Date().Format(time.DateOnly), n)}
	return append([]finding{found}, idleLadders(c, book)...)
}

// idleLadders names what of the configured ladders no request can take: a baseline
// or a candidate without a price is refused, always.
func idleLadders(c *config.Config, book *savings.Book) []finding {
	var all []finding
	for i, l := range c.Ladders {
		for j, model := range append([]string{l.Baseline}, l.Candidates...) {
			provider, name, _ := strings.Cut(model, "/")
			if priced(book, provider, name) {
				continue
			}
			what := "it can never be chosen"
			if j == 0 {
				what = "none of its requests can be routed"
			}
			all = append(all, finding{Check: "ladders", Detail: fmt.Sprintf("ladders.%d: %s has no price, so %s", i, model, what),
				Mend: fmt.Sprintf("give it one under prices, or name the list that holds it in providers.%s.price_list (gnomon prices %s)", provider, name)})
		}
	}
	return all
}

func diagnoseEngine(c *config.Config) finding {
	if c.ClickHouse.DSN != "" {
		return finding{Check: "engine", OK: true, Detail: "not needed: clickhouse.dsn is set"}
	}
	path, err := embedded.FindLibrary(c.Engine.Library)
	return checked("engine", path, err, "make engine, or gnomon engine fetch")
}

func diagnoseBroker(ctx context.Context, c *config.Config) finding {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	said, err := pipeline.CheckTopics(ctx, clientConfig(c))
	if err != nil {
		return finding{Check: "broker", Detail: fmt.Sprint(strings.Join(brokers(c), ", "), ": ", err), Mend: "start gnomon serve (it brings the embedded broker), or look at kafka.brokers; events wait in the spool meanwhile"}
	}
	return finding{Check: "broker", OK: true, Detail: fmt.Sprint(strings.Join(brokers(c), ", "), " answers; ", said)}
}

func diagnoseStore(all context.Context, c *config.Config) []finding {
	ctx, cancel := context.WithTimeout(all, 5*time.Second)
	defer cancel()
	mend := "start gnomon serve (it brings the embedded engine), or look at clickhouse.dsn; events wait in the broker meanwhile"
	s, err := store.Open(ctx, storeOptions(c, readDSN(c), nil))
	if err != nil {
		return []finding{checked("store", "", plainly(err), mend)}
	}
	defer s.Close()
	r, err := s.Query(ctx, "SELECT version(), (SELECT count() FROM gnomon.requests)")
	if noTables(err) {
		return []finding{tablesMissing}
	}
	if err != nil {
		return []finding{checked("store", "", err, mend)}
	}
	return append([]finding{{Check: "store", OK: true, Detail: fmt.Sprintf("ClickHouse %v, %v rows", r.Rows[0][0], r.Rows[0][1])}}, diagnoseAccounts(all, c, s)...)
}

// noTables tells whether a query failed because its table or view is not there.
func noTables(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "UNKNOWN_TABLE") || strings.Contains(err.Error(), "UNKNOWN_DATABASE"))
}

var tablesMissing = finding{Check: "store", Detail: "ClickHouse answers, and not all of gnomon's tables are there",
	Mend: "wait, if gnomon has just been started: it makes them. Else start gnomon serve; on a cluster of your own, gnomon migrate"}

// diagnoseProcess asks the running gnomon: ready, and is everything accounted for?
func diagnoseProcess(ctx context.Context, c *config.Config) []finding {
	cl := newClient(c)
	probe := http.Client{Timeout: 5 * time.Second}
	resp, err := probe.Get(cl.base + "/readyz")
	if err != nil {
		return []finding{{Check: "gnomon", Detail: "nothing answers at " + cl.base, Mend: "gnomon serve"}}
	}
	defer resp.Body.Close()
	ready := finding{Check: "gnomon", OK: resp.StatusCode == http.StatusOK, Detail: "ready at " + cl.base}
	if !ready.OK {
		ready.Detail, ready.Mend = "not ready at "+cl.base, "wait, if it has just been started; its log says more"
		if body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10)); err == nil && len(body) > 0 {
			ready.Detail += ": " + strings.TrimPrefix(strings.TrimSpace(string(body)), "not ready: ")
		}
	}
	var raw json.RawMessage
	if err := cl.get(ctx, "/health", &raw); err != nil {
		why, _, _ := strings.Cut(err.Error(), "\n") // what follows advises gnomon doctor
		return []finding{ready, {Check: "completeness", Detail: why}}
	}
	var h struct {
		Total struct {
			Accepted, Stored, Declared, Dropped, Waiting uint64
		}
		Parts []struct{ Name, State, Detail string }
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return []finding{ready, {Check: "completeness", Detail: err.Error()}}
	}
	// What is declared has been accounted for: a failure is what is missing, which accounts looks at.
	t := h.Total
	found := []finding{ready, {
		Check: "completeness", OK: true, Notice: t.Declared > 0,
		Detail: fmt.Sprintf("%d accepted, %d stored, %d on their way, %d declared lost, of them %d dropped by a spool without room", t.Accepted, t.Stored, t.Waiting, t.Declared, t.Dropped),
		Mend:   "why: SELECT boot_id, error_type, count() FROM gnomon.requests FINAL WHERE status = 'lost' GROUP BY boot_id, error_type; of which proxy: SELECT * FROM gnomon.completeness WHERE declared > 0",
	}}
	for _, p := range h.Parts {
		found = append(found, finding{Check: p.Name, OK: p.State != "down" && p.State != "degraded", Detail: p.Detail})
	}
	return found
}
