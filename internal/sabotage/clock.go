//go:build clock

package sabotage

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// In a build whose package time was given Jump (e2e/chaos makes it with go build
// -overlay) the wall clock of the process is off by as many seconds as the file
// named by CHAOS_CLOCK says, from the next look at it on. The monotonic clock goes
// on as it was, as it does when a machine's clock is set.
func init() {
	path := os.Getenv("CHAOS_CLOCK")
	if path == "" {
		return
	}
	look := func() {
		raw, err := os.ReadFile(path)
		if err != nil {
			return
		}
		if seconds, err := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64); err == nil {
			time.Jump(seconds)
		}
	}
	look()
	go func() {
		for {
			time.Sleep(20 * time.Millisecond)
			look()
		}
	}()
}
