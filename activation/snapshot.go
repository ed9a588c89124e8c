package activation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// snapshotFile is a line of JSON {"crc32c":…} and the records as JSON lines.
// It is written whole, to a temporary file that is synced and renamed: a crash
// leaves the old one or the new one.
type snapshotHead struct {
	Format  int    `json:"format"`
	Records int    `json:"records"`
	CRC32C  uint32 `json:"crc32c"` // of all bytes after the first line
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrSnapshot says that a snapshot file cannot be trusted.
var ErrSnapshot = errors.New("snapshot is damaged")

func writeSnapshot[R any](path string, records []R) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	for i := range records {
		if err := enc.Encode(&records[i]); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	head, err := json.Marshal(snapshotHead{Format: 1, Records: len(records), CRC32C: crc32.Checksum(body.Bytes(), castagnoli)})
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return replaceFile(path, append(append(head, '\n'), body.Bytes()...))
}

// replaceFile puts content at path so that a crash leaves the old or the new.
func replaceFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readSnapshot returns the records of a snapshot, none when there is no file,
// and ErrSnapshot when the file is not what was written.
func readSnapshot[R any](path string) ([]R, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	line, body, _ := bytes.Cut(raw, []byte{'\n'})
	var head snapshotHead
	if err := json.Unmarshal(line, &head); err != nil || head.Format != 1 {
		return nil, fmt.Errorf("%s: %w: no header of format 1", path, ErrSnapshot)
	}
	if sum := crc32.Checksum(body, castagnoli); sum != head.CRC32C {
		return nil, fmt.Errorf("%s: %w: checksum %08x, expected %08x", path, ErrSnapshot, sum, head.CRC32C)
	}
	var records []R
	dec := json.NewDecoder(bytes.NewReader(body))
	for range head.Records {
		var p R
		if err := dec.Decode(&p); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", path, ErrSnapshot, err)
		}
		records = append(records, p)
	}
	return records, nil
}

// setAside keeps a damaged snapshot for a person to look at.
func setAside(path string) error {
	if err := os.Rename(path, path+".damaged"); err != nil {
		return fmt.Errorf("snapshot could not be set aside: %w", err)
	}
	return nil
}
