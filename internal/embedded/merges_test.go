//go:build linux

package embedded_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gnomon-llm/gnomon/internal/embedded"
)

// niceness returns that of a process and of its threads of a name, by their ids.
func niceness(t *testing.T, pid int, name string) (process int, threads map[string]int) {
	t.Helper()
	read := func(path string) (comm string, nice int) {
		stat, err := os.ReadFile(path)
		if err != nil {
			return "", 0
		}
		from, to := strings.IndexByte(string(stat), '('), strings.LastIndexByte(string(stat), ')')
		nice, err = strconv.Atoi(strings.Fields(string(stat[to+1:]))[16])
		if err != nil {
			t.Fatal(err)
		}
		return string(stat[from+1 : to]), nice
	}
	_, process = read(fmt.Sprintf("/proc/%d/stat", pid))
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	threads = map[string]int{}
	for _, path := range tasks {
		if comm, nice := read(path); comm == name {
			threads[filepath.Base(filepath.Dir(path))] = nice
		}
	}
	return process, threads
}

// The threads' name is the library's and may change with it: then this fails.
func TestMergesAreLessUrgentThanAllElse(t *testing.T) {
	e, dsn := ownEngine(t, embedded.EngineConfig{})
	run(t, dsn, "CREATE DATABASE merged")
	run(t, dsn, "CREATE TABLE merged.t (a UInt8) ENGINE = MergeTree ORDER BY a")
	var merging map[string]int
	eventually(t, 20*time.Second, "merges are less urgent", func() bool {
		var process int
		process, merging = niceness(t, e.Pid(), "MergeMutate")
		for _, nice := range merging {
			if nice != min(process+5, 19) {
				return false
			}
		}
		return len(merging) > 0
	})
	eventually(t, time.Minute, "parts are merged", func() bool {
		run(t, dsn, "INSERT INTO merged.t VALUES (1)")
		return strings.TrimSpace(run(t, dsn, "SELECT max(level) > 0 FROM system.parts WHERE database = 'merged'")) == "1"
	})
	process, after := niceness(t, e.Pid(), "MergeMutate")
	for id := range merging { // OPTIMIZE and the like merge in a query's thread under the same name
		if nice := after[id]; nice != min(process+5, 19) {
			t.Errorf("after a merge: a thread's niceness is %d, the process's %d", nice, process)
		}
	}
}
