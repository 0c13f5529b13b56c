package sidecar_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

// TestDifferential has the traffic of both contracts go directly to a server, and through a sidecar beside it, and compares what each end saw and
// what came of it: all is the same, but for times. With SQUALL_DIFFERENTIAL it takes all stories in which nothing befalls the server's host, which
// is also the sidecar's.
func TestDifferential(t *testing.T) {
	for _, d := range differentials {
		t.Run(d.name, func(t *testing.T) {
			for _, name := range d.all() {
				t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) { d.compare(t, name) })
			}
		})
	}
}

// A differential is a system or a service whose traffic is compared.
type differential struct {
	name    string
	system  patterntest.NewSystem
	service patterntest.NewService
	stories []string // those that are always played
}

var (
	someStories     = []string{"a quiet day", "events of all kinds", "the client leaves and comes back", "the way is cut while much is on it"}
	someCallStories = []string{"a quiet day of calls", "calls at a time", "the answer is lost", "calls are given up"}
)

var differentials = []differential{
	{"longpoll", func(n *sim.Network) patterntest.System { return systems.LongPoll(n, memory) }, nil, someStories},
	{"stream", func(n *sim.Network) patterntest.System { return systems.Stream(n, memory) }, nil, someStories},
	{"stream over WebSocket", func(n *sim.Network) patterntest.System { return systems.StreamAs(stream.WebSocket)(n, memory) }, nil, someStories},
	{"push", func(n *sim.Network) patterntest.System { return systems.Push(n, memory) }, nil, someStories},
	{"calls", nil, func(n *sim.Network) patterntest.Service { return systems.SidecarCalls(n, false) }, append([]string{"questions and answers of any size", "answers come as streams", "a question goes on while it is answered"}, someCallStories...)},
	{"reqresp", nil, func(n *sim.Network) patterntest.Service {
		return systems.ReqResp(n, systems.ReqRespKind{Keyed: true})
	}, append([]string{"a key that is in use"}, someCallStories...)},
	{"async", nil, systems.Operations, someCallStories},
	{"session", nil, func(n *sim.Network) patterntest.Service { return systems.Session(n, systems.SessionMemory) }, someCallStories},
}

// all is what is played: some stories, or all.
func (d differential) all() (names []string) {
	if os.Getenv("SQUALL_DIFFERENTIAL") == "" {
		return d.stories
	}
	for _, s := range patterntest.Stories() {
		if d.system != nil {
			names = append(names, s.Name)
		}
	}
	for _, s := range patterntest.CallStories() {
		if d.service != nil {
			names = append(names, s.Name)
		}
	}
	return names
}

// compare plays a story directly and through a sidecar.
func (d differential) compare(t *testing.T, name string) {
	if why := raced[name]; why != "" {
		t.Skip("left out: it hangs on goroutines " + why)
	}
	var seen, came [2]string // all, and what came of it
	for i, sidecar := range []bool{false, true} {
		skip := ""
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			r := newRecord(n.Elapsed)
			if !d.play(t, n, name, r, sidecar) {
				skip = "the system does not offer what this story needs"
			} else if skip = onServer(n); skip == "" && r.lives > 1 {
				skip = "it was redeployed"
			}
			if skip != "" {
				return
			}
			require.Empty(t, r.changed())
			came[i] = r.outcomes()
			seen[i] = came[i] + r.all(twins[name] == "")
		}, sim.MayDiffer("what is compared is not the trace"))
		if skip != "" {
			t.Skip("left out: " + skip)
		}
	}
	require.NotEmpty(t, came[0])
	require.Equal(t, came[0], came[1])
	switch e := exceptions[name]; {
	case !e.of(d.name):
		require.Equal(t, seen[0], seen[1])
	case !e.sometimes:
		require.NotEqual(t, seen[0], seen[1], "%q of %s is no exception: all is the same", name, d.name)
	}
}

// An exception is a story whose intermediate states, with some systems, depend on a nanosecond or on how much sockets hold. Only its final outcome is
// compared, and that no data was changed on its way.
type exception struct {
	systems   string // for which it holds, separated by commas
	why       string
	sometimes bool // only with some seeds, or some orders of goroutines
}

