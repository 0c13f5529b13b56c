package weather

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/storm"
	"github.com/squall-sim/squall/sim"
)

// A what is a kind of fault, by its number, and its place: a host, or between two.
type what struct {
	kind     int
	from, to string
}

type schedule = storm.Schedule[what]

// draw draws a storm over the hosts and links of a network. It has no fault if no place fits any.
func (c Config) draw(seed uint64, n *sim.Network) schedule {
	places := c.places(n)
	var possible []int
	for k := range all {
		if len(places[k]) > 0 {
			possible = append(possible, k)
		}
	}
	if len(possible) == 0 {
		return nil
	}
	d := storm.NewDraws(seed)
	kinds := slices.DeleteFunc(slices.Clone(possible), func(int) bool { return d.Below(2) == 0 })
	if len(kinds) == 0 {
		kinds = possible
	}
	now := time.Duration(0)
	return storm.Generator[what]{
		Count: func(d *storm.Draws) int { return 1 + d.Below(c.Faults) },
		Pause: func(d *storm.Draws) time.Duration {
			// On average the pauses leave room for the largest number of faults; a fault that would be late begins at the end of the storm.
			pause := d.Milliseconds(int(2*c.For.Milliseconds()/int64(c.Faults+1)) + 1)
			pause = min(pause, c.For-time.Millisecond-now).Truncate(time.Millisecond)
			now += pause
			return pause
		},
		What: func(d *storm.Draws) what { return storm.Pick(d, places[storm.Pick(d, kinds...)]...) },
		Lasts: func(d *storm.Draws) time.Duration {
			lasts := storm.Pick(d, slices.DeleteFunc([]time.Duration{
				10 * time.Millisecond, 100 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, 5 * time.Minute, c.Longest,
			}, func(d time.Duration) bool { return d > c.Longest })...)
			lasts += d.Milliseconds(int(lasts.Milliseconds()) + 1)
			return max(min(lasts, c.Longest, c.For-now).Truncate(time.Millisecond), time.Millisecond)
		},
		Excludes: func(what, what) bool { return false },
	}.Draw(d)
}

// simpler returns how storms are shrunk.
func (c Config) simpler() storm.Simpler[what] {
	return storm.Simpler[what]{Last: c.For, What: func(w what) (easier []what) {
		for k := range w.kind {
			if all[k].Of == all[w.kind].Of && c.draws(k) {
				easier = append(easier, what{k, w.from, w.to})
			}
		}
		return easier
	}}
}

// draws reports whether storms include a kind.
func (c Config) draws(kind int) bool {
	return c.Kinds == nil || slices.Contains(c.Kinds, all[kind].Name)
}

// places returns the places for faults, by kind.
func (c Config) places(n *sim.Network) [][]what {
	places, hosts, links := make([][]what, len(all)), n.Hosts(), n.Links()
	for k, kind := range all {
		if !c.draws(k) {
			continue
		}
		add := func(a, b string) {
			if named(c.Spared, a) || named(c.Spared, b) {
				return
			}
			places[k] = append(places[k], what{k, a, b})
			if kind.Directed {
				places[k] = append(places[k], what{k, b, a})
			}
		}
		switch kind.Of {
		case storm.OfHost:
			for _, h := range hosts {
				if !named(c.Up, h.Name()) {
					add(h.Name(), "")
				}
			}
		case storm.OfHosts:
			for i, h := range hosts {
				for _, other := range hosts[:i] {
					add(other.Name(), h.Name())
				}
			}
		case storm.OfLink:
			for _, l := range links {
				a, b := l.Ends()
				add(nameOf(a), nameOf(b))
			}
		}
	}
	return places
}

// mustKnow panics if Up or Spared has a name that the network does not have: a misspelt host would
// not be protected.
func (c Config) mustKnow(n *sim.Network) {
	var hosts, nodes []string
	for _, h := range n.Hosts() {
		hosts = append(hosts, h.Name())
	}
	nodes = slices.Clone(hosts)
	for _, l := range n.Links() {
		a, b := l.Ends()
		nodes = append(nodes, nameOf(a), nameOf(b))
	}
	for _, x := range []struct {
		field        string
		names, known []string
	}{{"Up", c.Up, hosts}, {"Spared", c.Spared, nodes}} {
		for _, name := range x.names {
			if !named(x.known, name) {
				panic(fmt.Sprintf("weather: Storm.Begin: Config.%s has %q, which is not a host: the hosts are %s", x.field, name, strings.Join(hosts, ", ")))
			}
		}
	}
}

func nameOf(d sim.Node) string { return fmt.Sprint(d) }

func named(names []string, host string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, host) })
}
