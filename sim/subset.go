package sim

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// faultsVariable names the faults that happen, by their numbers. squall shrink looks for the fewest with
// which a test fails.
const faultsVariable = "SQUALL_FAULTS"

// A subset is some of a run's faults, by their numbers, which count from 1 in the order in which they are made. nil: all of them.
type subset map[int]bool

// faultsWanted reads SQUALL_FAULTS.
func faultsWanted() (subset, error) {
	text := os.Getenv(faultsVariable)
	if text == "" {
		return nil, nil
	}
	some := subset{}
	if text == "none" {
		return some, nil
	}
	for item := range strings.SplitSeq(text, ",") {
		number, err := strconv.Atoi(strings.TrimSpace(item))
		if err != nil || number < 1 {
			return nil, fmt.Errorf("sim: %s=%s: %q is not the number of a fault: want numbers from 1, separated by commas, or none", faultsVariable, text, item)
		}
		some[number] = true
	}
	return some, nil
}

// leavesOut reports whether the fault of that number must not happen.
func (s subset) leavesOut(number int) bool { return s != nil && !s[number] }

// most returns the highest number of the subset, or 0.
func (s subset) most() (number int) {
	for i := range s {
		number = max(number, i)
	}
	return number
}