// exceptions are keyed by the names of their stories. One that turns out not to be an exception fails.
var exceptions = map[string]exception{
	"the way is cut while much is on it":        {"longpoll, stream", "how much has arrived when the link is cut", false},
	"answers are cut short":                     {"calls, async", "how much of the body a number of bytes contains, which depends on its chunks", false},
	"questions are cut short":                   {"calls, reqresp, async, session", "the sidecar does not pass on a request that is truncated before it begins to", false},
	"calls with much data are given up":         {"calls, reqresp, session", "the sidecar stops passing on a question when its Request-Timeout ends: the server reads a part and an error, where without a sidecar it would read all of it, too late", false},
	"patience ends about when the answer comes": {"calls, reqresp, session", "how long a call takes, to the nanosecond", false},
	"one client of three cannot be reached":     {"stream, stream over WebSocket, push", "how much is written to the client that cannot be reached: a sidecar's sockets hold more", false},
	"one client of three does not read":         {"longpoll, stream, stream over WebSocket", "how much is written to the client that does not read: a sidecar's sockets hold more", false},
	"the caller of a stream is slow":            {"calls", "how much is written to the slow caller: a sidecar's sockets hold more", false},
	"streams are given up":                      {"calls", "how much of a stream has arrived when it is given up", false},
	"events at one instant":                     {"longpoll", "which events arrive in one answer", true},
	"ten publishers at once":                    {"longpoll", "which events arrive in one answer", false},
	"handlers are slow":                         {"longpoll, push", "which events arrive in one answer", false},
	"a link with 2 percent loss":                {"longpoll", "which events arrive in one answer, and which packets are lost", false},
	"a link with 20 percent loss":               {"longpoll", "which events arrive in one answer, and which packets are lost", true},
	"a link with bursts of loss":                {"longpoll", "which events arrive in one answer, and which packets are lost", true},
	"a link with packets that come twice":       {"longpoll", "which events arrive in one answer, and which packets are duplicated", false},
	"a link with packets that come broken":      {"longpoll", "which events arrive in one answer, and which packets are corrupted", true},
}

// of reports whether it is an exception for a system.
func (e exception) of(system string) bool {
	return slices.Contains(strings.Split(e.systems, ", "), system)
}

// raced are stories of which nothing is compared, with the reason.
var raced = map[string]string{
	"three tiers, of which the last refuses": "which of the calls at one instant gets the last of the budget",
}

// twins are stories in which several of a client's connections become reusable at one instant, with the reason. Which of them it uses first is not compared.
var twins = map[string]string{
	"a key that is in use": "all calls that wait for a key are answered at once",
}

// play plays a story, and says whether the system offers what it is about.
func (d differential) play(t *testing.T, n *sim.Network, name string, r *record, sidecar bool) bool {
	if d.system != nil {
		s := systems.Tapped(r.system(d.system(n)), r)
		if sidecar {
			s = systems.BesideSidecar(s)
		}
		for _, story := range patterntest.Stories() {
			if story.Name == name && (story.Needs == nil || story.Needs(s)) {
				require.Empty(t, patterntest.Judge(n, s, t.TempDir(), story))
				return true
			}
		}
		return false
	}
	s := systems.TappedService(r.service(d.service(n)), r)
	if sidecar {
		s = systems.ServiceBesideSidecar(s)
	}
	for _, story := range patterntest.CallStories() {
		if story.Name == name && (story.Needs == nil || story.Needs(s)) {
			require.Empty(t, patterntest.JudgeCall(n, s, t.TempDir(), story))
			return true
		}
	}
	return false
}

// onServer says what befell the server's host, which is its sidecar's too.
func onServer(n *sim.Network) string {
	for e := range n.Trace().Events() {
		if e.Kind == sim.Noted && e.From == "server" {
			return "the server's " + e.Note
		}
	}
	return ""
}

// system is a system of which each client's events are noted.
func (r *record) system(s patterntest.System) patterntest.System {
	serve, receive := s.Serve, s.Receive
	s.Serve = func(ctx context.Context, h *sim.Host, folder string) error {
		r.begins(h)
		return serve(ctx, h, folder)
	}
	s.Receive = func(ctx context.Context, h *sim.Host, name string, to patterntest.Receiver) error {
		return receive(ctx, h, name, notes{to, r, name})
	}
	return s
}

