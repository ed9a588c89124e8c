// Package sabotage takes safeguards away, one at a time, to show that e2e/chaos
// notices: a check that passes without the safeguard it is meant for is no check.
//
// Only a binary built with the tag "sabotage" can be sabotaged; in every other one
// Of is a constant and nothing of this is left.
package sabotage

// The safeguards that can be taken away, as SABOTAGE names them.
const (
	BeginRecord    = "begin_record"    // a request is on disk as begun before it goes to the provider
	EndRecord      = "end_record"      // and as ended before its answer's last byte
	FrameChecksum  = "frame_checksum"  // a torn record is told from a whole one
	StoreConfirms  = "store_confirms"  // the spool keeps events until the store has them, not the broker
	OffsetLast     = "offset_last"     // the offset is committed after the insert
	DedupToken     = "dedup_token"     // an insert that is repeated carries the token of the first
	OrphansWatched = "orphans_watched" // a partition that a dead or hung member holds is shared anew
	EngineRoom     = "engine_room"     // the engine is ended before its disk is full
)

// Safeguards lists them in the order of the road.
var Safeguards = []string{BeginRecord, EndRecord, FrameChecksum, StoreConfirms, OffsetLast, DedupToken, OrphansWatched, EngineRoom}
