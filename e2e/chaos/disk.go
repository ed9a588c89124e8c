package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// inNamespace is set in the driver that runs in mounts of its own.
const inNamespace = "CHAOS_NAMESPACE"

// ownMounts runs this program once more where it may mount: in a namespace of
// mounts, and of users where it is not root. What it mounts is seen by nobody
// else and is gone with it. It returns when there is no need, or no way.
func ownMounts() {
	if os.Getenv(inNamespace) != "" {
		return
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		fmt.Println("no disk is filled: nothing may be mounted here:", err)
		return
	}
	err := cmd.Wait()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		os.Exit(max(ended.ExitCode(), 1))
	}
	os.Exit(0)
}

// mayMount says why no disk of its own can be made; nil when it can.
func mayMount() error {
	if os.Getenv(inNamespace) == "" {
		return errors.New("no namespace of mounts")
	}
	// What is mounted must not travel to where the namespace came from.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts cannot be made private: %w", err)
	}
	dir, err := os.MkdirTemp("", "gnomon-mount-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := syscall.Mount("chaos", dir, "tmpfs", 0, "size=1m"); err != nil {
		return fmt.Errorf("a tmpfs cannot be mounted: %w", err)
	}
	return syscall.Unmount(dir, 0)
}

// sizes are the folders that can become full, and how large each is in MB: room
// for all that a seed writes.
var sizes = map[string]int{"spool": 64, "broker": 256, "engine": 768}

// mount gives a folder of p's data a disk of its own.
func (p *process) mount(folder string) error {
	dir := p.folder(folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	p.mounts = append(p.mounts, dir)
	return syscall.Mount("chaos", dir, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, fmt.Sprintf("size=%dm,mode=0700", sizes[folder]))
}

// unmount gives the disks up. What is kept is copied, since it would go with them.
func (p *process) unmount(keep bool) {
	for _, dir := range p.mounts {
		if keep {
			_ = exec.Command("cp", "-a", dir, dir+".kept").Run()
		}
		_ = syscall.Unmount(dir, syscall.MNT_DETACH)
	}
}

// fill takes what is left of the disk; what it returns gives it back.
func (p *process) fill(folder string) (free func() error, err error) {
	path := filepath.Join(p.folder(folder), "ballast")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for size := len(block); size > 0; {
		if _, err = f.Write(block[:size]); err != nil {
			size /= 2
		}
		time.Sleep(time.Millisecond) // no disk takes more than a gigabyte a second
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return nil, fmt.Errorf("filling %s: %w", path, err)
	}
	return func() error { return os.Remove(path) }, nil
}

// fullDisk fills a folder's disk for a while. Where again is set the process is
// killed meanwhile, and starts on the full disk.
func fullDisk(folder string, again bool, of func(*world, *rand.Rand) *process) func(context.Context, *world, *rand.Rand) error {
	return func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := of(w, rnd)
		free, err := p.fill(folder)
		if err != nil {
			return err
		}
		time.Sleep(time.Duration(500+rnd.IntN(2500)) * time.Millisecond)
		if again {
			p.kill()
			err = p.start()
			pause(ctx, rnd, 1500)
		}
		return errors.Join(err, free())
	}
}

var diskFaults = []fault{
	{name: "a proxy's disk is full", disk: "spool", drops: true, do: fullDisk("spool", false, anyFront)},
	{name: "a proxy's disk is full and it is killed", disk: "spool", drops: true, do: fullDisk("spool", true, anyFront)},
	{name: "the broker's disk is full", disk: "broker", do: fullDisk("broker", false, theBack)},
	{name: "the broker's disk is full and it is killed", disk: "broker", do: fullDisk("broker", true, theBack)},
	{name: "the engine's disk is full", disk: "engine", do: fullDisk("engine", false, theBack)},
	{name: "the engine's disk is full and it is killed", disk: "engine", do: fullDisk("engine", true, theBack)},
}
