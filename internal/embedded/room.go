package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/gnomon-llm/gnomon/internal/sabotage"
)

// The library takes no notice of a write that the disk refused (ENOSPC, seen with
// strace in 26.5): it answers that an insert is done, and puts merged parts, all
// their files empty, in the place of whole ones. So it never meets a full disk:
// its process is killed before, as a crash would, and that costs nothing that was
// confirmed. What else fills the disk has to write leastRoom within roomEvery and
// a kill for it to be too late.
const (
	leastRoom = 128 << 20
	againRoom = 2 * leastRoom
	roomEvery = 20 * time.Millisecond
)

// errNoRoom says why the engine's process is not there.
func errNoRoom(dir string, free uint64) error {
	return fmt.Errorf("the disk of %s is nearly full: %d MB are free, the engine needs %d to run: make room, and it starts by itself", dir, free>>20, againRoom>>20)
}

// short returns an error when less than want is free. A disk that cannot be asked
// is none that is short.
func (e *Engine) short(want uint64) error {
	if free, err := e.cfg.FreeBytes(e.cfg.Dir); err == nil && free < want && !sabotage.Of(sabotage.EngineRoom) {
		return errNoRoom(e.cfg.Dir, free)
	}
	return nil
}

// awaitRoom returns once the disk has room for the engine.
func (e *Engine) awaitRoom(ctx context.Context) error {
	for said := false; ; said = true {
		err := e.short(againRoom)
		if err == nil {
			return nil
		}
		if !said {
			e.log.Error("engine waits for room on its disk", "error", err)
		}
		select {
		case <-time.After(10 * roomEvery):
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		case <-e.stop:
			return err
		}
	}
}

// guardRoom kills the process when its disk is about to be full, until it is gone.
func (e *Engine) guardRoom(p *process) {
	t := time.NewTicker(roomEvery)
	defer t.Stop()
	for {
		if err := e.short(leastRoom); err != nil {
			e.log.Error("engine is ended before its disk is full", "error", err)
			_ = p.cmd.Process.Kill()
			return
		}
		select {
		case <-p.exited:
			return
		case <-t.C:
		}
	}
}
