//go:build race

package patterntest_test

// underRace says that the race detector is on, with which stories take some five times as long.
const underRace = true
