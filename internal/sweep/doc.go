// Package sweep runs the tests of packages with many seeds. It compiles each package once. Processes that run one goroutine at a time take
// ranges of seeds until all are done. Failures are grouped by their cause.
//
// A ledger records progress and findings. It is a file to which lines are appended. After an interruption of any kind, the same command
// continues where the ledger ends. A finding is written before the range of seeds that contains it, so none is lost, and running a range
// again finds nothing twice. A sweep can be divided into shards, each with its own ledger. Merge joins them.
package sweep
