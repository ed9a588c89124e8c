// Package config reads gnomon's configuration: one file, then the environment,
// then flags, validated once.
//
// The one idea: a plain struct per concern with its default beside it, and a
// wrong key or value is an error that names file, line and key before anything
// starts. Without any file the defaults are useful: OpenAI and Anthropic rows,
// everything embedded, everything on loopback but the data plane.
//
// What it does not do: it opens nothing but the configuration file and the
// secret files it names, and it knows no package that it configures.
package config
