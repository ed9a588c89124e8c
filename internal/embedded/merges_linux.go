package embedded

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mergeThreads is what the library calls the threads of its merges.
const mergeThreads = "MergeMutate"

// mergeNice is by how much merges are less urgent than all else: while the
// processor is wanted by inserts, queries or a proxy beside them, a merge's
// thread gets a third of what another gets. A backlog then goes in first and is
// merged after; that parts do not pile up is the engine's own care, which slows
// inserts down before there are too many. The library's own setting for it
// (os_threads_nice_value_merge_mutate) takes the wish back after each merge,
// which only root may.
const mergeNice = 5

// yieldMerges makes the merges' threads less urgent. It returns whether there
// are any: the library makes them, all at once, with its first table.
func yieldMerges() bool {
	names, _ := filepath.Glob("/proc/self/task/*/comm")
	own, err := unix.Getpriority(unix.PRIO_PROCESS, os.Getpid())
	if err != nil {
		return false
	}
	nice := min(20-own+mergeNice, 19) // the call counts from 40 down
	found := false
	for _, path := range names {
		name, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(name)) != mergeThreads {
			continue
		}
		tid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		found = err == nil && unix.Setpriority(unix.PRIO_PROCESS, tid, nice) == nil || found
	}
	return found
}
