//go:build !linux

package embedded

import "syscall"

// childAttributes: a group of its own, so that Ctrl-C at a terminal reaches the
// parent alone. That the parent is gone the child learns from its standard input.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
