// Package pipeline is both ends of every topic: what proxies ship, what ingest
// moves into the store, and the logs that hold policies and evidence.
//
// The one idea: an error of a broker or a store means unknown, never failed. So
// whatever is sent again is sent as the same bytes under the same name: a
// request by its request_id, a batch by topic, partition and first and last
// offset. Before an insert the cut of its batch is committed beside the offset
// (as the commit's metadata), after it the next offset: whoever continues after
// a kill or a rebalance inserts the same batch under the same token.
//
// It speaks to the broker through kafka-go's Client (produce, fetch, commit) and
// ConsumerGroup, not through its Writer and Reader: the Writer queues without
// bound and fails a whole call for one large message; the Reader skips over
// expired offsets and past a log's end in silence, and hands stale messages over
// a rebalance (kafka-go issues 819, 1398, 1330). Here a hole is counted and
// logged, and a log that became shorter is said to the caller.
//
// Requests' topic carries two kinds of records: request events, and, with the
// header "record: declared", ranges of sequences whose events are gone.
//
// What it does not do: it decides nothing about policies (activation does), has
// no SQL (internal/store inserts), and holds nothing back: its queues are the
// spool and the broker.
package pipeline
