// Package savings is the arithmetic of money: what a request cost, what it
// would have cost, what was verifiably saved.
//
// The one idea: rates are integer nano-USD per million tokens, a request's cost
// is summed exactly in 128 bits and rounded once, half-even. A model without a
// price is an error, never free.
//
// What it does not do: it reads no store and estimates no quality.
package savings
