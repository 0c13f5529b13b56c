// Package comparison measures the patterns that deliver on simulated networks, and writes
// docs/comparison.md with its plots. It is a module of its own, so that the libraries that
// draw are no concern of those who use squall. Its benchmarks have a crowd of clients wait
// at one server.
package comparison
