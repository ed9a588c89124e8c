package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gnomon-llm/gnomon/internal/config"
	"github.com/gnomon-llm/gnomon/internal/embedded"
)

func (a *app) engineCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "engine",
		Short: "Serve the embedded ClickHouse engine alone, or bring it (gnomon engine fetch)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			log := logger(a.stderr, c.Log)
			e, err := startEngine(cmd.Context(), c, log)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stderr, "The engine serves ClickHouse's HTTP interface on http://%s (read-only without a password). Stop with Ctrl-C.\n", e.Addr())
			<-cmd.Context().Done()
			return e.Close()
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "fetch",
		Short: "Bring the engine's library into the cache folder; nothing to do when it is there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if c.ClickHouse.DSN != "" {
				fmt.Fprintln(a.stdout, "clickhouse.dsn is set: no engine is needed.")
				return nil
			}
			path, err := fetchEngine(cmd.Context(), c.Engine.Library, a.stderr)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]string{"library": path})
			}
			fmt.Fprintln(a.stdout, "engine:", path)
			return nil
		},
	})
	return cmd
}

// fetchEngine finds the library, or brings it with a progress bar.
func fetchEngine(ctx context.Context, configured string, w io.Writer) (string, error) {
	if path, err := embedded.FindLibrary(configured); err == nil || configured != "" {
		return path, err
	}
	bar := newBar(w, -1, "bringing ClickHouse's engine")
	defer func() { _ = bar.Close() }()
	var here sync.Once
	return embedded.FetchLibrary(ctx, func(done, total int64) {
		if total > 0 && bar.GetMax64() != total {
			bar.ChangeMax64(total)
		}
		_ = bar.Set64(done)
		if total > 0 && done >= total {
			here.Do(func() {
				fmt.Fprintln(w, "\n  it is here; checking and unpacking it, a minute or more on a busy machine")
			})
		}
	})
}

// newBar returns a progress bar; where w is no terminal it is a line every ten
// seconds, so that a log shows that something goes on.
func newBar(w io.Writer, total int64, what string) *progressbar.ProgressBar {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return progressbar.NewOptions64(total, progressbar.OptionSetWriter(lines{w}), progressbar.OptionSetDescription("  "+what), progressbar.OptionSetWidth(10),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(10*time.Second))
	}
	return progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("  "+what),
		progressbar.OptionSetWidth(30), progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetRenderBlankState(true))
}

// lines makes lines of what is written over and over in one place.
type lines struct{ w io.Writer }

func (l lines) Write(b []byte) (int, error) {
	text := strings.Trim(strings.ReplaceAll(string(b), "\r", "\n"), " \n")
	if text == "" {
		return len(b), nil
	}
	_, err := io.WriteString(l.w, "  "+text+"\n")
	return len(b), err
}

// engineDir is the engine's part of the data folder.
func engineDir(c *config.Config) string { return filepath.Join(c.DataDir, "engine") }
