// Package storm draws fault schedules from seeds and makes those that find something smaller. It knows neither what the faults are nor
// what they are to find: package weather, which has storms for any test, and patterntest, which has them for its contracts, say that.
package storm
