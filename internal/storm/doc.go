// Package storm draws fault schedules from seeds, and reduces schedules that find something. It does not know the faults or what they
// should find. Package weather, which has storms for any test, and patterntest, which has storms for its contracts, supply both.
package storm
