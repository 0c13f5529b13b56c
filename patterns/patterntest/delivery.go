package patterntest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/squall-sim/squall/sim"
)

// A NewSystem constructs the system under test on a network. It is called once a story.
type NewSystem func(n *sim.Network) System

// Delivery runs every story of the contract, each in a bubble and as a subtest, and
// fails for each promise that the system breaks. With -v it says what each story cost.
//
// The last subtest, storms, draws stories at random: four, unless the environment asks
// for other seeds (see [sim.Test]). To draw a thousand and leave out the rest:
//
//	SQUALL_SEEDS=1000 go test -run 'TestMyServer/storms'
//
// A storm that finds something is made smaller, for up to 30 s of real time (6 s with -short), and printed as
// Go, to be kept as a story of one's own.
//
// A story that hangs or whose time stands still fails like any other, with a report, and the next one
// follows.
func Delivery(t *testing.T, newSystem NewSystem, opts ...Option) {
	t.Helper()
	stories := Stories()
	choice := chosen(t, append(stories[:len(stories):len(stories)], Story{Name: stormsTest}), opts)
	var offers *System // by the first story that was played: a network only for saying no would cost as much as a short story
	lacks := func(s Story) bool { return s.Needs != nil && offers != nil && !s.Needs(*offers) }
	for _, s := range stories {
		t.Run(strings.ReplaceAll(s.Name, " ", "_"), func(t *testing.T) {
			choice.check(t, s.Name)
			if lacks(s) {
				t.Skip(notOffered)
			}
			var opts []sim.Option
			if why := cmp.Or(s.Races, choice.races[s.Name]); why != "" {
				opts = append(opts, sim.MayDiffer(why))
			}
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				system := newSystem(n)
				offers = &system
				if s.Needs != nil && !s.Needs(system) {
					t.Skip(notOffered)
				}
				w := play(n, system, t.TempDir(), s)
				for _, b := range w.Verdict() {
					t.Errorf("%v\n%sThe story is here because: %s", b, w.around(b), s.Reason)
				}
				t.Log(w.Measures())
			}, opts...)
		})
	}
	t.Run(stormsTest, func(t *testing.T) {
		choice.check(t, stormsTest)
		weather(t, newSystem, offers == nil || offers.Work != nil)
	})
}

const (
	stormsTest = "storms"
	notOffered = "the system does not offer what the story is about"
)

// An Option changes what [Delivery] and [Loopback] do.
type Option func(*choices)

// Skip leaves out a story, for a reason, which the test says. The name is that of one of
// [Stories], in which a subtest has _ for a space, or "storms". Delivery fails with a list of all
// if there is none of that name.
func Skip(story, reason string) Option {
	return func(c *choices) { c.skip[story] = reason }
}

// Races says why two runs of a story may differ with this system (see [sim.MayDiffer]); a story that
// may with every system says so itself.
func Races(story, why string) Option {
	return func(c *choices) { c.races[story] = why }
}

// choices are what options say of stories, by their names.
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

// chosen fails the test if a name is not that of a story.
func chosen(t *testing.T, stories []Story, opts []Option) *choices {
	t.Helper()
	c := choose(opts)
	if text := c.unknown(stories); text != "" {
		t.Fatal(text)
	}
	return c
}

// unknown says which names are not those of stories, or nothing.
func (c *choices) unknown(stories []Story) string {
	var known, unknown []string
	for _, story := range stories {
		known = append(known, story.Name)
	}
	for _, names := range []map[string]string{c.skip, c.races} {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if !slices.Contains(known, name) {
				unknown = append(unknown, fmt.Sprintf("%q", name))
			}
		}
	}
	if len(unknown) == 0 {
		return ""
	}
	return fmt.Sprintf("patterntest: Skip, Races: there is no story %s. There are:\n  %s", strings.Join(unknown, ", nor "), strings.Join(known, "\n  "))
}

// check skips the test of a story that is left out.
func (c *choices) check(t *testing.T, story string) {
	t.Helper()
	if reason, left := c.skip[story]; left {
		t.Skip("left out: " + reason)
	}
}

// Judge plays a story and returns what was broken. folder is for what the server keeps
// on disk. It panics if the story has no Reason.
func Judge(n *sim.Network, s System, folder string, story Story) []Breach {
	return play(n, s, folder, story).Verdict()
}

func play(n *sim.Network, s System, folder string, story Story) *World {
	if story.Reason == "" {
		panic(fmt.Sprintf("patterntest: the story %q has no reason", story.Name))
	}
	w := NewWorld(n, s, folder)
	story.Play(w)
	w.Settle()
	return w
}
