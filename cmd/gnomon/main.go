// Command gnomon is the whole of gnomon: proxy, pipeline, analyzer, console,
// the demo that shows them, and the commands that ask them.
//
// The one idea: main wires and nothing else. What serves is built in node.go in
// the order in which things need each other, and ends in the reverse; every
// other command asks a running gnomon over its API, or the store over SQL.
//
// What it does not do: it decides nothing, prices nothing and stores nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/embedded"
)

// version is set by the linker.
var version = "dev"

func main() {
	embedded.RunEngineChildIfAsked()
	// Libraries that use the global logger (net/http, of bytes a provider sent
	// unasked) could write what is nobody's business: gnomon logs by slog alone.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes: 0 done, 1 it could not be done, 2 the call was wrong.
const (
	exitDone  = 0
	exitError = 1
	exitUsage = 2
)

// errUsage marks a wrong call.
var errUsage = errors.New("wrong call")

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errSilent):
		return exitError
	}
	fmt.Fprintln(stderr, "gnomon:", err)
	if errors.Is(err, errUsage) || isCobraUsage(err) {
		fmt.Fprintln(stderr, howTo(cmd))
		return exitUsage
	}
	return exitError
}

// howTo shows a call of a command that would have been right.
func howTo(cmd *cobra.Command) string {
	if cmd.Example == "" {
		return "  see " + cmd.CommandPath() + " --help"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(cmd.Example), "\n")
	return "  for example: " + first + "\n  see " + cmd.CommandPath() + " --help"
}

// errSilent ends with status 1 after the command has said everything itself.
var errSilent = errors.New("")

// isCobraUsage recognises cobra's own complaints, which have no type.
func isCobraUsage(err error) bool {
	for _, start := range []string{"unknown command", "unknown flag", "unknown shorthand", "invalid argument", "flag needs", "accepts ", "requires at least", "required flag"} {
		if strings.HasPrefix(err.Error(), start) {
			return true
		}
	}
	return false
}

// app is what all commands share.
type app struct {
	stdout, stderr io.Writer
	configFile     string
	project        string
	json           bool
	set            []string
	flags          map[string]any // dotted config keys set by flags
}

func (a *app) root() *cobra.Command {
	a.flags = map[string]any{}
	root := &cobra.Command{
		Use:           "gnomon",
		Short:         "Shows what cheaper models would save on your LLM traffic, proves it, and switches safely",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(a.dlqCmd(), a.declareLostCmd())
	f := root.PersistentFlags()
	f.StringVarP(&a.configFile, "config", "c", os.Getenv("GNOMON_CONFIG"), "configuration file (default gnomon.yaml here, if there is one)")
	f.StringVar(&a.project, "project", "", "project (default: the configured one)")
	f.BoolVar(&a.json, "json", false, "print for machines")
	f.StringArrayVar(&a.set, "set", nil, "set a configuration key: --set proxy.addr=:9090")
	root.AddCommand(a.serveCmd(), a.demoCmd(), a.engineCmd(), a.statusCmd(), a.workloadsCmd(), a.reportCmd(), a.activateCmd(), a.rollbackCmd(), a.keysCmd(),
		a.sqlCmd(), a.migrateCmd(), a.pricesCmd(), a.replayCmd(), a.whatIfCmd(), a.doctorCmd(), a.configCmd())
	root.AddCommand(a.assessCmd(), a.trainCmd())
	return root
}

// config loads the configuration with the flags of this call.
func (a *app) config() (*config.Config, error) { return a.load(config.Options{Check: checkRest}) }

func (a *app) load(o config.Options) (*config.Config, error) {
	for _, kv := range a.set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, fmt.Errorf("%w: --set %s: want key=value", errUsage, kv)
		}
		a.flags[key] = value
	}
	if a.project != "" {
		a.flags["project"] = a.project
	}
	o.File, o.Flags = a.configFile, a.flags
	return config.Load(o)
}

// logger returns gnomon's own log. Nothing secret reaches it by construction:
// configuration is never logged whole, and headers are never logged.
func logger(w io.Writer, c config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // validated with the configuration
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
