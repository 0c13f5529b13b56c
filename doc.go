// Package squall is the root of a network in memory for Go tests: hosts, links,
// TCP, UDP and names inside one go test process, in virtual time.
//
// Start with package [github.com/squall-sim/squall/sim], the network itself, and
// with scenarios_test.go beside this file: tables in which each row is one
// failure scenario. Package netem holds the impairments of a link, and the
// folders under patterns hold the communication patterns that run on any
// net.Listener, simulated or real.
package squall