// begins notes a life of a server.
func (r *record) begins(h *sim.Host) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.Name() == "server" {
		r.lives++
	}
}

type notes struct {
	patterntest.Receiver
	record *record
	name   string
}

func (n notes) Event(data string) {
	n.record.tells(n.name)("got %s", shortened([]byte(data)))
	n.Receiver.Event(data)
}

func (n notes) Gap(why string) {
	n.record.tells(n.name)("a gap: %s", why)
	n.Receiver.Gap(why)
}

// service is a service of which each caller's outcomes are noted.
func (r *record) service(s patterntest.Service) patterntest.Service {
	serve, client := s.Serve, s.Client
	s.Serve = func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
		r.begins(h)
		return serve(ctx, h, app)
	}
	s.Client = func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
		ask := client(ctx, h, servers...)
		return func(ctx context.Context, q patterntest.Request) (string, error) {
			tell := r.tells(h.Name())
			answer, err := ask(ctx, q)
			if err != nil {
				tell("asked %s: %v, %v", shortened([]byte(q.Data)), err, errors.Is(err, patterntest.ErrNotExecuted))
			} else {
				tell("asked %s: %s", shortened([]byte(q.Data)), shortened([]byte(answer)))
			}
			return answer, err
		}
	}
	return s
}

// outcomes is what came of it all.
func (r *record) outcomes() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.askers)) {
		fmt.Fprintf(&all, "%s\n  %s\n", name, addresses.ReplaceAllString(strings.Join(r.askers[name].told, "\n  "), "ADDRESS"))
	}
	return all.String()
}

// all is all that was seen, with the connections or without.
func (r *record) all(conns bool) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.askers)) {
		for _, x := range r.askers[name].asked {
			on := x.on
			if !conns {
				on = nil
			}
			fmt.Fprintf(&all, "%s on connection %v\n%v%s%v%s\n", x.id, on, &x.question, strings.Join(x.answers, ""), &x.answer, failure(x.failed))
			for _, s := range x.served {
				fmt.Fprintf(&all, " served\n%v%s%v %s\n", &s.question, strings.Join(s.early, ""), &s.answer, s.end)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.arrived)) {
		fmt.Fprintf(&all, "%s was asked %s\n", name, strings.Join(inOrder(r.arrived[name]), ", "))
	}
	return all.String()
}

// inOrder returns what arrived in the order of time. What came within a microsecond came at one instant: which of it was first is for
// connections to decide, of which a sidecar has its own.
func inOrder(all []arrival) (ids []string) {
	first := 0
	for i, a := range all {
		if a.at-all[first].at > time.Microsecond {
			first = i
		}
		ids = append(ids, a.id)
		slices.Sort(ids[first:])
	}
	return ids
}

// changed says what was changed between the two ends of an exchange, or nothing.
func (r *record) changed() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(r.askers)) {
		for _, x := range r.askers[name].asked {
			for i, s := range x.served {
				all = append(all, change(x.id+", question", &x.question, &s.question, "User-Agent", "Accept-Encoding")...)
				if i == len(x.served)-1 && x.answer.fields != nil {
					all = append(all, change(x.id+", answer", &s.answer, &x.answer, "Content-Type", "X-Content-Type-Options")...)
				}
			}
		}
	}
	return all
}

// change says what is other where a message arrived than where it was sent: it may be shorter, if that is no end of it. net/http itself adds some fields.
func change(what string, sent, came *message, added ...string) (all []string) {
	for _, name := range added {
		if sent.fields.Get(name) == "" {
			came.fields.Del(name)
		}
	}
	if sent.first != came.first || text(sent.fields) != text(came.fields) {
		all = append(all, fmt.Sprintf("%s: %s%s arrived as %s%s", what, sent.first, text(sent.fields), came.first, text(came.fields)))
	}
	a, b := sent.content(), came.content()
	if whole := came.end == io.EOF.Error(); !sent.frames && !came.frames && (!bytes.HasPrefix(sent.body.Bytes(), came.body.Bytes()) || whole && a != b) || whole && sent.trailer != came.trailer && came.trailer != "" {
		all = append(all, fmt.Sprintf("%s: %s%s arrived as %s%s", what, a, sent.trailer, b, came.trailer))
	}
	return all
}
