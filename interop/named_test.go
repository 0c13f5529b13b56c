package interop

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Protocols by their names, each with a client and a server of others, or a server written by hand where there is none to embed, in the same troubles: what does a caller see?

// A protocol has a server that answers a text with that text when it has worked on it, and a client.
type protocol struct {
	name  string
	serve func(t *testing.T, n *sim.Network, server *sim.Host, work func(text string))
	// dial returns how to call. A client that connects by itself has not done so yet; the others connect again when a call finds none, but not after one has ended.
	dial func(t *testing.T, n *sim.Network, phone *sim.Host) caller
	big  int // bytes of a large text
	want sights
}

type caller func(ctx context.Context, text string) error

// sights are what a caller saw, and how long it took. Times are exact; those on which the libraries' goroutines decide are wanted as from..to, with the reason. What may be either of two has " | " between them.
type sights struct {
	first, next string // the first call, which connects, and the one after it
	outage      string // a call in an outage of 30 s, which has time
	deadline    string // a call in an outage, which has 5 s
	after       string // a call when that outage is over
	restart     string // a call that is executed while the server restarts, and how often it was executed
	restarted   string // the calls after that, until one is answered
	idle        string // the calls after a restart while there was none, until one is answered
	slow        string // a large call over a slow link
	beside      string // a short one that was begun at the same time
}

// see has a caller call, and says what it saw. On the slow link, the only one where a packet takes time, a byte takes 8 µs, and what is less is the order in which goroutines are woken.
func see(n *sim.Network, call caller, within time.Duration, text string) string {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	begin := n.Elapsed()
	err := call(ctx, text)
	took := (n.Elapsed() - begin).Round(time.Microsecond)
	if err == nil {
		return took.String()
	}
	return fmt.Sprintf("%v: %v", took, addresses.ReplaceAllString(err.Error(), ""))
}

var addresses = regexp.MustCompile(` 10[.0-9]*:\d+->10[.0-9]*:\d+`)

// matches is whether a caller saw what the table has.
func matches(t *testing.T, want, saw string) bool {
	return slices.ContainsFunc(strings.Split(want, " | "), func(want string) bool {
		span := spans.FindStringSubmatch(want)
		if span == nil {
			return saw == want
		}
		from, err := time.ParseDuration(span[1])
		require.NoError(t, err)
		to, err := time.ParseDuration(span[2])
		require.NoError(t, err)
		text, found := strings.CutSuffix(saw, span[3])
		took, err := time.ParseDuration(text)
		return found && err == nil && from <= took && took <= to
	})
}

var spans = regexp.MustCompile(`^([^ ]+)\.\.([^ :]+)(.*)$`)

// until has a caller call again, a second after each failure, until there is an answer, or all of ten have failed alike.
func until(n *sim.Network, call caller) string {
	var seen []string
	for range 10 {
		seen = append(seen, see(n, call, time.Hour, "x"))
		if !strings.Contains(seen[len(seen)-1], ":") {
			return strings.Join(seen, "; ")
		}
		time.Sleep(time.Second)
	}
	return strings.Join(slices.Compact(seen), "; ") + ", always"
}

func TestNamedProtocols(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			var saw sights
			// story runs in a bubble of its own, with a client that has made two calls.
			story := func(act func(w *namedWorld)) {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					w := &namedWorld{Network: n, server: n.Host("server"), phone: n.Host("phone")}
					w.link = n.Link(w.server, w.phone, netem.Config{Delay: transit})
					p.serve(t, n, w.server, w.work)
					time.Sleep(ms)
					w.call = p.dial(t, n, w.phone)
					saw.first = see(n, w.call, time.Hour, "x")
					saw.next = see(n, w.call, time.Hour, "x")
					act(w)
				}, sim.MayDiffer("the libraries' goroutines write to one connection"))
			}
			story(func(w *namedWorld) {
				w.link.Down()
				w.After(30*time.Second, w.link.Up)
				saw.outage = see(w.Network, w.call, time.Hour, "x")
			})
			story(func(w *namedWorld) {
				w.link.Down()
				w.After(30*time.Second, w.link.Up)
				saw.deadline = see(w.Network, w.call, 5*time.Second, "x")
				time.Sleep(time.Minute)
				saw.after = until(w.Network, w.call)
			})
			story(func(w *namedWorld) {
				before := w.executed.Load()
				w.After(500*ms, w.server.Restart)
				saw.restart = see(w.Network, w.call, time.Hour, "slow")
				time.Sleep(time.Second)
				saw.restart += fmt.Sprintf(", executed %d", w.executed.Load()-before)
				saw.restarted = until(w.Network, w.call)
			})
			story(func(w *namedWorld) {
				w.After(time.Second, w.server.Restart)
				time.Sleep(3 * time.Second)
				saw.idle = until(w.Network, w.call)
			})
			story(func(w *namedWorld) {
				w.link.Set(netem.Config{Delay: transit, Rate: netem.Mbit})
				beside := make(chan string)
				go func() {
					time.Sleep(time.Microsecond)
					beside <- see(w.Network, w.call, time.Hour, "x")
				}()
				saw.slow = see(w.Network, w.call, time.Hour, strings.Repeat("x", p.big))
				saw.beside = <-beside
			})
			want, seen := reflect.ValueOf(p.want), reflect.ValueOf(saw)
			for i := range want.NumField() {
				assert.Truef(t, matches(t, want.Field(i).String(), seen.Field(i).String()),
					"%s: %s, want %s", want.Type().Field(i).Name, seen.Field(i), want.Field(i))
			}
		})
	}
}

// namedWorld is a server, a phone 40 ms away, and a caller on it.
type namedWorld struct {
	*sim.Network
	server, phone *sim.Host
	link          *sim.Link
	call          caller
	executed      atomic.Int64
}

// work is what the server does for a call.
func (w *namedWorld) work(text string) {
	w.executed.Add(1)
	switch {
	case text == "slow":
		time.Sleep(time.Second)
	case len(text) > 1000:
		time.Sleep(10 * ms) // so that it is no matter of chance which of two answers is first, whose requests came in one segment
	}
}

// waits has a caller who can do no more than to stop waiting do that.
func waits(ctx context.Context, call func() error) error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// process runs a server on a port of a host, for as long as that is up.
func process(h *sim.Host, name, addr string, serve func(ctx context.Context, l *sim.TCPListener) error) {
	h.Run(name, func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", addr)
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { l.Close() })()
		serve(ctx, l.(*sim.TCPListener))
		<-ctx.Done()
		return nil
	})
}
