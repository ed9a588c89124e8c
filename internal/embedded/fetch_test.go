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
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakePackage makes a package like the real one, pins it, and puts an npm on the
// path that brings it. It returns the log that npm writes its calls to.
func fakePackage(t *testing.T, library []byte) (calls string) {
	t.Helper()
	var tgz bytes.Buffer
	gz := gzip.NewWriter(&tgz)
	tw := tar.NewWriter(gz)
	for _, f := range []struct {
		name string
		body []byte
	}{{"package/package.json", []byte("{}")}, {"package/../../evil", []byte("x")}, {"package/" + libraryFile, library}} {
		if err := tw.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.body)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	packed, unpacked := sha512.Sum512(tgz.Bytes()), sha256.Sum256(library)
	real := pins[platform()]
	t.Cleanup(func() { pins[platform()] = real })
	pins[platform()] = pin{int64(tgz.Len()), "sha512-" + base64.StdEncoding.EncodeToString(packed[:]), int64(len(library)), hex.EncodeToString(unpacked[:])}
	bin := t.TempDir()
	source := filepath.Join(bin, "source.tgz")
	calls = filepath.Join(bin, "calls")
	if err := os.WriteFile(source, tgz.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	npm(t, bin, fmt.Sprintf(`echo "$@" >> %s
while [ "$1" != --pack-destination ]; do shift; done
cp %s "$2/chdb.tgz"`, calls, source))
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("CHDB_LIB_PATH", "")
	return calls
}

func npm(t *testing.T, bin, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestTheLibraryIsFetchedOnceAndVerified(t *testing.T) {
	calls := fakePackage(t, bytes.Repeat([]byte("library"), 10000))
	if _, err := FindLibrary(""); err == nil || !strings.Contains(err.Error(), "gnomon engine fetch") {
		t.Errorf("before: %v", err)
	}
	var last, total int64
	path, err := FetchLibrary(context.Background(), func(d, n int64) { last, total = d, n })
	if err != nil {
		t.Fatal(err)
	}
	if last != total || total != pins[platform()].packed {
		t.Errorf("progress ended at %d of %d", last, total)
	}
	if found, err := FindLibrary(""); err != nil || found != path {
		t.Errorf("found %s, %v", found, err)
	}
	var wg sync.WaitGroup
	for range 4 { // nothing to do, whoever asks
		wg.Go(func() {
			if again, err := FetchLibrary(context.Background(), nil); err != nil || again != path {
				t.Error(again, err)
			}
		})
	}
	wg.Wait()
	if b, _ := os.ReadFile(calls); strings.Count(string(b), "\n") != 1 || !strings.Contains(string(b), "pack "+packageName()+"@"+LibraryVersion) {
		t.Errorf("npm was called: %s", b)
	}
	left, _ := os.ReadDir(filepath.Dir(path))
	for _, f := range left {
		if n := f.Name(); n != libraryFile && n != verifiedFile && n != "fetch.lock" {
			t.Errorf("%s was left behind", n)
		}
	}
}

func TestTwoFetchesAtOnceDoItOnce(t *testing.T) {
	calls := fakePackage(t, []byte("library"))
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			if _, err := FetchLibrary(context.Background(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if b, _ := os.ReadFile(calls); strings.Count(string(b), "\n") != 1 {
		t.Errorf("npm was called %d times", strings.Count(string(b), "\n"))
	}
}

func TestAWrongLibraryIsNeverReturned(t *testing.T) {
	for _, c := range []struct {
		name string
		hurt func(t *testing.T, path string)
		want string
	}{
		{"a truncated one", func(t *testing.T, path string) { must(t, os.Truncate(path, 100)) }, "100 bytes"},
		{"an empty one", func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }, "0 bytes"},
		{"a changed one of the same size", func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			must(t, err)
			b[500] ^= 1
			must(t, os.WriteFile(path, b, 0o755))
			must(t, os.Chtimes(path, time.Now(), time.Now().Add(time.Second)))
		}, "sha256"},
		{"one whose record was lost", func(t *testing.T, path string) {
			must(t, os.Remove(filepath.Join(filepath.Dir(path), verifiedFile)))
		}, ""},
		{"one whose record is nonsense", func(t *testing.T, path string) {
			must(t, os.WriteFile(filepath.Join(filepath.Dir(path), verifiedFile), []byte("{"), 0o600))
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			fakePackage(t, bytes.Repeat([]byte("library"), 1000))
			path, err := FetchLibrary(context.Background(), nil)
			must(t, err)
			c.hurt(t, path)
			_, err = FindLibrary("")
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
			// Fetching mends it.
			if _, err := FetchLibrary(context.Background(), nil); err != nil {
				t.Error(err)
			}
			if _, err := FindLibrary(""); err != nil {
				t.Errorf("after fetching again: %v", err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatCannotBeFetchedIsSaidWithWhatToDo(t *testing.T) {
	all := []string{packageName(), "CHDB_LIB_PATH", "clickhouse.dsn"}
	for _, c := range []struct {
		name   string
		script string // of npm; "-" is no npm
		want   []string
	}{
		{"no npm", "-", []string{"not installed", "Node.js"}},
		{"npm fails", "echo 'npm error code E404' >&2; exit 1", []string{"npm error code E404", "npm config get registry"}},
		{"npm brings another package", `while [ "$1" != --pack-destination ]; do shift; done; echo x > "$2/x.tgz"`, []string{"integrity", "nothing was unpacked"}},
		{"npm brings nothing", "exit 0", []string{"0 packages"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fakePackage(t, []byte("library"))
			bin := t.TempDir()
			t.Setenv("PATH", bin)
			if c.script != "-" {
				npm(t, bin, c.script)
			}
			_, err := FetchLibrary(context.Background(), nil)
			if err == nil {
				t.Fatal("it was fetched")
			}
			for _, want := range append(c.want, all...) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not say %q", err, want)
				}
			}
			if _, err := FindLibrary(""); err == nil {
				t.Error("a library was left")
			}
		})
	}
	t.Run("a platform that was not checked", func(t *testing.T) {
		fakePackage(t, []byte("library"))
		pins[platform()] = pin{}
		if _, err := FetchLibrary(context.Background(), nil); err == nil || !strings.Contains(err.Error(), "CHDB_LIB_PATH") {
			t.Error(err)
		}
	})
	t.Run("given up while it comes", func(t *testing.T) {
		fakePackage(t, []byte("library"))
		bin := t.TempDir()
		t.Setenv("PATH", bin+":/usr/bin:/bin")
		npm(t, bin, "exec sleep 60")
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		begun := time.Now()
		if _, err := FetchLibrary(ctx, nil); err == nil || time.Since(begun) > 20*time.Second {
			t.Error(err, time.Since(begun))
		}
	})
}

func TestTheWritersPassword(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "engine")
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got { // all of them at once get the one that was made first
		wg.Go(func() {
			var err error
			if got[i], err = WriterPassword(dir, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, p := range got {
		if p != got[0] || len(p) < 30 {
			t.Errorf("passwords %q", got)
		}
	}
	path := filepath.Join(dir, "writer.secret")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	own := filepath.Join(t.TempDir(), "own")
	must(t, os.WriteFile(own, []byte(" mine \n"), 0o600))
	if p, err := WriterPassword(dir, own); p != "mine" || err != nil {
		t.Errorf("%q %v", p, err)
	}
	for name, f := range map[string]func(){
		"chmod 600":    func() { must(t, os.Chmod(own, 0o644)) },
		"is empty":     func() { must(t, os.WriteFile(own, nil, 0o600)); must(t, os.Chmod(own, 0o600)) },
		"cannot be re": func() { must(t, os.Remove(own)) },
	} {
		must(t, os.WriteFile(own, []byte("x"), 0o600))
		f()
		if _, err := WriterPassword(dir, own); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
