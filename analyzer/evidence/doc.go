// Package evidence holds the statistics of quality: whether a candidate is worse
// than its baseline by more than a margin.
//
// The one idea: bet against "worse". Each unit of evidence is the difference D
// of two qualities, from −1 to 1. A gambler who bets that D is above −δ cannot
// expect to win while the candidate is worse than that, so wealth of 1/α is
// evidence at level α, whenever and however often one looks (Ville). The bound
// that travels with it is the least mean against which the same gambler has not
// won (Waudby-Smith & Ramdas, JRSS-B 2023).
//
// The package is pure: numbers in, numbers out. What counts as one unit
// (Cluster), what makes the wealth start anew (Epoch) and the gate for days that
// resemble each other (DayGate) are rules stated here too, because the bets mean
// nothing without them.
//
// What it does not do: it reads no store and takes no verdict.
package evidence
