package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// childEnv tells a process of this binary that it is the engine; its value is
// childPaths. confinedEnv tells it that it has given up its rights already.
const (
	childEnv    = "GNOMON_ENGINE_CHILD"
	confinedEnv = "GNOMON_ENGINE_CONFINED"
)

// childPaths are all that the engine's process may touch, beside the system's
// libraries.
type childPaths struct {
	Library string
	Data    string // the engine's tables
	Tmp     string // inserts' bodies and answers' pipes; emptied at start
}

// Files that the parent hands to the child, beside the standard three.
const (
	listenerFD = 3
	lockFD     = 4 // held open only, so that the folder is locked while the child lives
)

// childConfig goes from parent to child over the child's standard input, so that
// the password is neither in the arguments nor in the environment.
type childConfig struct {
	WriterPassword string
	MemoryBytes    int64
	Hosts          []string
}

// childReport is the child's one line of standard output.
type childReport struct {
	Version string
	Error   string
}

// RunEngineChildIfAsked is the first line of main, and of TestMain where an
// engine is started: in the process that StartEngine made of this binary it
// serves the engine and never returns; in any other it does nothing.
func RunEngineChildIfAsked() {
	if os.Getenv(childEnv) == "" {
		return
	}
	if err := runChild(os.Stdin, os.Stdout); err != nil {
		_ = json.NewEncoder(os.Stdout).Encode(childReport{Error: err.Error()})
		os.Exit(1)
	}
	os.Exit(0)
}

func runChild(in io.Reader, report io.Writer) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGPIPE, syscall.SIGHUP)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	var paths childPaths
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &paths); err != nil {
		return fmt.Errorf("the engine's process was not started by gnomon: %w", err)
	}
	if os.Getenv(confinedEnv) == "" {
		err := reExecuteConfined(paths)
		log.Warn("the engine's process keeps its rights to files and network; read-only queries are still checked before they reach it", "because", err)
	}
	var cfg childConfig
	dec := json.NewDecoder(in)
	if err := dec.Decode(&cfg); err != nil {
		return fmt.Errorf("the engine's process got no configuration: %w", err)
	}
	ln, err := net.FileListener(os.NewFile(listenerFD, "listener"))
	if err != nil {
		return fmt.Errorf("the engine's process got no listener: %w", err)
	}
	lib, err := openLibrary(paths.Library)
	if err != nil {
		return err
	}
	// The library's own handlers may sleep for minutes in a crash; without them it
	// dies at once, which the parent mends.
	lib.signals(0)
	s, err := newServer(lib, paths, cfg, log)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // a client that leaves breaks a pipe; the library must see an error, not die
	h := &http.Server{Handler: s, ReadHeaderTimeout: headerReadTime, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	if err := json.NewEncoder(report).Encode(childReport{Version: s.version}); err != nil {
		return err
	}
	go func() {
		// The parent holds the other end: its end is ours, however it came.
		_, _ = io.Copy(io.Discard, io.MultiReader(dec.Buffered(), in))
		ctx, cancel := context.WithTimeout(context.Background(), killPatience)
		defer cancel()
		_ = h.Shutdown(ctx)
		os.Exit(0)
	}()
	if err := h.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	select {} // the goroutine above ends the process
}

// engineArgs are the library's start arguments. Its caches default to gigabytes
// and its pools to the size of a server farm.
func engineArgs(data string, memory int64) []string {
	kv := [][2]string{
		{"path", data},
		{"max_server_memory_usage", strconv.FormatInt(memory, 10)},
		{"mark_cache_size", strconv.FormatInt(memory/20, 10)},
		{"index_mark_cache_size", strconv.FormatInt(memory/50, 10)},
		{"uncompressed_cache_size", "0"},
		{"index_uncompressed_cache_size", "0"},
		{"primary_index_cache_size", strconv.FormatInt(memory/50, 10)},
		{"query_condition_cache_size", strconv.FormatInt(memory/100, 10)},
		{"mmap_cache_size", "100"},
		{"compiled_expression_cache_size", "8388608"},
		{"background_pool_size", "2"},
		{"background_schedule_pool_size", "4"},
		{"background_common_pool_size", "2"},
		{"background_move_pool_size", "1"},
		{"background_fetches_pool_size", "1"},
		{"background_buffer_flush_schedule_pool_size", "1"},
		{"background_message_broker_schedule_pool_size", "1"},
		{"background_distributed_schedule_pool_size", "1"},
		{"max_thread_pool_size", "200"},
		{"max_concurrent_queries", "40"},
	}
	args := make([]string, len(kv))
	for i, p := range kv {
		args[i] = "--" + p[0] + "=" + p[1]
	}
	return args
}

// withoutTime: the parent's log has one.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}
