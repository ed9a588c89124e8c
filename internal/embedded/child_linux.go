package embedded

import "syscall"

// childAttributes: a group of its own, so that Ctrl-C at a terminal reaches the
// parent alone and it can end in order; killed with its parent.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
