package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// reserves is how many header pages are kept for when the disk is full: each is
// enough for one life to say how much it accepted, and is its own again once
// there is room.
const reserves = 8

// page is what is known of one of them.
type page uint8

const (
	missing page = iota
	there
	taken // it becomes a segment just now
)

func (s *Spool) reservePath(i int) string {
	return filepath.Join(s.cfg.Dir, fmt.Sprintf("%d.reserve", i))
}

// refill finds the pages that are there, and makes those that are missing. The
// janitor alone calls it, and Open before it.
func (s *Spool) refill() {
	full := false
	for i := range reserves {
		s.mu.Lock()
		is := s.reserve[i]
		s.mu.Unlock()
		if is != missing {
			continue
		}
		if path := s.reservePath(i); !s.isPage(path) && (full || !s.makePage(path)) {
			full = true // tried again at the next tick
			continue
		}
		s.mu.Lock()
		s.reserve[i], s.newFiles = there, true
		s.mu.Unlock()
	}
}

// isPage says whether a page is there, and whole: a crash may have cut it short.
func (s *Spool) isPage(path string) bool {
	f, err := s.disk.open(path)
	if err != nil {
		return false
	}
	_, err = f.ReadAt(make([]byte, 1), headerBytes-1)
	return errors.Join(err, f.Close()) == nil
}

func (s *Spool) makePage(path string) bool {
	f, err := s.disk.create(path)
	if errors.Is(err, os.ErrExist) {
		f, err = s.disk.open(path)
	}
	if err != nil {
		return false
	}
	_, err = f.WriteAt(make([]byte, headerBytes), 0)
	if err == nil && s.cfg.SyncEvery >= 0 {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = s.disk.remove(path)
	}
	return err == nil
}

// newFile makes a segment with its header. Where the disk is full, and the life
// could say nothing otherwise, a page of the reserve becomes the segment: it has
// its blocks.
func (s *Spool) newFile(path string, header []byte, must bool) (file, error) {
	f, err := s.disk.create(path)
	if err == nil {
		if _, err = f.WriteAt(header, 0); err == nil {
			return f, nil
		}
		err = errors.Join(err, f.Close(), s.disk.remove(path))
	}
	for i := 0; must && isFull(err) && i < reserves; i++ {
		s.mu.Lock()
		is := s.reserve[i]
		if is == there {
			s.reserve[i] = taken
		}
		s.mu.Unlock()
		if is != there {
			continue
		}
		f, refused := s.takeReserve(s.reservePath(i), path, header)
		s.mu.Lock()
		s.reserve[i] = missing
		s.mu.Unlock()
		if refused == nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("spool: new segment: %w", err)
}

// takeReserve makes a segment of a page. It is whole on disk before it has the
// name by which a start would read it.
func (s *Spool) takeReserve(page, path string, header []byte) (file, error) {
	f, err := s.disk.open(page)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(header, 0); err == nil && s.cfg.SyncEvery >= 0 {
		err = f.Sync()
	}
	if err == nil {
		err = s.disk.rename(page, path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
