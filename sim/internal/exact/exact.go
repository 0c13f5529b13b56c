// Package exact is the simulator's interface to exact mode, in which Go's runtime runs the goroutines of a bubble in an order that follows
// from a seed. In other builds its functions do nothing.
//
// The build tag squall_exact means that the build uses the standard library that squall test prepares. Package runtime then has the
// functions that this package calls.
package exact

import (
	"fmt"
	"strconv"
	"strings"
)

// Variable is the environment variable that chooses the policy.
const Variable = "SQUALL_SCHED"

// Tag is the build tag of exact mode.
const Tag = "squall_exact"

// A Policy decides which goroutine runs next. The zero value is not valid.
type Policy struct {
	kind    uint8
	preempt uint32 // probability in 65536ths
	depth   uint32
	text    string
}

// The same values as in package runtime.
const (
	fifo   = 0
	random = 1
	pct    = 2
	slow   = 3
)

// Default is the policy if the variable is not set.
const Default = "random:0.05"

const mostDepth = 16

// ParsePolicy reads the value of the variable. The empty text means Default.
func ParsePolicy(text string) (Policy, error) {
	p := Policy{text: text}
	if text == "" {
		p.text = Default
	}
	name, value, given := strings.Cut(p.text, ":")
	var err error
	switch {
	case name == "fifo" && !given:
		p.kind = fifo
	case name == "random":
		p.kind = random
		p.preempt, err = share(value, given)
	case name == "slow":
		p.kind = slow
		p.preempt, err = share(value, given)
	case name == "pct":
		p.kind, p.depth = pct, 3
		if given {
			var depth uint64
			if depth, err = strconv.ParseUint(value, 10, 32); depth < 1 || depth > mostDepth {
				err = fmt.Errorf("depth %s", value)
			}
			p.depth = uint32(depth)
		}
	default:
		err = fmt.Errorf("no such policy")
	}
	if err != nil {
		return Policy{}, fmt.Errorf("%s=%s: %w: want fifo; random:P, with a probability P from 0 to 1 that a goroutine is preempted where it can be; slow:P, where it is also slow then; or pct:D, "+
			"with D from 1 to %d changes of priority", Variable, text, err, mostDepth)
	}
	return p, nil
}

func share(value string, given bool) (uint32, error) {
	if !given {
		_, value, _ = strings.Cut(Default, ":")
	}
	p, err := strconv.ParseFloat(value, 64)
	if err != nil || !(p >= 0 && p <= 1) {
		return 0, fmt.Errorf("probability %s", value)
	}
	if p > 0 {
		p = max(p, 1./65536) // a small probability must not become 0
	}
	return uint32(p * 65536), nil
}

// String returns the policy in the form that ParsePolicy reads.
func (p Policy) String() string { return p.text }

// A Schedule summarises the scheduling of the goroutines of a bubble.
type Schedule struct {
	Hash   uint64 // of the order in which goroutines ran
	Turns  uint64 // times that a goroutine was chosen
	Points uint64 // places passed at which a goroutine could have been preempted
	Forced uint64 // times that a goroutine had to be stopped, in real time: the schedule may differ after that
}
