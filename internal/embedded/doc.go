// Package embedded is the two engines gnomon brings along for one machine: a
// broker that speaks Kafka's protocol and ClickHouse's own engine, so that
// kafka-go and clickhouse-go are the only clients in every mode.
//
// The one idea: the engine is a foreign library of half a gigabyte, so it lives
// in a child process of this same binary (RunEngineChildIfAsked) that serves
// ClickHouse's HTTP interface on loopback. The parent never loads it; it probes
// the child, kills what hangs, and starts it again. Inside the child a request
// has a connection of its own, and who sent no password gets one that the
// engine itself holds to readonly=1.
//
// It does not hold the only copy of anything (the spool does), knows nothing of
// gnomon's tables or topics, compacts no topic, and serves no address but
// loopback's unless told to.
package embedded
