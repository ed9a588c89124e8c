package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The engine is a large library that nobody of us has reviewed, and anyone on
// this machine may send it queries. So its process gives up what it does not
// need before the library is loaded: with Landlock (Linux 5.13 and newer) it can
// open no file but its own folder's and the system's libraries, and (6.7) it can
// open no TCP connection at all; its listener it gets from its parent.

// Rights by the version of Landlock that brought them.
const (
	readRights  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR | unix.LANDLOCK_ACCESS_FS_EXECUTE
	fileRights  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	firstRights = 1<<13 - 1
)

// readable is what a dynamically linked program and the engine look at. Of /proc
// it is not all: the parent's environment stands there, and may hold keys.
var readable = []string{
	"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store", "/usr/share/zoneinfo", "/sys",
	"/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/gai.conf", "/dev/urandom", "/dev/random",
	"/proc/self", "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/sys", "/proc/version", "/proc/loadavg", "/proc/uptime", "/proc/vmstat", "/proc/filesystems", "/proc/diskstats",
}

// confine gives up, for the calling thread and what it executes, all files but
// those named. Threads that exist already keep their rights, so the caller
// executes the program anew.
func confine(readOnly, readWrite []string) error {
	runtime.LockOSThread() // never unlocked: the thread is confined for good
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return fmt.Errorf("the kernel offers no Landlock (%w)", errno)
	}
	attr := unix.LandlockRulesetAttr{Handled_access_fs: firstRights}
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if version >= 2 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
		size += unsafe.Sizeof(attr.Handled_access_net)
	}
	if version >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	defer func() { _ = unix.Close(int(fd)) }()
	for _, path := range readOnly {
		if err := allow(int(fd), path, readRights&attr.Handled_access_fs); err != nil {
			return err
		}
	}
	for _, path := range readWrite {
		if err := allow(int(fd), path, attr.Handled_access_fs); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: %w", errno)
	}
	return nil
}

// allow adds a rule for path and what is below it; a path that is not there
// needs none.
func allow(ruleset int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("landlock, %s: %w", path, errno)
	}
	return nil
}

// reExecuteConfined replaces this process by itself, confined. It returns only
// when that was not possible.
func reExecuteConfined(p childPaths) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	library, err := filepath.EvalSymlinks(p.Library)
	if err != nil {
		return err
	}
	err = confine(append([]string{exe, library, p.Library}, readable...), []string{p.Data, p.Tmp, "/dev/null", "/dev/zero"})
	if err != nil {
		return err
	}
	return unix.Exec(exe, os.Args[:1], append(os.Environ(), confinedEnv+"=1"))
}
