// Package sweep runs the tests of packages with many seeds: each package is compiled once, processes that run one goroutine at a time
// take ranges of seeds until all are done, and what fails is folded by its cause.
//
// What has been done and found is in a ledger, a file to which lines are added: after an interruption, of whatever kind, the same
// command goes on where the ledger ends. A finding is in it before the range of seeds that it is from, so that none is lost, and a
// range that is run again finds nothing twice. A sweep can be divided into shards, each with a ledger of its own, which Merge joins.
package sweep
