package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gnomon-llm/gnomon/internal/config"
)

// roles are the parts a process runs.
type roles struct{ proxy, ingest, rehearse, analyze, console bool }

var roleNames = []string{"proxy", "ingest", "rehearse", "analyze", "console"}

func parseRoles(s string) (roles, error) {
	if s == "" {
		return roles{true, true, true, true, true}, nil
	}
	var r roles
	set := map[string]*bool{"proxy": &r.proxy, "ingest": &r.ingest, "rehearse": &r.rehearse, "analyze": &r.analyze, "console": &r.console}
	for name := range strings.SplitSeq(s, ",") {
		role, ok := set[strings.TrimSpace(name)]
		if !ok {
			return r, fmt.Errorf("%w: --roles %s: %q is none of %s", errUsage, s, name, strings.Join(roleNames, ", "))
		}
		*role = true
	}
	return r, nil
}

// store reports whether any role reads or writes the store.
func (r roles) store() bool { return r.ingest || r.analyze || r.console || r.rehearse }

func (r roles) String() string {
	var names []string
	for i, on := range []bool{r.proxy, r.ingest, r.rehearse, r.analyze, r.console} {
		if on {
			names = append(names, roleNames[i])
		}
	}
	return strings.Join(names, ",")
}

// check says what a role cannot do without.
func (r roles) check(c *config.Config) error {
	if !r.ingest && len(c.Kafka.Brokers) == 0 {
		return fmt.Errorf("roles %s need a broker: set kafka.brokers (the embedded one runs where the ingest role does, by default at %s)", r, c.Kafka.Listen)
	}
	return nil
}

func (a *app) serveCmd() *cobra.Command {
	var roleList string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run gnomon: data plane, pipeline, analyzer, console",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := parseRoles(roleList)
			if err != nil {
				return err
			}
			c, err := a.config()
			if err != nil {
				return err
			}
			if err := r.check(c); err != nil {
				return err
			}
			n, err := newNode(c, r, logger(a.stderr, c.Log), nodeOptions{load: a.config, configFile: cmp.Or(a.configFile, config.DefaultFile)})
			if err != nil {
				return err
			}
			a.greet(c, r)
			return n.run(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&roleList, "roles", "", "parts to run, of "+strings.Join(roleNames, ",")+" (default: all)")
	return cmd
}

// greet tells a person at a terminal what to do next; a log gets its line from
// run.
func (a *app) greet(c *config.Config, r roles) {
	if f, ok := a.stderr.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return
	}
	fmt.Fprintf(a.stderr, "gnomon is starting for project %s.\n", c.Project)
	if r.proxy {
		at := "http://" + dialable(c.Proxy.Addr)
		if c.Proxy.TLS.On() {
			at = "https" + strings.TrimPrefix(at, "http")
		}
		fmt.Fprintf(a.stderr, "  OpenAI SDKs      base_url=%s/v1\n  Anthropic SDKs   base_url=%s\n  others           %s/{%s}/…\n", at, at, at, strings.Join(sortedKeys(c.Providers), ","))
	}
	if r.console {
		fmt.Fprintf(a.stderr, "  console          http://%s\n", dialable(c.Admin.Addr))
	}
	fmt.Fprint(a.stderr, "  Ctrl-C stops it; answers in flight are finished first.\n\n")
}

// port is one that this process will listen on.
type port struct {
	key, addr string
	keep      *net.Listener // where the listener goes; nil: only looked at, somebody else opens it
}

// portPatience is how long a start waits for ports that are taken. A gnomon that
// was killed, and its engine, still have theirs for a moment.
const portPatience = 5 * time.Second

// listenAll opens the ports that are to be kept, and tells of all that cannot be
// had at once: whose they may be and which keys move them. What is taken it waits
// for, so long as patience says.
func listenAll(ports []port, patience time.Duration, log *slog.Logger) error {
	begun, said := time.Now(), false
	opened := map[string]bool{}
	for {
		var taken []string
		var errs []error
		for _, p := range ports {
			if opened[p.key] {
				continue
			}
			ln, err := net.Listen("tcp", p.addr)
			switch {
			case errors.Is(err, syscall.EADDRINUSE):
				taken = append(taken, p.key+": port "+p.addr+" is taken")
			case errors.Is(err, os.ErrPermission):
				errs = append(errs, fmt.Errorf("%s: no permission to listen on %s\n  ports below 1024 need it; set %s to another address", p.key, p.addr, p.key))
			case err != nil:
				errs = append(errs, fmt.Errorf("%s: %w", p.key, err))
			case p.keep != nil:
				*p.keep, opened[p.key] = ln, true
			default:
				opened[p.key] = true
				defer func() { _ = ln.Close() }() // held until all are looked at: two of ours may be the same
			}
		}
		waited := time.Since(begun)
		switch {
		case len(taken)+len(errs) == 0:
			return nil
		case len(taken) > 0 && (len(errs) > 0 || waited >= patience):
			return errors.Join(append(errs, fmt.Errorf("%s\n  perhaps by another gnomon: stop that, or set what is named here to another address", strings.Join(taken, "\n")))...)
		case len(errs) > 0:
			return errors.Join(errs...)
		case waited >= time.Second && !said:
			said = true
			log.Warn("ports are taken: waiting, should a gnomon be ending that has them", "taken", taken, "at_most", patience)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// checkDataDir makes the data folder and proves that it takes a file.
func checkDataDir(dir string) error {
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, ".write-check-*"); err == nil {
			_, err = f.Write(make([]byte, 4096))
			err = errors.Join(err, f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return fmt.Errorf("data_dir: %s cannot be written to: %w\n  make room or set data_dir (GNOMON_DATA_DIR) to a folder of yours", dir, err)
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
