package schemas

import (
	"crypto/sha256"
	"slices"
	"time"
)

// KeyPrefix begins every gnomon key, so that one is never taken for a
// provider's, nor sent to one.
const KeyPrefix = "gk_"

// Key is one version of a gnomon key: the first makes it, a later one revokes
// it. It travels as a Policy does. The key itself is nowhere in it.
type Key struct {
	SchemaVersion string `json:"schema_version"`
	Project       string `json:"project"`
	ID            string `json:"id"`   // in requests, lists and logs; says nothing of the secret
	Name          string `json:"name"` // for people
	Version       uint32 `json:"version"`
	Replaces      uint32 `json:"replaces"`
	// SHA256 of the key's text. It is made of 256 random bits, so that nothing
	// can be won by trying: a slow hash would only slow every request.
	SHA256 []byte `json:"sha256"`
	// Feature and Team stand for what a caller sends; empty leaves it to the caller.
	Feature string `json:"feature,omitempty"`
	Team    string `json:"team,omitempty"`
	// Providers whose stored credentials it may spend; empty: all that have one.
	Providers []string `json:"providers,omitempty"`
	// Limits hold for each proxy process by itself; 0 is none.
	RequestsPerMinute uint32    `json:"requests_per_minute,omitempty"`
	InFlight          uint32    `json:"in_flight,omitempty"`
	Expires           time.Time `json:"expires,omitzero"`
	Revoked           bool      `json:"revoked,omitempty"`
	Actor             string    `json:"actor"`
	Reason            string    `json:"reason"`
	At                time.Time `json:"at"`
}

// Key is the record's key on its topic.
func (k Key) Key() string { return k.ID }

// Noun is what people call the record.
func (Key) Noun() string { return "key" }

// Valid reports whether the record can stand for a key.
func (k Key) Valid() bool {
	return k.Project != "" && k.ID != "" && len(k.SHA256) == sha256.Size
}

// Place is the record's version, and the one it replaces.
func (k Key) Place() (version, replaces uint32) { return k.Version, k.Replaces }

// Next is the record as the version after the one it replaces, made at a time.
func (k Key) Next(at time.Time) Key {
	k.SchemaVersion, k.Version, k.At = SchemaVersion, k.Replaces+1, at
	return k
}

// Same reports whether both records do the same, by the same person.
func (k Key) Same(o Key) bool {
	return k.Revoked == o.Revoked && slices.Equal(k.SHA256, o.SHA256) && slices.Equal(k.Providers, o.Providers) && k.At.Equal(o.At) && k.Actor == o.Actor
}

// By is who made the record.
func (k Key) By() string { return k.Actor }

// Spends reports whether the key may spend a provider's stored credential.
func (k *Key) Spends(provider string) bool {
	return len(k.Providers) == 0 || slices.Contains(k.Providers, provider)
}
