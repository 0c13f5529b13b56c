package interop

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	gosse "github.com/tmaxmax/go-sse"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// The contract of delivery, and libraries of others in its stories: what each breaks,
// which promise that is and no other, and what it keeps. A library that never promised
// what it breaks is not broken; the README says which ones do.
var libraries = []struct {
	name   string
	system patterntest.NewSystem
	breaks []conviction
	keeps  []string // stories
}{
	{"r3labs/sse", r3labsSSE, []conviction{
		{"out of reach for 20m0s", promises{patterntest.Once}, "its log replays from the last event that the client has, not from the one after it"},
		{"the client restarts", promises{patterntest.Once}, "the same"},
		{"the client crashes while events come", promises{patterntest.Once}, "the same"},
		{"the server restarts while the client is away", promises{patterntest.Complete}, "IDs begin again at 0, so that those of an earlier life skip the new events"},
		{"the server loses power and comes back", promises{patterntest.Complete}, "the same"},
		{"one client of three cannot be reached", promises{patterntest.Prompt}, "it waits for the slowest client, behind a queue of 64"},
	}, slices.Concat(steady, shortOutages)},

	{"go-sse, FiniteReplayer of 10", goSSE(func(*sim.Network) gosse.Replayer {
		r, err := gosse.NewFiniteReplayer(10, true)
		if err != nil {
			panic(err)
		}
		return r
	}), []conviction{
		{"out of reach for 20m0s", promises{patterntest.Complete}, "it replays what it still has, and tells nobody that this is not all"},
		{"the client restarts", promises{patterntest.Complete}, "the same"},
		{"the server restarts while the client is away", promises{patterntest.Complete}, "an ID of an earlier life counts as one of this one, or as none"},
		{"the client starts while its link rejects", promises{patterntest.Complete}, "the client drops the Last-Event-ID that it was given when its first attempt fails"},
		{"one client of three cannot be reached", promises{patterntest.Prompt}, "it writes to all clients from one goroutine"},
		{"one client of three cannot be reached", promises{patterntest.Complete, patterntest.Prompt}, "the same, and a select takes the client that is back or one of the events that wait, at random: it may be behind ten"},
		{"one client of three does not read", promises{patterntest.Prompt}, "the same"},
	}, slices.Concat(steady, shortOutages)},

	{"go-sse, a Replayer of one's own that tells of gaps", goSSE(func(n *sim.Network) gosse.Replayer {
		return &tellsOfGaps{life: n.Elapsed().String(), keep: 1000}
	}), []conviction{
		{"the client starts while its link rejects", promises{patterntest.Complete}, "the client drops the Last-Event-ID that it was given when its first attempt fails"},
		{"one client of three cannot be reached", promises{patterntest.Prompt}, "it writes to all clients from one goroutine"},
	}, slices.Concat(steady, shortOutages, longOutages, restarts)},

	{"launchdarkly/eventsource, SliceRepository", launchDarklySSE, []conviction{
		{"out of reach for 20m0s", promises{patterntest.Once}, "the repository replays from the last event that the client has, where its interface asks for those that follow"},
		{"the client restarts", promises{patterntest.Once}, "the same"},
		{"one client of three does not read", promises{patterntest.Once}, "the same, when the client that it disconnected at 128 events behind comes back"},
		{"the server restarts while the client is away", promises{patterntest.Complete}, "the repository is in memory, and its IDs are the program's"},
		{"the server loses power and comes back", promises{patterntest.Complete}, "the same"},
	}, slices.Concat(steady, shortOutages, []string{"one client of three cannot be reached"})},

	{"gorilla/websocket, hub", gorillaHub{}.on, []conviction{
		{"out of reach for 1m5s", promises{patterntest.Complete}, "what is sent to a connection that has died is lost"},
		{"out of reach for 20m0s", promises{patterntest.Complete}, "the same, and all that comes before the client is back"},
		{firstNews.Name, promises{patterntest.Complete}, "the same"},
		{"the client restarts", promises{patterntest.Complete}, "the same"},
		{"one client of three does not read", promises{patterntest.Complete}, "it disconnects a client that is 256 messages behind"},
	}, slices.Concat(steady, shortOutages)},

	{"gorilla/websocket, hub that joins messages", gorillaHub{joins: true}.on, []conviction{
		{joinedNews.Name, promises{patterntest.Genuine, patterntest.Complete}, "messages that wait become one, with line feeds between them"},
	}, []string{"a quiet day", "out of reach for 2s"}},

	{"nats core", natsCore(false), []conviction{
		{"out of reach for 20m0s", promises{patterntest.Complete}, "who is not connected gets nothing"},
		{firstNews.Name, promises{patterntest.Complete}, "the same"},
		{"the client restarts", promises{patterntest.Complete}, "the same"},
		{"one client of three does not read", promises{patterntest.Complete}, "a slow consumer is disconnected"},
	}, slices.Concat(steady, shortOutages)},

	{"nats core, each reconnection told as a gap", natsCore(true), nil,
		slices.Concat(steady, shortOutages, longOutages, restarts, []string{"one client of three cannot be reached"})},

	{"go-redis Pub/Sub, miniredis", redisPubSub, []conviction{
		{"out of reach for 20m0s", promises{patterntest.Complete}, "who is not connected gets nothing"},
		{firstNews.Name, promises{patterntest.Complete}, "the same"},
		{"the client restarts", promises{patterntest.Complete}, "the same"},
	}, slices.Concat(steady, shortOutages)},

	{"mochi-mqtt, Paho, QoS 0", mqtt{qos: 0}.on, []conviction{
		{"out of reach for 30s", promises{patterntest.Complete}, "keep-alive ends the connection, and who is not connected gets nothing"},
		{firstNews.Name, promises{patterntest.Complete}, "the same"},
		{"the client restarts", promises{patterntest.Complete}, "the same"},
	}, slices.Concat(steady, []string{"out of reach for 100ms", "out of reach for 2s"})},

	{"mochi-mqtt, Paho, QoS 1", mqtt{qos: 1}.on, []conviction{
		{burstWhileAway.Name, promises{patterntest.Ordered}, "what a session holds is sent in the order of a map, sorted by the second"},
	}, slices.Concat(steady, shortOutages, longOutages, restarts)},

	{"mochi-mqtt with a store, Paho, QoS 1", mqtt{qos: 1, store: true}.on, []conviction{
		{"the server restarts while the client is away", promises{patterntest.Complete}, "the session is there again, as the broker says, and what it held is not"},
	}, []string{"a quiet day", "out of reach for 30s", "the server crashes and comes back"}},
}

