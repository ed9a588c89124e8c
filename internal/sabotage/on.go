//go:build sabotage

package sabotage

import "os"

var away = os.Getenv("SABOTAGE")

// Of says whether the safeguard is taken away.
func Of(safeguard string) bool { return away == safeguard }
