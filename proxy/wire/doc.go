// Package wire is the data plane's own HTTP client: HTTP/1.1 over pooled
// connections, each served by the goroutine that makes the request.
//
// The one idea: net/http's Transport keeps two goroutines a connection and hands
// each request and answer over channels, which costs a third of what a proxy
// spends on a request. Here a connection belongs to one caller at a time, who
// writes and reads it directly; parsing stays net/http's. A body that has to be
// read from a client while the provider may already answer is written by a
// goroutine of its own.
//
// It follows no redirect, adds no header, decodes nothing, reads nothing ahead,
// and repeats a request only where the provider cannot have seen it. What is not
// plain HTTP/1.1 goes to a Transport: proxies named by the environment, upgrades,
// requests that wait for 100-continue, and providers that speak HTTP/2 alone.
//
// A provider that speaks both is spoken to in HTTP/1.1, as the official SDKs of
// Python and Node do: a request costs some 40 % less than by net/http's HTTP/2,
// and a connection that dies takes one stream with it. The price is a socket a
// stream.
package wire
