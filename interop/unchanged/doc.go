// Package unchanged runs libraries on the simulated network without any hook: its tests need exact mode,
// go run ./cmd/squall test, and skip without it.
package unchanged
