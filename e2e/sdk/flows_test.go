package sdk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Installing them waits for registries: .ci/run does so ahead of the other tests.
func TestTheSDKsAreInstalled(t *testing.T) {
	t.Run("npm", func(t *testing.T) {
		t.Parallel()
		node(t)
		cmd := exec.Command("node", "--input-type=module", "-e", "import 'openai'; import '@anthropic-ai/sdk'; import 'ai'")
		cmd.Dir = "js"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("PyPI", func(t *testing.T) {
		t.Parallel()
		if out, err := exec.Command(python(t)[0], "-c", "import openai, anthropic").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func sorted(h http.Header) []string { return slices.Sorted(maps.Keys(h)) }

// A flow of an SDK gives the same object, or the same exception, through gnomon
// as directly, and the provider gets the same bytes.
func TestTheSDKsSeeThroughGnomonWhatTheySeeDirectly(t *testing.T) {
	through := newScript(t, plantedAnswer)
	t.Setenv("GNOMON_PROVIDERS__OPENAI__API_KEY", plantedStored)
	t.Setenv("GNOMON_PROVIDERS__ANTHROPIC__API_KEY", plantedStored)
	t.Setenv("GNOMON_PROVIDERS__GONE__DIALECT", "openai")
	t.Setenv("GNOMON_PROVIDERS__GONE__BASE_URL", "http://"+freeAddr(t))
	g := newGnomon(t, through.URL)
	for _, of := range []struct {
		name    string
		program func(*testing.T) []string
		flows   int // at least
	}{
		{"npm", node, 83}, {"PyPI", python, 74},
	} {
		t.Run(of.name, func(t *testing.T) {
			program := of.program(t)
			direct := newScript(t, plantedAnswer)
			want, took := run(t, program, direct.URL)
			got, tookToo := run(t, program, "http://"+g.proxy)
			t.Logf("%d flows; %v directly, %v through gnomon", len(want), took, tookToo)
			if len(want) < of.flows {
				t.Errorf("%d flows were run, want at least %d", len(want), of.flows)
			}
			for _, flow := range slices.Sorted(maps.Keys(want)) {
				if want[flow] != got[flow] {
					t.Errorf("%s gives\n  directly %s\n  through  %s", flow, want[flow], got[flow])
				}
			}
			sameBytes(t, direct, through)
		})
	}
	if t.Failed() {
		return
	}
	key := plant(t, g)
	g.count(through.total() + 2) // and what was refused, and what reached nobody
	g.complete()
	nothingPlanted(t, g, key)
}

// run runs a program at a base address and returns a line a flow.
func run(t *testing.T, program []string, base string) (map[string]string, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	began := time.Now()
	cmd := exec.CommandContext(ctx, program[0], append(program[1:], base)...)
	cmd.Env = append(os.Environ(), "PLANTED_KEY="+plantedKey, "PLANTED_PROMPT="+plantedPrompt, "LITELLM_LOCAL_MODEL_COST_MAP=True", "NO_PROXY=127.0.0.1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", program, err, errs.String())
	}
	lines := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		var of struct {
			Flow string `json:"flow"`
		}
		if err := json.Unmarshal([]byte(line), &of); err != nil || of.Flow == "" {
			t.Fatalf("the program printed %q", line)
		}
		// The addresses of the two differ, and nothing else may.
		lines[of.Flow] = strings.ReplaceAll(line, strings.TrimPrefix(base, "http://"), "(address)")
	}
	return lines, time.Since(began).Round(10 * time.Millisecond)
}

// asking is what gnomon adds to a stream whose client did not say whether it
// wants usage; the one difference that is permitted.
const asking = `"stream_options":{"include_usage":true}`

func sameBytes(t *testing.T, direct, through *script) {
	t.Helper()
	direct.mu.Lock()
	defer direct.mu.Unlock()
	through.mu.Lock()
	defer through.mu.Unlock()
	for _, flow := range slices.Sorted(maps.Keys(direct.calls)) {
		want, got := direct.calls[flow], through.calls[flow]
		if len(want) != len(got) {
			t.Errorf("%s: the provider got %d requests directly and %d through gnomon", flow, len(want), len(got))
			continue
		}
		for i := range want {
			through := got[i]
			if !strings.Contains(want[i], asking) && strings.Contains(through, asking) && strings.Contains(want[i], "/chat/completions") {
				through = strings.Replace(strings.Replace(through, asking+",", "", 1), ","+asking, "", 1)
			}
			if want[i] != through {
				t.Errorf("%s: the provider got, of request %d,\n%s\n-- and through gnomon --\n%s", flow, i+1, want[i], got[i])
			}
		}
		if direct.left[flow] != through.left[flow] {
			t.Errorf("%s: %d requests were left directly and %d through gnomon", flow, direct.left[flow], through.left[flow])
		}
	}
}

// node is the program of npm's SDKs, installed from the lock file.
func node(t *testing.T) []string {
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("npm is not installed: npm's SDKs are not tried")
	}
	stamp := stampOf(t, "js/package-lock.json")
	if have, _ := os.ReadFile("js/node_modules/.installed"); string(have) != stamp {
		cmd := exec.Command(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
		cmd.Dir = "js"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("npm's SDKs are not tried, the registry does not give them: %v\n%s", err, out)
		}
		if err := os.WriteFile("js/node_modules/.installed", []byte(stamp), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"node", "js/flows.mjs"}
}

// python is the program of PyPI's SDKs, in an environment of its own in the
// user's cache folder.
func python(t *testing.T) []string {
	py, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: PyPI's SDKs are not tried")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skipf("no folder for an environment of Python: %v", err)
	}
	venv := filepath.Join(cache, "gnomon", "e2e-python-"+stampOf(t, "python/requirements.txt")[:12])
	if _, err := os.Stat(filepath.Join(venv, "installed")); err != nil {
		for _, args := range [][]string{
			{py, "-m", "venv", venv},
			{filepath.Join(venv, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:", "--no-deps", "-r", "python/requirements.txt"},
		} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Skipf("PyPI's SDKs are not tried, they cannot be installed: %v\n%s", err, out)
			}
		}
		if err := os.WriteFile(filepath.Join(venv, "installed"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{filepath.Join(venv, "bin", "python"), "python/flows.py"}
}

func stampOf(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}
