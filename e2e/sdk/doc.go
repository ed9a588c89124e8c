// Package sdk drives a gnomon binary with the official OpenAI and Anthropic
// SDKs against a stand-in provider on loopback, kills what may be killed, and
// holds the store against what the provider saw.
//
// It is a module of its own: the SDKs are heavy and no part of gnomon needs
// them.
package sdk