// A conviction is a story in which a library breaks promises, and why. Of several with one story each run has one.
type conviction struct {
	story    string
	promises promises // all that are broken
	why      string
}

type promises []patterntest.Promise

// Stories that most libraries keep their promises in.
var (
	steady = []string{
		"a quiet day", "events closer together than a round trip", "an hour without events", "ten publishers at once",
		"a link with 20 percent loss", "a link with jitter that reorders", "fifty clients hear of one event",
	}
	shortOutages = []string{"out of reach for 2s", "out of reach for 30s", "a link that flaps", "the request is lost"}
	longOutages  = []string{"out of reach for 1m5s", "out of reach for 20m0s", "the answer is lost"}
	restarts     = []string{
		"the server crashes and comes back", "the server crashes right after it accepted", "the server loses power and comes back",
		"the server restarts while the client is away", "the server restarts ten times", "the client restarts",
	}
)

// Stories that the contract does not have.
var (
	burstWhileAway = patterntest.Story{
		Name:   "a burst while the client is away",
		Reason: "what is kept for a client has to keep its order",
		Play: func(w *patterntest.World) {
			c := w.Client("phone")
			w.PublishEvery(time.Second, 3)
			c.Host.Crash()
			w.Sleep(time.Second)
			w.PublishEvery(0, 20)
			w.Sleep(5 * time.Second)
			c.Host.Restart()
		},
	}
	// In the contract's own story of a crash the first event comes a second after it, and clients that are back by then miss nothing: their delays are drawn.
	firstNews = patterntest.Story{
		Name:   "events as soon as the server is back",
		Reason: "nobody can be connected yet, since that takes two round trips",
		Play: func(w *patterntest.World) {
			w.Client("phone")
			w.PublishEvery(time.Second, 3)
			w.Server.Crash()
			w.Sleep(10 * time.Second)
			w.Server.Restart()
			w.Sleep(10 * ms)
			w.PublishEvery(10*ms, 3)
			w.Sleep(10 * time.Second)
			w.PublishEvery(time.Second, 3)
		},
	}
	// Whether events of one instant wait is the scheduler's choice; those that no socket takes do.
	joinedNews = patterntest.Story{
		Name:   "the client does not read for a second",
		Reason: "what waits has to stay what it is",
		Play: func(w *patterntest.World) {
			c := w.Client("phone")
			w.PublishEvery(time.Second, 3)
			c.Host.Pause()
			w.PublishLarge(ms, 310, 12_000) // 3.7 MB: more than sockets hold
			w.Sleep(time.Second)
			c.Host.Resume()
		},
	}
)

func TestLibrariesInTheStoriesOfTheContract(t *testing.T) {
	stories := map[string]patterntest.Story{}
	for _, s := range append(patterntest.Stories(), burstWhileAway, firstNews, joinedNews) {
		stories[s.Name] = s
	}
	for _, lib := range libraries {
		t.Run(strings.ReplaceAll(lib.name, "/", "_"), func(t *testing.T) {
			var names []string
			convicted := map[string][]conviction{}
			for _, c := range lib.breaks {
				names = append(names, c.story)
				convicted[c.story] = append(convicted[c.story], c)
			}
			for _, story := range slices.Concat(slices.Compact(names), lib.keeps) {
				s, known := stories[story]
				require.True(t, known, "the contract has no story %q", story)
				t.Run(story, func(t *testing.T) {
					sim.Test(t, func(t *testing.T, n *sim.Network) {
						breaches := patterntest.Judge(n, lib.system(n), t.TempDir(), s)
						all, want := broken(breaches), convicted[story]
						if want == nil {
							require.Empty(t, all, "it keeps all promises\n%v", breaches)
							return
						}
						require.True(t, slices.ContainsFunc(want, func(c conviction) bool { return slices.Equal(c.promises, all) }),
							"it broke %q; is to break: %v\n%v", all, want, breaches)
					}, sim.MayDiffer("masks, IDs and names that libraries draw do not follow the seed, nor does what a select takes"))
				})
			}
		})
	}
}

// broken returns which promises were broken, each once.
func broken(breaches []patterntest.Breach) promises {
	var all promises
	for _, b := range breaches {
		if !slices.Contains(all, b.Promise) {
			all = append(all, b.Promise)
		}
	}
	return all
}
