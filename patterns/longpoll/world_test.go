package longpoll_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/sim"
)

const (
	epoch = 0xe9
	url   = "http://server/events"
)

func at(offset uint64) eventlog.Cursor { return eventlog.Cursor{Epoch: epoch, Offset: offset} }

func memory() eventlog.Log { return eventlog.NewMemory(eventlog.Options{Epoch: epoch}) }

// world is one network: a server, and a host with HTTP clients of it.
type world struct {
	*testing.T
	net    *sim.Network
	phone  *sim.Host
	link   *sim.Link
	delay  time.Duration // of the link, each way
	server *http.Server
	http   *http.Client
	dials  atomic.Int64
}

// atOneInstant is why two runs of a test may differ.
const atOneInstant = "several clients or publishers act at one instant, in the order that the runtime likes"

// inWorld runs f on a network, with a link of the given delay to the server.
func inWorld(t *testing.T, delay time.Duration, f func(w *world), opts ...sim.Option) {
	t.Helper()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := &world{T: t, net: n, phone: n.Host("phone"), delay: delay}
		w.link = n.Link(w.phone, n.Host("server"), netem.Config{Delay: delay})
		t.Cleanup(func() {
			w.link.Up()
			if w.server != nil {
				time.Sleep(time.Microsecond) // the clients have ended
				w.server.Close()
			}
		})
		w.http = w.client()
		f(w)
		time.Sleep(time.Microsecond) // what f has closed answers polls
	}, opts...)
}

// fresh is a server with the same settings: each seed has one of its own.
func fresh(settings *longpoll.Server) *longpoll.Server {
	s := new(longpoll.Server)
	from, to := reflect.ValueOf(settings).Elem(), reflect.ValueOf(s).Elem()
	for i := range from.NumField() {
		if from.Type().Field(i).IsExported() {
			to.Field(i).Set(from.Field(i))
		}
	}
	return s
}

// serve starts a server; the one before must have ended.
func (w *world) serve(h http.Handler) { w.serveProtocols(h, nil) }

func (w *world) serveProtocols(h http.Handler, p *http.Protocols) {
	l, err := w.net.Host("server").Listen("tcp", ":80")
	require.NoError(w, err)
	w.server = &http.Server{Handler: h, Protocols: p}
	go w.server.Serve(l)
	settle()
}

// client is an HTTP client with connections of its own.
func (w *world) client() *http.Client {
	c := w.phone.HTTPClient()
	tr := c.Transport.(*http.Transport)
	dial := tr.DialContext
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		w.dials.Add(1)
		return dial(ctx, network, addr)
	}
	w.Cleanup(tr.CloseIdleConnections)
	return c
}

// elapsed is the time since the beginning.
func (w *world) elapsed() time.Duration { return exact(w.net.Elapsed()) }

// exact leaves out the microseconds that are the helpers' own: see settle. On the network, too, what
// wakes at one instant does so some nanoseconds apart.
func exact(d time.Duration) time.Duration { return d.Round(time.Millisecond / 10) }

// response is one answer as seen on the wire.
type response struct {
	Status int
	Header http.Header
	Body   string
	Cursor eventlog.Cursor  `json:"cursor"`
	Events []eventlog.Entry `json:"events"`
	Reset  eventlog.Reason  `json:"reset"`
	After  time.Duration    // since the request
}

func (r response) data() (out []string) {
	for _, e := range r.Events {
		out = append(out, string(e.Data))
	}
	return out
}

func (w *world) get(ctx context.Context, query string) (response, error) {
	start := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"?"+query, nil)
	require.NoError(w, err)
	resp, err := w.http.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	r := response{Status: resp.StatusCode, Header: resp.Header, Body: string(body), After: exact(time.Since(start))}
	if resp.Header.Get("Content-Type") == "application/json" {
		require.NoError(w, json.Unmarshal(body, &r))
	}
	return r, err
}

// poll polls and expects an answer.
func (w *world) poll(query string, args ...any) response {
	w.Helper()
	r, err := w.get(w.Context(), fmt.Sprintf(query, args...))
	require.NoError(w, err)
	time.Sleep(1) // net/http takes the connection back meanwhile, or the next request may dial anew
	return r
}

// parked polls in the background, and returns when the poll has reached the server.
func (w *world) parked(query string, args ...any) <-chan response {
	done := make(chan response, 1)
	go func() {
		r, err := w.get(w.Context(), fmt.Sprintf(query, args...))
		if err == nil {
			done <- r
		}
		close(done)
	}()
	settle()
	return done
}

// settle waits until all that can happen now has happened, on a link without delay.
func settle() { time.Sleep(10 * time.Microsecond) }

// settled returns the counters of a feed or a log when everyone is done. An
// answer is with its client before its handler has counted it.
func settled[S any](of interface{ Stats() S }) S {
	settle()
	return of.Stats()
}

// publish makes one event per word, of topic "t", a nanosecond apart: how many events of one instant an answer has is the runtime's choice.
func publish(t require.TestingT, f interface {
	Publish(context.Context, string, []byte) (eventlog.Cursor, error)
}, data ...string) {
	for _, d := range data {
		_, err := f.Publish(context.Background(), "t", []byte(d))
		require.NoError(t, err)
		time.Sleep(1)
	}
}
