//go:build !race

package patterntest_test

const underRace = false
