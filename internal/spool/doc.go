// Package spool is the proxy's local log of events: what was begun and what
// ended is in the operating system's hands before the caller goes on, and stays
// on disk until the store says that it has it.
//
// The one idea: a sequence number is given at Begin, and from then on every
// number of a proxy's life is either freed by an acknowledgement of the store,
// or on disk, or declared gone with a reason. Nothing else may happen to it, so
// a hole is a fault that anyone can see.
//
// # Promise
//
// A record is handed to the operating system by write(2) before Begin or End
// returns: it survives kill -9 of the process. fsync follows in the background
// (Config.SyncEvery, 200 ms by default): a power failure may cost what came
// after the last fsync, and the hole is visible by (boot id, sequence). The
// folder is bounded (Config.MaxBytes): past it, ended events are dropped,
// counted, and declared in the log itself. A disk that is full, failing or hung
// never stops the caller: Begin and End wait for a hung write(2) at most about
// 75 ms, then go on without.
//
// # Files
//
// The folder holds "lock" (flock; the holder's pid as text), segments named
// <boot id, 14 hex digits>-<index, 8 hex digits>.seg, and 0.reserve to 7.reserve:
// pages of 16384 bytes beside MaxBytes, one of which becomes the first segment of a
// life that finds the disk full, so that it can say how much it accepted. All numbers are
// little-endian. CRCs are CRC32C (Castagnoli). A segment is a header page of
// 16384 bytes, written whole when the file is made, then frames.
//
// Header page:
//
//	   0  8  magic "GNSPOOL\x01"
//	   8  4  format version, 1
//	  12  4  size of this page, 16384: where frames begin
//	  16  8  boot id, below 2^53
//	  24  8  index of the segment in its life, from 1
//	  32  8  made at, nanoseconds since 1970
//	  40  4  CRC of bytes 0 to 40
//	 512     state, slot 0 (7936 bytes)
//	8448     state, slot 1 (7936 bytes)
//
// State of the life, rewritten in place, the slots in turn, so that a torn
// write leaves the other one: the valid state with the highest generation in
// any segment of the life holds. It needs no new block, so it can be written
// on a full disk.
//
//	 0  8  generation
//	 8  8  last sequence given
//	16  8  events ended
//	24  8  events dropped
//	32  4  flags: 1 = closed in good order
//	36  4  bytes of ranges that follow
//	40  n  freed sequences (the store has them, their segments are gone):
//	       pairs of unsigned varints (distance from the last range's end, width)
//	40+n 4 CRC of bytes 0 to 40+n
//
// Frame:
//
//	 0  2  marker 0x4E47 ("GN")
//	 2  1  type: 1 begun, 2 ended, 3 declared
//	 3  1  zero
//	 4  4  length of the payload, at most 16 MiB (checked before it is believed)
//	 8  4  CRC of bytes 2 to 8 and of the payload
//	12     payload
//
// Payloads:
//
//	begun:    8 sequence, 8 accepted at (nanoseconds since 1970), 16 request id, then the project
//	ended:    8 sequence, 2 length of the key, the key (the request id as text), then the event as JSON
//	declared: 8 first sequence, 8 last sequence, 8 declared at (nanoseconds), then the reason
//
// # Reading back
//
// A frame that is cut short or fails its CRC at the end of a segment is a torn
// tail: what was before it counts. In the middle, the next marker with a
// matching CRC is searched for and reading goes on; what the damage swallowed
// shows up as begun and never ended, or as a hole, and is declared. An earlier
// life's segments are never written again.
//
// A segment is deleted, oldest first, once the store has acknowledged every
// sequence that ended or is declared in it. Begun records of requests that are
// still running are copied to the newest segment before, and the freed
// sequences go to the state before the file is unlinked, so that they are not
// mistaken for holes.
//
// hashicorp/raft-wal was looked at and not used: it wants contiguous indexes
// and truncation at both ends by one writer, and syncs before it answers; here
// records end out of order, most are never synced one by one, and what is
// missing has to be told apart from what was freed.
//
// What it does not do: it knows no broker and no topic (internal/pipeline ships
// what Next returns), and never reads an event's content.
package spool
