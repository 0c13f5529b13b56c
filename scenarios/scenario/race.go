//go:build race

package scenario

// UnderRace says whether the race detector is on, with which a crowd on the simulated network takes some twenty times as long.
const UnderRace = true
