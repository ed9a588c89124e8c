// Package dashboards is what people look at: the web console, and the /api/v1
// that it and programs use, described by openapi.yaml.
//
// The one idea: what happened is solid, what would have happened is shadow, and
// an interval is always drawn. Pages are rendered here from the same records
// that the API returns, so that no figure on a screen lacks one in the API; the
// charts read the table below them, so that no chart says what a table does
// not. Everything is embedded: no node, no network, a strict
// Content-Security-Policy without inline scripts or styles.
//
// What it does not do: it reads no store and writes no topic. It asks Data and
// calls Actions, both declared here and implemented by whoever wires it; it
// computes no statistics, only sums of money that are exact anyway. A password
// is the one admin token, or none on loopback: users and roles are not here.
package dashboards
