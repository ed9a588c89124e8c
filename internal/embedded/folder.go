package embedded

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lockFolder takes dir for this process, or says who has it. The lock ends with
// the last process that holds the returned file.
func lockFolder(dir, what string) (*os.File, error) {
	path := filepath.Join(dir, what+".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the %s's folder %s cannot be used: %w", what, dir, err)
	}
	begun := time.Now()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		holder := readPid(path)
		// A holder that is gone leaves a child that is about to go; one that was
		// killed is there for a moment still.
		waited := time.Since(begun)
		if (holder != 0 && alive(holder) && waited > dyingPatience) || waited > closePatience {
			_ = f.Close()
			return nil, fmt.Errorf("the %s's folder %s is in use by process %d: end it, or choose another data_dir", what, dir, holder)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("the %s's folder %s cannot be written: %w", what, dir, err)
		}
	}
	return f, nil
}

func readPid(path string) int {
	b, _ := os.ReadFile(path)
	n, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return n
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// WriterPassword returns the password of the engine's writer: the contents of
// file when it is named, else of writer.secret in dir (the engine's folder),
// which is made with a random one when absent, readable by its owner alone.
func WriterPassword(dir, file string) (string, error) {
	if file != "" {
		return readPassword(file)
	}
	path := filepath.Join(dir, "writer.secret")
	if p, err := readPassword(path); !errors.Is(err, os.ErrNotExist) {
		return p, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("the engine's folder %s cannot be made: %w; choose another with data_dir", dir, err)
	}
	var b [24]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	tmp, err := os.CreateTemp(dir, ".writer-*") // 0600
	if err != nil {
		return "", fmt.Errorf("the writer's password cannot be kept in %s: %w", dir, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(base64.RawURLEncoding.EncodeToString(b[:]) + "\n")
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	// A link, not a rename: who came first stays.
	if err == nil {
		err = os.Link(tmp.Name(), path)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("the writer's password cannot be kept in %s: %w", path, err)
	}
	return readPassword(path)
}

func readPassword(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the writer's password cannot be read: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the writer's password in %s can be read by others: chmod 600 %s", path, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the writer's password cannot be read: %w", err)
	}
	p := strings.TrimSpace(string(b))
	if p == "" {
		return "", fmt.Errorf("the writer's password in %s is empty: write one into it, or remove the file and a new one is made", path)
	}
	return p, nil
}
