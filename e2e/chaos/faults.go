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
	do   func(ctx context.Context, w *world, rnd *rand.Rand) error

	tear  int    // records that it takes from the disk: requests of which nothing may be left
	drops bool   // whole answers may be dropped and declared
	disk  string // the folder that needs a disk of its own; "": none
	gone  bool   // may take a proxy's life with all that tells of it: somebody has to declare it
	once  bool   // after nothing but this each row is sent to the store's table once
	loads bool   // the load lasts as long as it
}

func anyFront(w *world, rnd *rand.Rand) *process { return w.fronts[rnd.IntN(len(w.fronts))] }

var faults = []fault{
	{name: "a proxy is killed", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := anyFront(w, rnd)
		p.kill()
		pause(ctx, rnd, 500)
		return p.start()
	}},
	{name: "a proxy is ended in good order", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := anyFront(w, rnd)
		p.term()
		return p.start()
	}},
	{name: "a proxy is stopped for a while", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := anyFront(w, rnd)
		p.stop()
		pause(ctx, rnd, 1500)
		p.cont()
		return nil
	}},
	{name: "a proxy is killed and its spool ends in garbage", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
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
	{name: "a proxy is killed and its last record is torn", tear: 1, do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
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
	// What it accepted after its last heartbeat is not known to anybody: a second's worth, and more on a busy machine.
	{name: "a proxy's disk is lost", gone: true, drops: true, tear: 300, do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		p := anyFront(w, rnd)
		p.kill()
		names, err := filepath.Glob(filepath.Join(p.folder("spool"), "*"))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
		return p.start()
	}},
	{name: "broker and engine are killed", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.back.kill()
		pause(ctx, rnd, 1000)
		return w.back.start()
	}},
	{name: "broker and engine are killed, and the broker's folder is gone", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.back.kill()
		// Its contents: the folder may be where a disk is mounted.
		names, err := filepath.Glob(filepath.Join(w.back.folder("broker"), "*"))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := os.RemoveAll(name); err != nil {
				return err
			}
		}
		return w.back.start()
	}},
	{name: "broker and engine are ended in good order", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.back.term()
		return w.back.start()
	}},
	{name: "broker and ingester are stopped for a while", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.back.stop()
		pause(ctx, rnd, 3000)
		w.back.cont()
		return nil
	}},
	{name: "the engine is killed", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		if pid := w.back.child(); pid != 0 {
			return syscall.Kill(pid, syscall.SIGKILL)
		}
		return nil
	}},
	{name: "the engine hangs", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
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
	{name: "the other ingester is killed", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.beside.kill()
		pause(ctx, rnd, 500)
		return w.beside.start()
	}},
	{name: "the other ingester is killed again while it joins", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
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
	{name: "an ingester joins and is gone before it is told its share", do: joinAndDie},
	{name: "an ingester hangs with its share", do: joinAndHang},
	{name: "the other ingester is stopped for a while", do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
		w.beside.stop()
		pause(ctx, rnd, 3000)
		w.beside.cont()
		return nil
	}},
}

// inTurn is no part of a seed's draw, and what -fault can name: each proxy and each
// ingester is killed once, the others being well.
var inTurn = fault{name: "every process is killed in turn", loads: true, do: func(ctx context.Context, w *world, rnd *rand.Rand) error {
	for _, p := range w.all() {
		p.kill()
		pause(ctx, rnd, 500)
		if err := p.start(); err != nil {
			return err
		}
		if err := p.until(ctx, time.Minute, p.ready); err != nil {
			return err
		}
	}
	return nil
}}

// tail changes the newest segment of a dead proxy's spool.
func tail(p *process, change func(f *os.File, size int64) error) error {
	names, err := filepath.Glob(filepath.Join(p.folder("spool"), "*.seg"))
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
// name is given. A seed that is kept has those that it once drew.
func schedule(rnd *rand.Rand, seed uint64, only string) []fault {
	if only == inTurn.name {
		return []fault{inTurn}
	}
	among := faults
	if only != "" {
		among = named(only)
	}
	if len(among) == 0 {
		return nil
	}
	list := make([]fault, 3+rnd.IntN(3))
	for i := range list {
		list[i] = among[rnd.IntN(len(among))]
	}
	if names := kept[seed]; only == "" && names != nil {
		list = nil
		for _, name := range names {
			list = append(list, named(name)...)
		}
	}
	return list
}

// named is the fault of a name, if it can be made here.
func named(name string) []fault {
	return slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return f.name != name })
}
