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
	var seen [2]string
	for i, sidecar := range []bool{false, true} {
		skip := ""
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			r := newRecord(n.Elapsed)
			if !d.play(t, n, name, r, sidecar) {
				skip = "what the story is about is not offered"
			} else if skip = onServer(n); skip == "" && r.lives > 1 {
				skip = "it was redeployed"
			}
			if skip != "" {
				return
			}
			require.Empty(t, r.changed())
			seen[i] = r.outcomes()
			if moments[name] == "" && moments[d.name+": "+name] == "" {
				seen[i] += r.all(twins[name] == "")
			}
		}, sim.MayDiffer("what is compared is not the trace"))
		if skip != "" {
			t.Skip("left out: " + skip)
		}
	}
	require.NotEmpty(t, seen[0])
	require.Equal(t, seen[0], seen[1])
}

// moments are stories, of one system alone or of all, in which it hangs on a nanosecond, or on how much sockets hold, what there is at a moment, and what: of them only what came of it is
// compared, and that nothing was changed on its way.
var moments = map[string]string{
	"the way is cut while much is on it":         "how much has come when the way is cut",
	"answers are cut short":                      "how much of a body there is in so many bytes, which hangs on its chunks",
	"questions are cut short":                    "what is cut before it is passed on is not passed on",
	"calls with much data are given up":          "what of a question is still to be passed on when it is given up is not",
	"patience ends about when the answer comes":  "how long a call takes, to a nanosecond",
	"push: the answer is lost":                   "what is written last to who cannot be reached, which a sidecar still takes",
	"one client of three cannot be reached":      "how much is written to who cannot be reached: a sidecar's sockets hold more",
	"one client of three does not read":          "the same of who does not read",
	"the caller of a stream is slow":             "the same of who is slow",
	"streams are given up":                       "how much has come when they are",
	"events at one instant":                      "which events come with one answer",
	"ten publishers at once":                     "the same",
	"handlers are slow":                          "the same",
	"a link with 2 percent loss":                 "the same, and which packets are lost",
	"a link with 20 percent loss":                "the same",
	"a link with bursts of loss":                 "the same",
	"a link with packets that come twice":        "the same",
	"a link with jitter that reorders":           "the same",
	"a link with packets that come broken":       "the same",
	"a caller crashes and leaves while it waits": "how far a call has come when its caller goes",
}

// raced are stories of which nothing is compared, and why.
var raced = map[string]string{
	"three tiers, of which the last refuses": "which of the calls of one instant has the last of a budget",
}

// twins are stories in which a client has connections that it can use again from one instant on, and why: which of them it takes first is not compared.
var twins = map[string]string{
	"a key that is in use": "all who wait for a key are answered at once",
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
