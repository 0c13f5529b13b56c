// Package squall is the root of an in-memory network for Go tests: hosts, links,
// TCP, UDP and names inside one go test process, in virtual time.
//
// Start with package [github.com/squall-sim/squall/sim], the network itself, and
// with scenarios_test.go next to this file, a table in which each row is one
// failure scenario. Package netem has the impairments of a link. The folders
// under patterns have the communication patterns, which run on any net.Listener,
// simulated or real. The folders under scenarios have the failure scenarios of
// each pattern.
package squall
