//go:build !linux

package embedded

// yieldMerges: elsewhere a thread has no urgency of its own.
func yieldMerges() bool { return true }
