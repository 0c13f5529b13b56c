package sim

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// The variables by which the environment says what [Test] runs.
const (
	seedVariable  = "SQUALL_SEED"
	seedsVariable = "SQUALL_SEEDS"
	checkVariable = "SQUALL_CHECK"
)

// mostSeeds is how many seeds one sweep can have: their list alone takes 8 bytes each.
const mostSeeds = 10_000_000

// Seeds returns the seeds that the environment asks for (see [Test]), each once. If it asks for none, Seeds
// returns byDefault. The error names the variable, its value and what is allowed.
func Seeds(byDefault ...uint64) ([]uint64, error) {
	one, many := os.Getenv(seedVariable), os.Getenv(seedsVariable)
	switch {
	case one != "" && many != "":
		return nil, fmt.Errorf("sim: %s=%s and %s=%s are both set: set only one", seedVariable, one, seedsVariable, many)
	case one != "":
		seed, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("sim: %s=%s: want a number from 0 to 2^64-1", seedVariable, one)
		}
		return []uint64{seed}, nil
	case many != "":
		seeds, err := seedList(many)
		if err != nil {
			return nil, fmt.Errorf("sim: %s=%s: %w: want a number of seeds, such as 1000 for 1 to 1000, or a list of seeds "+
				"and ranges, such as 1-1000,4711; at most %d seeds", seedsVariable, many, err, mostSeeds)
		}
		return seeds, nil
	default:
		return byDefault, nil
	}
}

// seedList reads a number, which stands for the seeds from 1 to that number, or a comma-separated list of
// seeds and ranges.
func seedList(text string) ([]uint64, error) {
	if count, err := strconv.ParseUint(text, 10, 64); err == nil {
		if count == 0 {
			return nil, errors.New("that is no seed")
		}
		text = "1-" + text
	}
	var seeds []uint64
	seen := map[uint64]bool{}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		low, high, isRange := strings.Cut(item, "-")
		if !isRange {
			high = low
		}
		from, err := strconv.ParseUint(low, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a seed", item)
		}
		to, err := strconv.ParseUint(high, 10, 64)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is not a range of seeds", item)
		case to < from:
			return nil, fmt.Errorf("%q ends before it begins", item)
		case to-from >= uint64(mostSeeds-len(seeds)):
			return nil, errors.New("too many seeds")
		}
		for seed := from; ; seed++ {
			if !seen[seed] {
				seen[seed] = true
				seeds = append(seeds, seed)
			}
			if seed == to {
				break
			}
		}
	}
	return seeds, nil
}

// A checkMode is what the environment wants run a second time.
type checkMode int

const (
	checkFailed checkMode = iota // what has failed
	checkNone
	checkAll
	checkOrders // against one in which goroutines run in another order
)

// whatToCheck reads SQUALL_CHECK.
func whatToCheck() (checkMode, error) {
	switch value := os.Getenv(checkVariable); value {
	case "":
		return checkFailed, nil
	case "0":
		return checkNone, nil
	case "1":
		return checkAll, nil
	case schedulesValue:
		if !exact.Enabled {
			return 0, fmt.Errorf("sim: %s=%s needs exact mode, which decides the order in which goroutines run: go tool squall test, or go run github.com/squall-sim/squall/cmd/squall test, "+
				"instead of go test", checkVariable, value)
		}
		return checkOrders, nil
	default:
		return 0, fmt.Errorf("sim: %s=%s: want 1 to run every test a second time, %s to do so in exact mode with goroutines in another order, 0 to run none, "+
			"or nothing to run failed tests a second time", checkVariable, value, schedulesValue)
	}
}
