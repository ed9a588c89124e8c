//go:build race

package training

// underRace: what deals labels over and over takes the detector half a minute. The
// fits that it does are looked at in the other tests.
const underRace = true
