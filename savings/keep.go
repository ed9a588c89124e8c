package savings

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"
)

// keptBook is a book as it is kept beside the decisions that were taken by it.
type keptBook struct {
	Version uint32            `json:"version"`
	Date    time.Time         `json:"date"`
	Names   map[string]string `json:"names,omitempty"`
	Entries []Entry           `json:"entries"`
	Hash    uint64            `json:"hash"`
}

// MarshalJSON keeps a book whole, own prices and aliases included: what was
// decided by it can be decided again when its prices have long been replaced.
func (b *Book) MarshalJSON() ([]byte, error) {
	return json.Marshal(keptBook{b.version, b.date, b.names, b.entries, b.hash})
}

// UnmarshalJSON reads what MarshalJSON kept. Prices that do not make the hash
// that was kept with them are refused.
func (b *Book) UnmarshalJSON(raw []byte) error {
	var k keptBook
	if err := json.Unmarshal(raw, &k); err != nil {
		return fmt.Errorf("kept price book: %w", err)
	}
	next := Book{version: k.Version, date: k.Date, names: maps.Clone(k.Names)}
	if next.names == nil {
		next.names = map[string]string{}
	}
	if err := next.index(k.Entries); err != nil {
		return fmt.Errorf("kept price book: %w", err)
	}
	if next.hash != k.Hash {
		return fmt.Errorf("kept price book %016x makes %016x: a newer gnomon kept more than this one knows, or it was changed", k.Hash, next.hash)
	}
	b.version, b.date, b.sources, b.missing, b.doubts = next.version, next.date, nil, nil, nil
	b.entries, b.names, b.lists, b.hash, b.found = next.entries, next.names, next.lists, next.hash, next.found
	return nil
}
