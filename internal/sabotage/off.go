//go:build !sabotage

package sabotage

// Of says whether the safeguard is taken away: never, in this build.
func Of(string) bool { return false }
