// Package squall is the root of a network in memory for Go tests: hosts, links,
// TCP, UDP and names inside one go test process, in virtual time.
//
// Start with package [github.com/squall-sim/squall/sim], the network itself, and
// with scenarios_test.go beside this file: a table in which each row is one
// failure scenario. Package netem holds the impairments of a link, the folders
// under patterns hold the communication patterns that run on any net.Listener,
// simulated or real, and those under scenarios the failures of each pattern.
package squall
