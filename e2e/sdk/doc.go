// Package sdk drives a gnomon binary with the official OpenAI and Anthropic
// SDKs against a stand-in provider on loopback, kills what may be killed, and
// holds the store against what the provider saw.
//
// The SDKs of npm (js/) and PyPI (python/) run each flow twice, directly at the
// stand-in and through gnomon: the same object, the same exception, the same
// bytes at the provider. Behind them, what was planted in keys, prompts and
// answers is looked for wherever gnomon writes. Where npm, Python or a registry
// is missing, theirs are skipped, and say so.
//
// It is a module of its own: the SDKs are heavy and no part of gnomon needs
// them.
package sdk
