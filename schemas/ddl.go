package schemas

import "embed"

// DDL holds the store's tables and views, one idempotent statement a file, in
// the order of their names. docs/analysts.md says which are a promise.
//
//go:embed ddl/*.sql
var DDL embed.FS
