package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	libraryFile  = "libchdb.so"
	verifiedFile = "libchdb.so.verified" // what was found when the library was hashed
	progressTick = 250 * time.Millisecond
)

// otherWays tells how to do without fetching.
const otherWays = "have libchdb from elsewhere (CHDB_LIB_PATH or engine.library names the file), or use a ClickHouse server (clickhouse.dsn)"

// platform is this machine's name among the packages.
func platform() string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if runtime.GOOS == "linux" {
		return "linux-" + arch + "-gnu"
	}
	return runtime.GOOS + "-" + arch
}

func packageName() string { return "@chdb/lib-" + platform() }

// cacheFolder is where the library of this version and platform is kept.
func cacheFolder() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache folder for the engine: %w; set XDG_CACHE_HOME, or %s", err, otherWays)
	}
	return filepath.Join(base, "gnomon", "engine", LibraryVersion+"-"+platform()), nil
}

// FindLibrary returns the engine's library: the configured file, else
// CHDB_LIB_PATH's, else the cache folder's, which is held against its pinned
// hash (once, then by size and time). The error says what to do.
func FindLibrary(configured string) (string, error) {
	if configured != "" {
		return ownLibrary(configured, "engine.library")
	}
	if env := os.Getenv("CHDB_LIB_PATH"); env != "" {
		return ownLibrary(env, "CHDB_LIB_PATH")
	}
	dir, err := cacheFolder()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, libraryFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("ClickHouse's engine (libchdb %s) is not in %s: run `gnomon engine fetch` (or `make engine`), or %s", LibraryVersion, dir, otherWays)
	}
	if err := verifyCached(path, pins[platform()]); err != nil {
		return "", err
	}
	return path, nil
}

// ownLibrary is a file that the user answers for: only its kind is looked at.
func ownLibrary(path, from string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%s: the engine's library cannot be read: %w", from, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: %s is no file; name libchdb.so itself", from, path)
	}
	if err := checkKind(path); err != nil {
		return "", fmt.Errorf("%s: %w", from, err)
	}
	return path, nil
}

// verified is what the library was when it was last hashed.
type verified struct {
	SHA256 string
	Size   int64
	MTime  int64 // nanoseconds
}

// verifyCached holds the cached library against the pin. The hash of half a
// gigabyte takes a second, so it is computed again only when size or time changed.
func verifyCached(path string, want pin) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("the engine's library cannot be read: %w", err)
	}
	wrong := func(what string) error {
		return fmt.Errorf("the engine's library %s is not the one of libchdb %s (%s): remove it and run `gnomon engine fetch`, or %s", path, LibraryVersion, what, otherWays)
	}
	if want.size == 0 {
		return wrong("no hash is pinned for " + platform())
	}
	if info.Size() != want.size {
		return wrong(fmt.Sprintf("%d bytes, not %d", info.Size(), want.size))
	}
	record := filepath.Join(filepath.Dir(path), verifiedFile)
	now := verified{want.sha256, info.Size(), info.ModTime().UnixNano()}
	var known verified
	if b, err := os.ReadFile(record); err == nil && json.Unmarshal(b, &known) == nil && known == now {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("the engine's library cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("the engine's library cannot be read: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want.sha256 {
		return wrong("sha256 " + got + ", not " + want.sha256)
	}
	if b, err := json.Marshal(now); err == nil {
		_ = writeAtomically(record, b) // without the record it is hashed again
	}
	return nil
}

