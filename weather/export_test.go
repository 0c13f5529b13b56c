package weather

import (
	"testing"

	"github.com/squall-sim/squall/sim"
)

// A Find is the result of a search.
type Find struct {
	Seed  uint64
	Of    int    // faults that were drawn
	Least string // the storm
	Why   string
	Tries int
	Whole bool
	Told  []string
}

// Search does what Test does, without failing t. It returns nil if no storm fails.
func Search(t *testing.T, c Config, f Func, seeds ...uint64) *Find {
	c = c.complete()
	for seed := range uint64(c.Storms) {
		if len(seeds) < c.Storms {
			seeds = append(seeds, seed+1)
		}
	}
	w := &search{c: c, f: f, trials: sim.NewTrials(t, "weather.Search", seeds), test: t.Name()}
	for _, seed := range seeds {
		s := w.storm(seed, nil)
		failed := w.try(t, seed, s)
		if failed == nil {
			continue
		}
		least, did := w.shrink(t, seed, s.is, failed)
		last := w.storm(seed, least)
		again := w.try(t, seed, last)
		if again == nil || again.Cause != failed.Cause {
			t.Errorf("seed %d does not repeat", seed)
		}
		return &Find{seed, len(s.is), line(least), why(failed), did.Tries, did.Whole, last.told}
	}
	return nil
}

// Draw returns the storm of a seed over a network.
func Draw(c Config, seed uint64, n *sim.Network) string { return line(c.complete().draw(seed, n)) }

// What files are.
var (
	ReadKept = func(text string) (seed uint64, storm string, err error) {
		k, err := readKept(text)
		return k.seed, line(k.is), err
	}
	ReadLine = func(text string) (string, error) {
		s, err := readLine(text)
		return line(s), err
	}
	Folder = folder
)
