package weather

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/storm"
)

// A Config says which storms [Test] draws. The zero value is ten storms of up to four faults within
// a minute.
type Config struct {
	Storms   int           // number of storms, with seeds 1, 2 and so on, unless the environment sets seeds (see [sim.Test]); 0: 10
	Faults   int           // most faults of a storm, which has at least one; 0: 4
	For      time.Duration // how long a storm lasts, in whole milliseconds; all its faults begin and end in it; 0: a minute
	Longest  time.Duration // longest duration of a fault; 0: half of For
	Recovery time.Duration // how long Settle waits after a storm; 0: a minute
	Kinds    []string      // kinds of faults, by their names in the package documentation; nil: all
	Up       []string      // names of hosts that get no fault of a host: they stay up, and are not cut off from all others at once
	Spared   []string      // names of hosts that get no fault, and neither do their links
	Tries    int           // most runs made to shrink a storm; 0: 2,000
}

// all are the kinds of faults, the simplest first.
var all = []storm.Kind{
	storm.Down, storm.DownFrom, storm.Crash, storm.PowerOff, storm.Pause, storm.Partition, storm.PartitionOneWay,
	storm.Hold, storm.DropData, storm.DuplicateData, storm.ResetData, storm.ResetSYN, storm.Reject, storm.CloseAfter,
	storm.Isolate, storm.IsolateHeld, storm.IsolateOpen, storm.IsolateNew, storm.Flap,
	storm.Lossy, storm.VeryLossy, storm.LossyInBursts, storm.OutOfOrder, storm.Corrupt, storm.Slow, storm.CrossTraffic,
}

// kindOf returns the number of a kind, or -1.
func kindOf(name string) int {
	return slices.IndexFunc(all, func(k storm.Kind) bool { return k.Name == name })
}

// kindNames returns the names of all kinds.
func kindNames() string {
	var names []string
	for _, k := range all {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// complete returns c with its defaults filled in. It panics if c is invalid.
func (c Config) complete() Config {
	for _, n := range []struct {
		name  string
		value int64
		as    any
	}{
		{"Storms", int64(c.Storms), c.Storms}, {"Faults", int64(c.Faults), c.Faults}, {"Tries", int64(c.Tries), c.Tries},
		{"For", int64(c.For), c.For}, {"Longest", int64(c.Longest), c.Longest}, {"Recovery", int64(c.Recovery), c.Recovery},
	} {
		if n.value < 0 {
			panic(fmt.Sprintf("weather: Test: Config.%s is negative (%v): it must be 0 or more", n.name, n.as))
		}
	}
	c.Storms, c.Faults, c.Tries = cmp.Or(c.Storms, 10), cmp.Or(c.Faults, 4), cmp.Or(c.Tries, 2000)
	c.For, c.Recovery = cmp.Or(c.For, time.Minute), cmp.Or(c.Recovery, time.Minute)
	if c.For < 10*time.Millisecond {
		panic(fmt.Sprintf("weather: Test: Config.For is %v: it must be 10ms or more", c.For))
	}
	c.Longest = cmp.Or(c.Longest, c.For/2)
	if c.Longest < time.Millisecond || c.Longest > c.For {
		panic(fmt.Sprintf("weather: Test: Config.Longest is %v: it must be from 1ms to Config.For, which is %v", c.Longest, c.For))
	}
	for _, name := range c.Kinds {
		if kindOf(name) < 0 {
			panic(fmt.Sprintf("weather: Test: Config.Kinds has %q: they must be of %s", name, kindNames()))
		}
	}
	return c
}
