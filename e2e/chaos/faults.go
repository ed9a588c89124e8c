package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// fault is one thing that goes wrong and is over when it returns.
type fault struct {
	name string
	tear int // records that it takes from the disk: requests of which nothing may be left
	do   func(ctx context.Context, w *world, rnd *rand.Rand) error
}

func anyFront(w *world, rnd *rand.Rand) *process { return w.fronts[rnd.IntN(len(w.fronts))] }

var faults = []fault{
	{"a proxy is killed", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := anyFront(w, rnd)
		p.kill()
		pause(ctx, rnd, 500)
		return p.start()
	}},
	{"a proxy is ended in good order", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := anyFront(w, rnd)
		p.term()
		return p.start()
	}},
	{"a proxy is stopped for a while", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := anyFront(w, rnd)
		p.stop()
		pause(ctx, rnd, 1500)
		p.cont()
		return nil
	}},
	{"a proxy is killed and its spool ends in garbage", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := anyFront(w, rnd)
		p.kill()
		err := tail(p, func(f *os.File, size int64) error {
			junk := make([]byte, 30+rnd.IntN(600))
			for i := range junk {
				junk[i] = byte(rnd.Uint32())
			}
			// As an ended frame of far ahead begins: only its checksum tells.
			copy(junk, "GN\x02\x00")
			binary.LittleEndian.PutUint32(junk[4:], uint32(len(junk)-12))
			binary.LittleEndian.PutUint64(junk[12:], 1_000_000)
			binary.LittleEndian.PutUint16(junk[20:], 0)
			_, err := f.WriteAt(junk, size)
			return err
		})
		if err != nil {
			return err
		}
		return p.start()
	}},
	{"a proxy is killed and its last record is torn", 1, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := anyFront(w, rnd)
		p.kill()
		err := tail(p, func(f *os.File, size int64) error {
			if size <= 16384+30 {
				return nil // the header page is synced long since
			}
			return f.Truncate(size - 1 - int64(rnd.IntN(20)))
		})
		if err != nil {
			return err
		}
		return p.start()
	}},
	{"broker and engine are killed", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.back.kill()
		pause(ctx, rnd, 1000)
		return w.back.start()
	}},
	{"broker and engine are killed, and the broker's folder is gone", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.back.kill()
		if err := os.RemoveAll(filepath.Join(w.back.dir, "data", "broker")); err != nil {
			return err
		}
		return w.back.start()
	}},
	{"broker and engine are ended in good order", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.back.term()
		return w.back.start()
	}},
	{"broker and ingester are stopped for a while", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.back.stop()
		pause(ctx, rnd, 3000)
		w.back.cont()
		return nil
	}},
	{"the engine is killed", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		if pid := w.back.child(); pid != 0 {
			return syscall.Kill(pid, syscall.SIGKILL)
		}
		return nil
	}},
	{"the engine hangs", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		pid := w.back.child()
		if pid == 0 {
			return nil
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			return err
		}
		pause(ctx, rnd, 4000)
		_ = syscall.Kill(pid, syscall.SIGCONT) // it may have been replaced by then
		return nil
	}},
	{"the other ingester is killed", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.beside.kill()
		pause(ctx, rnd, 500)
		return w.beside.start()
	}},
	{"the other ingester is killed again while it joins", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		for range 2 {
			w.beside.kill()
			if err := w.beside.start(); err != nil {
				return err
			}
			if err := w.beside.until(ctx, 10*time.Second, w.beside.ready); err != nil {
				return err
			}
			pause(ctx, rnd, 700)
		}
		w.beside.kill()
		return w.beside.start()
	}},
	{"the other ingester is stopped for a while", 0, func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.beside.stop()
		pause(ctx, rnd, 3000)
		w.beside.cont()
		return nil
	}},
}

// tail changes the newest segment of a dead proxy's spool.
func tail(p *process, change func(f *os.File, size int64) error) error {
	names, err := filepath.Glob(filepath.Join(p.dir, "data", "spool", "*.seg"))
	if err != nil || len(names) == 0 {
		return err
	}
	newest := slices.MaxFunc(names, func(a, b string) int {
		return modified(a).Compare(modified(b))
	})
	f, err := os.OpenFile(newest, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return change(f, info.Size())
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// pause waits up to so many milliseconds.
func pause(ctx context.Context, rnd *rand.Rand, upTo int) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(rnd.IntN(upTo)) * time.Millisecond):
	}
}

// schedule is the faults of a seed: of all there are, or of those alone whose
// name is given.
func schedule(rnd *rand.Rand, only string) []fault {
	among := faults
	if only != "" {
		among = slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.name != only })
	}
	list := make([]fault, 3+rnd.IntN(3))
	for i := range list {
		list[i] = among[rnd.IntN(len(among))]
	}
	return list
}