func writeAtomically(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(b)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// FetchLibrary brings the library into the cache folder with the npm client, so
// that the user's registry settings hold, and returns its path. The package's
// sha512 is checked before anything is unpacked. When it is there already
// nothing is done; two at once do it once. progress (may be nil) hears bytes done
// of the package's bytes: all of them when it is here, before it is unpacked.
func FetchLibrary(ctx context.Context, progress func(done, total int64)) (string, error) {
	dir, err := cacheFolder()
	if err != nil {
		return "", err
	}
	want := pins[platform()]
	path := filepath.Join(dir, libraryFile)
	if _, err := os.Stat(path); err == nil {
		if err := verifyCached(path, want); err == nil {
			return path, nil
		}
	}
	if want.integrity == "" {
		return "", fmt.Errorf("no package of libchdb %s for %s has been checked, so none is fetched: %s", LibraryVersion, platform(), otherWays)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("the cache folder for the engine cannot be made: %w; set XDG_CACHE_HOME, or %s", err, otherWays)
	}
	lock, err := waitLock(ctx, filepath.Join(dir, "fetch.lock"))
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if _, err := os.Stat(path); err == nil && verifyCached(path, want) == nil { // another brought it meanwhile
		return path, nil
	}
	tarball, cleanup, err := npmPack(ctx, dir, want.packed, progress)
	if err != nil {
		return "", err
	}
	defer cleanup()
	if progress != nil {
		progress(want.packed, want.packed)
	}
	if err := install(tarball, path, want); err != nil {
		return "", err
	}
	return path, nil
}

func waitLock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the cache folder for the engine cannot be written: %w", err)
	}
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return f, nil
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, fmt.Errorf("another process is fetching the engine (%s): %w", path, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// npmPack downloads the package into a folder of its own below dir. The client
// shows nothing while it works, so progress is the growth of that folder.
func npmPack(ctx context.Context, dir string, size int64, progress func(done, total int64)) (tarball string, cleanup func(), err error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", nil, fmt.Errorf("npm, with which ClickHouse's engine is fetched (package %s@%s), is not installed: install Node.js with npm, or %s", packageName(), LibraryVersion, otherWays)
	}
	tmp, err := os.MkdirTemp(dir, "fetch-*")
	if err != nil {
		return "", nil, fmt.Errorf("the cache folder for the engine cannot be written: %w", err)
	}
	cleanup = func() { _ = os.RemoveAll(tmp) }
	cmd := exec.CommandContext(ctx, npm, "pack", packageName()+"@"+LibraryVersion, "--silent", "--ignore-scripts",
		"--pack-destination", tmp, "--cache", filepath.Join(tmp, "cache")) // the user's npm cache is not filled with it
	cmd.Dir = tmp
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.WaitDelay = 5 * time.Second
	stop := watchGrowth(tmp, size, progress)
	err = cmd.Run()
	stop()
	if err != nil {
		cleanup()
		return "", nil, fmt.Errorf("npm pack %s@%s failed (%w): %s; see `npm config get registry`, or %s", packageName(), LibraryVersion, err, lastLine(said.String()), otherWays)
	}
	found, _ := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if len(found) != 1 {
		cleanup()
		return "", nil, fmt.Errorf("npm pack %s@%s left %d packages where one was wanted; %s", packageName(), LibraryVersion, len(found), otherWays)
	}
	return found[0], cleanup, nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for _, l := range lines { // the first error line says what, the last where a log is
		if strings.Contains(l, "error") || strings.Contains(l, "ERR") {
			return strings.TrimSpace(l)
		}
	}
	return firstOf(strings.TrimSpace(lines[len(lines)-1]), "it said nothing")
}

// watchGrowth reports the bytes below dir until the returned function is called.
func watchGrowth(dir string, total int64, progress func(done, total int64)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(progressTick)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				progress(min(largest(dir), total), total)
			}
		}
	}()
	return func() {
		close(quit)
		<-gone
	}
}

// largest is the size of the largest file below dir: the package, wherever the
// client keeps it while it comes.
func largest(dir string) int64 {
	var most int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				most = max(most, info.Size())
			}
		}
		return nil
	})
	return most
}

// install checks the package and unpacks the one file.
func install(tarball, path string, want pin) error {
	f, err := os.Open(tarball)
	if err != nil {
		return fmt.Errorf("the fetched package cannot be read: %w", err)
	}
	defer func() { _ = f.Close() }()
	h := sha512.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("the fetched package cannot be read: %w", err)
	}
	if got := "sha512-" + base64.StdEncoding.EncodeToString(h.Sum(nil)); got != want.integrity {
		return fmt.Errorf("the package that npm brought is not %s@%s: its integrity is %s, not %s; nothing was unpacked; check the registry (`npm config get registry`), or %s", packageName(), LibraryVersion, got, want.integrity, otherWays)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := unpack(f, path, want); err != nil {
		return fmt.Errorf("the engine cannot be unpacked into %s: %w", filepath.Dir(path), err)
	}
	return verifyCached(path, want)
}

func unpack(tgz io.Reader, path string, want pin) error {
	gz, err := gzip.NewReader(tgz)
	if err != nil {
		return err
	}
	tr := tar.NewReader(gz)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("the package holds no %s", libraryFile)
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg && h.Name == "package/"+libraryFile {
			return writeLibrary(tr, path, want)
		}
	}
}

func writeLibrary(r io.Reader, path string, want pin) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".lib-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	n, err := io.Copy(tmp, io.LimitReader(r, want.size+1))
	if err == nil && n != want.size {
		err = fmt.Errorf("%s has %d bytes, not %d", libraryFile, n, want.size)
	}
	if err == nil {
		err = tmp.Chmod(0o755)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
