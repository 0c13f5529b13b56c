package patterntest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/squall-sim/squall/sim"
)

// An act is a story of one of the contracts, bound to the constructor of the system or service
// under test.
type act struct {
	name, reason, races string
	lacking             string      // the field whose absence makes the story inapplicable
	lacks               func() bool // whether it is known by now that the capability is missing; to build a network only to find out would cost as much as a short story
	// begin constructs the system under test on a network. It returns nil if the system lacks the capability.
	begin func(n *sim.Network) performance
}

// A performance plays a story to its end. folder is for what the server keeps on disk.
type performance func(folder string) performed

// performed is a world after its story.
type performed interface {
	Verdict() []Breach
	around(b Breach) string // what happened at the time of a breach
	cost() string           // of the story, in a line
}

const stormsTest = "storms"

// notOffered returns why an act is skipped.
func (a *act) notOffered() string {
	return "the system does not offer what this story needs: " + cmp.Or(a.lacking, "its Needs says so")
}

// perform plays each act in a bubble of its own, as a subtest, and fails for each breach. storms is
// the last subtest.
func perform(t *testing.T, acts []act, opts []Option, storms func(t *testing.T)) {
	t.Helper()
	choice := chosen(t, append(namesOf(acts), stormsTest), opts)
	for _, a := range acts {
		t.Run(strings.ReplaceAll(a.name, " ", "_"), func(t *testing.T) {
			choice.check(t, a.name)
			if a.lacks() {
				t.Skip(a.notOffered())
			}
			var opts []sim.Option
			if why := cmp.Or(a.races, choice.races[a.name]); why != "" {
				opts = append(opts, sim.MayDiffer(why))
			}
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				play := a.begin(n)
				if play == nil {
					t.Skip(a.notOffered())
				}
				w := play(t.TempDir())
				for _, b := range w.Verdict() {
					t.Errorf("%v\n%sWhy this story exists: %s", b, w.around(b), a.reason)
				}
				t.Log(w.cost())
			}, opts...)
		})
	}
	t.Run(stormsTest, func(t *testing.T) {
		choice.check(t, stormsTest)
		storms(t)
	})
}

// performOnLoopback plays all acts at once, over the operating system's TCP, and reports each as a subtest.
func performOnLoopback(t *testing.T, acts []act, opts []Option) {
	t.Helper()
	choice := chosen(t, namesOf(acts), opts)
	results := make([]chan []Breach, len(acts))
	var running sync.WaitGroup
	defer running.Wait() // also for those that -run leaves out
	for i, a := range acts {
		if _, left := choice.skip[a.name]; left {
			continue
		}
		n := sim.New(sim.Loopback())
		play, folder := a.begin(n), t.TempDir()
		if play == nil {
			n.Close()
			continue
		}
		results[i] = make(chan []Breach, 1)
		running.Go(func() {
			defer n.Close()
			results[i] <- play(folder).Verdict()
		})
	}
	for i, a := range acts {
		t.Run(strings.ReplaceAll(a.name, " ", "_"), func(t *testing.T) {
			choice.check(t, a.name)
			if results[i] == nil {
				t.Skip(a.notOffered())
			}
			for _, b := range <-results[i] {
				t.Errorf("%v\nWhy this story exists: %s", b, a.reason)
			}
		})
	}
}

// An Option changes what [Delivery], [Call], [Loopback] and [CallLoopback] do.
type Option func(*choices)

// Skip leaves out a story. The test reports the reason. story is the name of one of [Stories] or
// [CallStories] (in the name of a subtest, underscores replace the spaces), or "storms". If there
// is no such story, the test fails with a list of all names.
func Skip(story, reason string) Option {
	return func(c *choices) { c.skip[story] = reason }
}

// Races says why two runs of a story may differ with this system (see [sim.MayDiffer]). A story
// that may differ with every system says so itself, in its field Races.
func Races(story, why string) Option {
	return func(c *choices) { c.races[story] = why }
}

// choices are what the options say about stories, by name.
type choices struct {
	skip  map[string]string // reasons for leaving them out
	races map[string]string
}

// choose collects the options.
func choose(opts []Option) *choices {
	c := &choices{skip: map[string]string{}, races: map[string]string{}}
	for _, o := range opts {
		o(c)
	}
	return c
}

// chosen collects the options, and fails the test if one names a story that
// does not exist.
func chosen(t *testing.T, stories []string, opts []Option) *choices {
	t.Helper()
	c := choose(opts)
	if text := c.unknown(stories); text != "" {
		t.Fatal(text)
	}
	return c
}

func namesOf(acts []act) (names []string) {
	for _, a := range acts {
		names = append(names, a.name)
	}
	return names
}

// unknown returns a message that lists the names of stories that do not exist,
// or "".
func (c *choices) unknown(stories []string) string {
	var unknown []string
	for _, names := range []map[string]string{c.skip, c.races} {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if !slices.Contains(stories, name) {
				unknown = append(unknown, fmt.Sprintf("%q", name))
			}
		}
	}
	if len(unknown) == 0 {
		return ""
	}
	return fmt.Sprintf("patterntest: Skip, Races: there is no story %s. There are:\n  %s", strings.Join(unknown, ", nor "), strings.Join(stories, "\n  "))
}

// check skips the test of a story that is left out.
func (c *choices) check(t *testing.T, story string) {
	t.Helper()
	if reason, left := c.skip[story]; left {
		t.Skip("left out: " + reason)
	}
}
