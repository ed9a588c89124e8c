//go:build !linux

package embedded

import "errors"

// reExecuteConfined is Linux's; elsewhere the gate before the engine stands alone.
func reExecuteConfined(childPaths) error {
	return errors.New("this system offers no Landlock")
}
