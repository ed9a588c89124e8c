//go:build race

package simulator

// underRace: the detector makes a history take fifteen times as long. What it
// looks for shows in a small one.
const underRace = true
