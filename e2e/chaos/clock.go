package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// buildFor compiles gnomon with the given tags into dir, its package time replaced
// by one whose wall clock can be set: a preloaded library would not reach a Go
// program, which asks the kernel itself. Everything in the process sees the jump,
// broker and clients among it; the engine's child, which is no Go inside, does not.
func buildFor(ctx context.Context, dir string, tags ...string) (bin string, err error) {
	const now = "sec, nsec, mono := runtimeNow()\n"
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time", "time.go")
	raw, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	head, body, found := strings.Cut(string(raw), "func Now() Time {\n")
	if !found || !strings.Contains(body, now) {
		return "", fmt.Errorf("package time of %s is not as this expects it: its clock cannot be set", runtime.Version())
	}
	patched := filepath.Join(dir, "time.go")
	if err := os.WriteFile(patched, []byte(head+"func Now() Time {\n"+strings.Replace(body, now, now+"\tsec += jumped.Load()\n", 1)), 0o600); err != nil {
		return "", err
	}
	added := filepath.Join(dir, "jump.go")
	const jump = "package time\n\nimport \"sync/atomic\"\n\nvar jumped atomic.Int64\n\n// Jump sets by how many seconds the wall clock is off.\nfunc Jump(seconds int64) { jumped.Store(seconds) }\n"
	if err := os.WriteFile(added, []byte(jump), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: patched, filepath.Join(filepath.Dir(source), "jump.go"): added}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	bin = filepath.Join(dir, "gnomon")
	build := exec.CommandContext(ctx, "go", "build", "-overlay", list, "-tags", strings.Join(append(tags, "clock"), ","), "-o", bin, "./cmd/gnomon")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, nil
}

// jumps are by how many hours a clock is set wrong.
var jumps = []int{-25, -1, 1, 26}

// setClock makes p's wall clock wrong by so many hours.
func (p *process) setClock(hours int) error {
	// Renamed into place: half a number would be another one.
	next := p.clock() + ".next"
	if err := os.WriteFile(next, strconv.AppendInt(nil, int64(hours)*3600, 10), 0o600); err != nil {
		return err
	}
	return os.Rename(next, p.clock())
}

func (p *process) clock() string { return filepath.Join(p.dir, "clock") }

// wrongClock has p run with a wrong clock for a while; where restart is set it
// starts with it and ends with the right one.
func wrongClock(restart bool, of func(*world, *rand.Rand) *process) func(context.Context, *world, *rand.Rand) error {
	return func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := of(w, rnd)
		if restart {
			p.kill()
		}
		if err := p.setClock(jumps[rnd.IntN(len(jumps))]); err != nil {
			return err
		}
		if restart {
			if err := p.start(); err != nil {
				return err
			}
		}
		pause(ctx, rnd, 3000)
		if !restart {
			return p.setClock(0)
		}
		p.kill()
		return errors.Join(p.setClock(0), p.start())
	}
}

var clockFaults = []fault{
	{name: "a proxy's clock jumps, and back", do: wrongClock(false, anyFront)},
	{name: "a proxy is killed and starts with a wrong clock, and again with the right one", do: wrongClock(true, anyFront)},
	{name: "the clock of broker and ingester jumps, and back", do: wrongClock(false, theBack)},
	{name: "broker and engine are killed and start with a wrong clock, and again with the right one", do: wrongClock(true, theBack)},
}

func theBack(w *world, _ *rand.Rand) *process { return w.back }
