package schemas

import "time"

// Naming is one version of what a discovered workload is called. The first one
// names it, later ones name it anew or, with an empty Name, take that back. It
// travels as a Policy does. What was recorded keeps the name it was recorded
// under: readers look names up.
type Naming struct {
	SchemaVersion string    `json:"schema_version"`
	Project       string    `json:"project"`
	Workload      string    `json:"workload"` // as it was discovered: ~name
	Version       uint32    `json:"version"`
	Replaces      uint32    `json:"replaces"`
	Name          string    `json:"name"` // what it is called from now on; several may share it. Empty: by its own name again. Discovered, too, where gnomon carries a name on
	Actor         string    `json:"actor"`
	Reason        string    `json:"reason"`
	At            time.Time `json:"at"`
	// Offset is the record's place in its log, where it was read from there.
	Offset int64 `json:"-"`
}

// Key is the record's key on its topic: "project/workload".
func (n Naming) Key() string { return n.Project + "/" + n.Workload }

// Noun is what people call the record.
func (Naming) Noun() string { return "name" }

// Valid reports whether the record says what is named.
func (n Naming) Valid() bool { return n.Project != "" && n.Workload != "" && n.Workload != n.Name }

// Place is the record's version, and the one it replaces.
func (n Naming) Place() (version, replaces uint32) { return n.Version, n.Replaces }

// Next is the record as the version after the one it replaces, made at a time.
func (n Naming) Next(at time.Time) Naming {
	n.SchemaVersion, n.Version, n.At = SchemaVersion, n.Replaces+1, at
	return n
}

// Same reports whether both records do the same, by the same person.
func (n Naming) Same(o Naming) bool {
	return n.Name == o.Name && n.At.Equal(o.At) && n.Actor == o.Actor
}

// By is who made the record.
func (n Naming) By() string { return n.Actor }
