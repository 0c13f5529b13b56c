package patterntest

import (
	"cmp"
	"fmt"
	"testing"
	"time"

	"github.com/squall-sim/squall/sim"
)

// Call runs every story of the contract of calls, each in a bubble and as a subtest. The test fails
// for each promise that the service breaks. With -v it logs what each story cost.
//
// The last subtest, storms, draws stories at random, as in [Delivery]: four, unless the environment
// sets other seeds. More seeds find more. To draw a thousand and skip everything else:
//
//	SQUALL_SEEDS=1000 go test -run 'TestMyService/storms'
func Call(t *testing.T, newService NewService, opts ...Option) {
	t.Helper()
	var offers *Service // by the first story that was played
	var acts []act
	for _, s := range CallStories() {
		acts = append(acts, act{
			name: s.Name, reason: s.Reason, races: s.Races, lacking: s.lacking,
			lacks: func() bool { return s.Needs != nil && offers != nil && !s.Needs(*offers) },
			begin: func(n *sim.Network) performance {
				service := newService(n)
				offers = &service
				if s.Needs != nil && !s.Needs(service) {
					return nil
				}
				return func(folder string) performed { return playCall(n, service, folder, s) }
			},
		})
	}
	perform(t, acts, opts, func(t *testing.T) {
		seeds, err := sim.Seeds(stormSeeds...)
		if err != nil {
			t.Fatal(err)
		}
		if text := searchCall(t, newService, seeds); text != "" {
			t.Error(text)
		}
	})
}

// searchCall runs a service in the storms of some seeds.
func searchCall(t *testing.T, newService NewService, seeds []uint64) string {
	t.Helper()
	return search(t, drawCallStorm, func(n *sim.Network, folder string, s callStorm) performed {
		return playCall(n, newService(n), folder, s.story("a storm"))
	}, seeds)
}

// JudgeCall plays a story and returns the promises that were broken. The servers keep
// their files in folder. Only the story's Play is needed.
func JudgeCall(n *sim.Network, s Service, folder string, story CallStory) []Breach {
	return playCall(n, s, folder, story).Verdict()
}

func playCall(n *sim.Network, s Service, folder string, story CallStory) *CallWorld {
	w := NewCallWorld(n, s, folder)
	story.Play(w)
	w.Settle()
	return w
}

// CallLoopback runs the stories of the contract of calls that need no broken network, over TCP
// connections of the operating system, as [Loopback] does: in real time, all at once. It does not
// judge how long calls take, whether work ends at its deadline, or how much of a stream the sockets
// hold.
func CallLoopback(t *testing.T, newService NewService, opts ...Option) {
	t.Helper()
	var acts []act
	for _, s := range callLoopbackStories() {
		acts = append(acts, act{name: s.Name, reason: s.Reason, lacking: s.lacking, begin: func(n *sim.Network) performance {
			service := newService(n)
			if s.Needs != nil && !s.Needs(service) {
				return nil
			}
			return func(folder string) performed { return playCallOnLoopback(n, service, folder, s) }
		}})
	}
	performOnLoopback(t, acts, opts)
}

// playCallOnLoopback plays a story on a network that was made with [sim.Loopback]. The story
// has no links; its times are real ones.
func playCallOnLoopback(n *sim.Network, s Service, folder string, story CallStory) *CallWorld {
	s.Recovery = cmp.Or(s.Recovery, time.Minute)
	w := newCallWorld(n, s, folder, true)
	w.await()
	story.Play(w)
	w.Settle()
	return w
}

// A CallStory is one way in which things go wrong.
type CallStory struct {
	Name   string             // what happens, in a few words
	Reason string             // why it is worth a test; required in CallStories
	Play   func(w *CallWorld) // plays the story in a world of its own
	Code   string             // Play as Go code, if the story was drawn at random
	Races  string             // why two runs may differ with any service (see [sim.MayDiffer]), or ""; for one service, use the option [Races]

	// Needs reports whether a service offers what the story is about. Nil: every
	// service does.
	Needs func(s Service) bool

	lacking string // the field that a service lacks if Needs reports false, for the message of the skip; "": unknown
}

func callLoopbackStories() []CallStory {
	var all callStories
	const reason = "what holds on the simulated network must hold on a real one"
	all.add("calls one after the other", reason, func(w *CallWorld) {
		c := w.Caller("phone")
		for range 50 {
			c.Ask(Question{Answer: 500})
		}
	})
	all.add("calls at a time", reason, func(w *CallWorld) {
		c := w.Caller("phone")
		c.AskEvery(time.Millisecond, 100, Question{Work: 20 * time.Millisecond})
	})
	all.add("large questions and answers", reason, func(w *CallWorld) {
		c := w.Caller("phone")
		for range 20 {
			c.Ask(Question{Size: 50_000, Answer: 50_000})
		}
	})
	all.add("ten callers at a time", reason, func(w *CallWorld) {
		w.Callers(10)
		w.AskEvery(time.Millisecond, 200, Question{Work: 10 * time.Millisecond})
	})
	all.add("patience ends about when the answer comes", reason, func(w *CallWorld) {
		c := w.Caller("phone")
		for i := range 40 {
			c.Ask(Question{Work: 5 * time.Millisecond, Timeout: 3*time.Millisecond + time.Duration(i)*200*time.Microsecond})
			c.Ask(Question{})
		}
	})
	all.add("the server restarts", reason, func(w *CallWorld) {
		c := w.Caller("phone")
		for range 3 {
			c.AskEvery(2*time.Millisecond, 10, Question{Work: 5 * time.Millisecond})
			w.restart()
		}
	})
	all.add("the server is redeployed", reason, func(w *CallWorld) {
		c := w.Caller("phone")
		for range 2 {
			c.AskEvery(2*time.Millisecond, 10, Question{Work: 20 * time.Millisecond})
			w.Redeploy()
			w.await()
		}
	})
	all.add("the caller restarts", reason, func(w *CallWorld) {
		c := w.Caller("phone")
		for range 3 {
			c.AskEvery(2*time.Millisecond, 10, Question{Work: 5 * time.Millisecond})
			c.Host.Restart()
			w.Sleep(50 * time.Millisecond)
		}
	})
	all.add("a key that was used, and one in use", reason, func(w *CallWorld) {
		c := w.Caller("phone")
		for i := range 5 {
			q := Question{Key: fmt.Sprintf("order-%d", i), Work: 5 * time.Millisecond}
			c.AskEvery(time.Millisecond, 4, q)
			w.Sleep(20 * time.Millisecond)
			c.Ask(q)
		}
	})
	all.needs("Service.Keys is not set", func(s Service) bool { return s.Keys != nil })
	all.add("answers come as streams", reason, func(w *CallWorld) {
		c := w.Caller("phone")
		c.AskEvery(time.Millisecond, 10, Question{Parts: 20, Every: 5 * time.Millisecond, Answer: 500})
		c.AskEvery(0, 1, Question{Parts: 100, Answer: 40_000, Slow: 5 * time.Millisecond})
		c.AskEvery(time.Millisecond, 10, Question{Parts: 100, Every: 5 * time.Millisecond, Cancel: 100 * time.Millisecond})
		c.Ask(Question{Said: 20, Every: 5 * time.Millisecond, Parts: 5})
	})
	all.needs("Service.Streams is not set", func(s Service) bool { return s.Streams != nil })
	return all
}
