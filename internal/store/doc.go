// Package store keeps gnomon's records in ClickHouse and reads them back as
// domain types.
//
// The one idea: one client, clickhouse-go, and one SQL for the embedded engine
// and for any server. Only ingest writes, in batches that carry the token under
// which a repetition is recognised; everybody else reads, through a user that
// cannot write. Money is Decimal and never passes through a float on its way to
// a sum; an amount that NanoUSD cannot hold exactly is an error. Whatever has to
// hold for analysts too (completeness, reject words, what a policy accepted) is
// a view of schemas.DDL, and read from there.
//
// What it does not do: it consumes no topic, takes no decision and keeps no
// rows. An error of the store means "unknown", not "failed": the caller sends
// the same batch under the same token again.
package store
