package squall_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

// http2Races is why two runs over HTTP/2 may differ.
const http2Races = "the goroutines of an HTTP/2 connection of net/http race each other to write to it"

// The failures of streaming. What rows share stands in scenarios_stream_help_test.go,
// and what they put in the way in scenarios_stream_path_test.go.
var streamScenarios = []scenario{
	// Streaming: bytes that come in pieces, and pieces that do not come.
	{name: "ST-01 a stream of ten events is cut after each byte", reason: "wherever it is cut, the next stream continues it",
		story: func(t *testing.T, n *sim.Network) {
			srv := newStream(&stream.Server{Retry: -1})
			want := []string{"e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "e10"}
			publishTo(srv, want...)
			var cut, sent atomic.Int64 // bytes: after which to cut, and that were sent
			cut.Store(1 << 20)
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				srv.Handler().ServeHTTP(&cutWriter{w, int(cut.Load()), &sent}, r)
			}))
			receive(n, "phone", &stream.Client{})
			time.Sleep(s)
			for i := range sent.Load() {
				cut.Store(i)
				c := receive(n, fmt.Sprint("phone", i), &stream.Client{})
				time.Sleep(s)
				cut.Store(1 << 20)
				time.Sleep(4 * s)
				require.Equal(t, want, c.got(), "cut after byte %d", i)
				require.Len(t, c.failures(), 1, "cut after byte %d", i)
				require.Empty(t, c.resets())
				c.host.Crash()
			}
		}},
	{name: "ST-02 a cut between the data and the blank line", reason: "half an event is none, and comes again as a whole (Mozilla 710546)",
		story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, says("id: 1\ndata: a\n\nid: 2\ndata: b\n"), hangs("id: 2\ndata: b\n\n"))
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(10 * s)
			require.Equal(t, []string{"a", "b"}, c.got())
			require.Equal(t, []string{"", "1"}, site.ids())
		}},
	{name: "ST-03 packets that end between CR and LF", reason: "they are one line end also then",
		story: bytesOf("data: a\r", "\n\r", "\n", "data: b\r", "\ndata: c\r", "\n", "\r", "\n")("a", "b\nc")},
	{name: "ST-04 packets of one byte", reason: "the bytes of one character come apart",
		story: bytesOf(strings.Split("data: höher 파도 🌊\n\ndata: x\n\n", "")...)("höher 파도 🌊", "x")},
	{name: "ST-04 and of one byte of a character", reason: "strings.Split does not cut those",
		story: bytesOf("data: \xf0", "\x9f", "\x8c", "\x8a\n", "\n")("🌊")},
	{name: "ST-05 a byte order mark", reason: "one at the beginning is none of the data", story: bytesOf("\ufeffdata: a\n\n")("a")},
	{name: "ST-05 a byte order mark in three packets", reason: "nor then", story: bytesOf("\xef", "\xbb", "\xbfdata: a\n\n")("a")},
	{name: "ST-05 a second byte order mark", reason: "is the name of a field that nobody knows", story: bytesOf("\ufeff\ufeffdata: a\n\n", "data: b\n\n\ufeffdata: c\n\n")("b")},
	{name: "ST-06 IDs with NUL, and empty ones", reason: "the first are ignored, the second take the position away",
		story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, says("id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\n"), says("id\ndata: c\n\n"), hangs(""))
			receive(n, "phone", &stream.Client{})
			time.Sleep(20 * s)
			require.Equal(t, []string{"", "1", ""}, site.ids())
		}},
	{name: "ST-07 reconnection times", reason: "only digits count",
		story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, says("retry: 1000x\ndata: a\n\n"), says("retry:\ndata: a\n\n"), says("retry: 2000\ndata: a\n\n"), hangs(""))
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(20 * s)
			require.Equal(t, []time.Duration{1500 * ms, 1500 * ms, s}, c.waits(), "half of 3 s, 3 s and 2 s")
			require.Len(t, site.ids(), 4)
		}},
	{name: "ST-08 an event of 5 MiB", reason: "it is delivered, or refused in so many words; a limit of 64 KiB makes it a stall",
		story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{})
			large := strings.Repeat("x", 5<<20)
			publishTo(srv, large)
			c := receive(n, "phone", &stream.Client{})
			limited := receive(n, "tablet", &stream.Client{MaxEvent: 1 << 20})
			time.Sleep(10 * s)
			require.True(t, slices.Equal([]string{large}, c.got()))
			require.ErrorIs(t, limited.ended(), stream.ErrTooLong)
		}},

	// Streaming: answers.
	{name: "ST-09 the stream ends in good order", reason: "the client comes back with its position, and does not start again",
		story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, says("id: 41\ndata: a\n\n"), hangs("id: 42\ndata: b\n\n"))
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(10 * s)
			require.Equal(t, []string{"", "41"}, site.ids())
			require.Equal(t, []string{"a", "b"}, c.got())
			require.EqualValues(t, 1, c.Stats().Ended)
		}},
	{name: "ST-10 204", reason: "means that there is no more", story: answered(204, 1, nil)},
	{name: "ST-10 401", reason: "will be the answer the next time too", story: answered(401, 1, &stream.StatusError{Status: 401})},
	{name: "ST-10 500", reason: "may be another the next time", story: answered(500, 2, nil)},
	{name: "ST-10 a page of HTML", reason: "is what a login page or a proxy answers, and no stream",
		story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>data: a\n\n") })
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(min)
			require.ErrorIs(t, c.ended(), stream.ErrContentType)
			require.Len(t, site.ids(), 1)
			require.Empty(t, c.got())
		}},
	{name: "ST-11 301", reason: "is followed, position and all", story: redirected(301)},
	{name: "ST-11 307", reason: "is followed, position and all", story: redirected(307)},
	{name: "ST-11 301 to nowhere", reason: "it is an error, and no loop", story: answered(301, 1, &stream.StatusError{Status: 301})},

	// Streaming: positions.
	{name: "ST-12 a position older than the log", reason: "the client is told, and begins with the state at a known position",
		story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{
				Log:      eventlog.NewMemory(eventlog.Options{Epoch: 7, MaxEntries: 10}),
				Snapshot: func(*http.Request) ([]byte, error) { return []byte("the sum of all"), nil },
			})
			c := receive(n, "phone", &stream.Client{FromNow: true})
			time.Sleep(s)
			c.link.Down()
			for i := range 100 {
				publishTo(srv, fmt.Sprint("e", i+1))
				time.Sleep(1)
			}
			time.Sleep(20 * min)
			c.link.Up()
			time.Sleep(2 * min)
			publishTo(srv, "e101")
			time.Sleep(transit)
			// The first ten had gone into the connection that died: nobody knows.
			require.Equal(t, []stream.Reset{{Reason: stream.ReasonCompacted, ID: "7-100", Snapshot: []byte("the sum of all")}}, c.resets())
			require.Equal(t, []string{"e101"}, c.got())
		}},
	{name: "ST-13 the server restarts and counts from 1 again", reason: "IDs of two lives must not be taken for each other",
		system: streamed, play: restart},
	{name: "ST-13 the server restarts with its store", reason: "and what it accepted is still there", system: streamedWithStore, play: restart},
	{name: "ST-13 the server restarts while the client is away", reason: "the position outlives both", system: streamedWithStore, play: restartAway},
	{name: "ST-14 cuts between events", reason: "what comes again begins after the last ID, not with it",
		system: streamed, play: func(w *world) { cut(w, w.Client("phone"), w.Server) }},
	{name: "ST-14 cuts in the other direction", reason: "the server must not count on hearing from its client",
		system: streamed, play: func(w *world) { c := w.Client("phone"); cut(w, c, c.Host) }},

	// Streaming: silence and delay.
	{name: "ST-15 a connection that is half open", reason: "three heartbeats of silence are enough",
		story: func(t *testing.T, n *sim.Network) {
			serveStream(n, &stream.Server{})
			c := receive(n, "phone", &stream.Client{})
			n.After(40*s, n.Host("server").PowerOff)
			n.After(76*s, n.Host("server").Restart)
			time.Sleep(2 * min)
			// Connecting takes 80 ms, the request 40 ms more; the second heartbeat is sent
			// at 30.12 s and arrives 40 ms later. Then 45 s of silence.
			require.Equal(t, []time.Duration{30*s + 160*ms + 45*s}, c.failedAt())
			require.ErrorIs(t, c.causes()[0], stream.ErrSilent)
			require.EqualValues(t, 2, c.Stats().Opened)
		}},
	{name: "ST-16 a reverse proxy as it comes", reason: "a stream is a response: httputil.ReverseProxy passes it on, and its end too",
		story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{}, &stream.Server{})
			publishTo(srv, "e1")
			time.Sleep(2*40*ms + 1)
			require.Equal(t, []string{"e1"}, c.got(), "two links")
			n.Host("proxy").Restart()
			publishTo(srv, "e2")
			time.Sleep(10 * s)
			require.Equal(t, []string{"e1", "e2"}, c.got())
			require.Equal(t, 1, srv.Stats().Streams)
		}},
	{name: "ST-16 a proxy that buffers until the end", reason: "an unbounded delay must not look like a quiet day",
		story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{buffer: 1 << 30}, &stream.Server{})
			publishTo(srv, "e1")
			time.Sleep(5 * min)
			require.Empty(t, c.got())
			require.GreaterOrEqual(t, c.Stats().Silent, int64(4))
			require.Contains(t, c.failures()[0], "a proxy that buffers")
		}},
	{name: "ST-16 a proxy that buffers 4 KiB and can be asked not to", reason: "X-Accel-Buffering: no (nginx)",
		story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{buffer: 4 << 10, polite: true}, &stream.Server{})
			publishTo(srv, "e1")
			time.Sleep(2*40*ms + 1)
			require.Equal(t, []string{"e1"}, c.got(), "two links")
		}},
	{name: "ST-16 a proxy that buffers 4 KiB whatever it is asked", reason: "then its buffer must be filled",
		story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{buffer: 4 << 10}, &stream.Server{Padding: 8 << 10})
			publishTo(srv, "e1")
			time.Sleep(s)
			require.Equal(t, []string{"e1"}, c.got())
			require.Empty(t, c.failures())
		}},
	{name: "ST-17 a proxy that compresses without flushing", reason: "no-transform forbids it",
		story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{gzip: true, polite: true}, &stream.Server{})
			publishTo(srv, "e1")
			time.Sleep(2*40*ms + 1)
			require.Equal(t, []string{"e1"}, c.got())
		}},
	{name: "ST-17 a proxy that compresses whatever it is told", reason: "its compressor holds the events back: that is silence",
		story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{gzip: true}, &stream.Server{})
			publishTo(srv, "e1")
			time.Sleep(2 * min)
			require.Empty(t, c.got())
			require.NotZero(t, c.Stats().Silent)
		}},
	{name: "ST-18 the server's WriteTimeout is 30 s", reason: "it is for answers; a stream would be deaf after it (golang/go#16100)",
		story: func(t *testing.T, n *sim.Network) {
			srv := newStream(&stream.Server{})
			serveBy(n, &http.Server{Handler: srv.Handler(), ReadTimeout: 30 * s, WriteTimeout: 30 * s, IdleTimeout: 30 * s})
			c := receive(n, "phone", &stream.Client{})
			var want []string
			for i := range 30 {
				want = append(want, fmt.Sprint("e", i))
				publishTo(srv, want[i])
				time.Sleep(20 * s)
			}
			require.Equal(t, want, c.got())
			require.Empty(t, c.failures())
		}},
	{name: "ST-19 one dead client among 1000", reason: "nobody waits for it (one that wrote to them in turn would, for as long as TCP holds out)",
		story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{})
			dead := receive(n, "dead", &stream.Client{})
			var all []*streamee
			for i := range 999 {
				all = append(all, receive(n, fmt.Sprint("phone", i), &stream.Client{Topics: []string{"news"}}))
			}
			time.Sleep(s)
			dead.link.Down()
			for range 100 { // 10 MB for the dead one: more than its connection takes
				srv.Publish("pictures", make([]byte, 100_000))
			}
			for range 2 {
				publishTo(srv, "hear")
				time.Sleep(40*ms + 1000) // those that wake at one instant are a nanosecond apart
				for _, c := range all {
					require.Equal(t, []string{"hear"}, c.take(), "at once")
				}
			}
			require.Equal(t, 1000, srv.Stats().Streams)
			require.NotZero(t, srv.Stats().Held, "the dead one's stream is stuck")
		}},
	{name: "ST-20 a client that does not read for an hour", reason: "it costs a page of the log, and then nothing",
		story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{})
			c := receive(n, "phone", &stream.Client{FromNow: true})
			time.Sleep(s)
			c.host.Pause()
			for i := range 400 { // 8 MB: more than sockets take
				publishTo(srv, fmt.Sprint(i, strings.Repeat(".", 20_000)))
				require.Less(t, srv.Stats().Held, 100_000)
				time.Sleep(50 * ms)
			}
			time.Sleep(time.Hour)
			require.Zero(t, srv.Stats().Streams)
			require.EqualValues(t, 1, srv.Stats().Slow)
			c.host.Resume()
			time.Sleep(min)
			require.Len(t, c.got(), 400)
			require.Empty(t, c.resets())
		}},

	// Streaming: connections.
	{name: "ST-21 six streams over HTTP/1.1 and one more request", reason: "browsers give a host six connections: it waits for ever",
		story: func(t *testing.T, n *sim.Network) {
			require.ErrorIs(t, seventh(n, 6, http1), context.DeadlineExceeded)
			require.Equal(t, s+time.Hour, n.Elapsed())
		}},
	{name: "ST-21 six streams over HTTP/2 and one more request", reason: "they share a connection, and it goes through in a round trip",
		races: http2Races,
		story: func(t *testing.T, n *sim.Network) {
			require.NoError(t, seventh(n, 6, http2))
			require.Equal(t, s+80*ms, n.Elapsed())
		}},
	{name: "ST-21 one stream of six topics and one more request", reason: "so it does over HTTP/1.1, if streams are shared",
		story: func(t *testing.T, n *sim.Network) {
			require.NoError(t, seventh(n, 1, http1))
			require.Equal(t, s+80*ms+80*ms, n.Elapsed(), "on a connection of its own")
		}},
	{name: "ST-22 the 101st stream of a connection that may have 100", reason: "it waits, and the one who waits must learn of it",
		races: http2Races,
		story: func(t *testing.T, n *sim.Network) {
			srv, clients := manyStreams(n, 101, true)
			time.Sleep(50 * s)
			require.Equal(t, 100, srv.Stats().Streams)
			silent := 0
			for _, c := range clients {
				silent += int(c.Stats().Silent)
			}
			require.Equal(t, 1, silent)
		}},
	{name: "ST-22 the 101st stream of a client that may dial again", reason: "net/http's default: it gets another connection",
		races: http2Races,
		story: func(t *testing.T, n *sim.Network) {
			srv, _ := manyStreams(n, 101, false)
			time.Sleep(50 * s)
			require.Equal(t, 101, srv.Stats().Streams)
		}},
	{name: "ST-23 nothing happens after the request", reason: "the headers must not wait for the first event",
		story: func(t *testing.T, n *sim.Network) {
			serveStream(n, &stream.Server{})
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(10 * s)
			require.Equal(t, []time.Duration{80*ms + 80*ms}, c.positions(), "a round trip after the connection")
		}},
	{name: "ST-24 the server shuts down with streams open", reason: "Shutdown must not wait for what has no end, and clients go on elsewhere",
		story: func(t *testing.T, n *sim.Network) {
			log := eventlog.NewMemory(eventlog.Options{})
			first, second := newStream(&stream.Server{Log: log}), newStream(&stream.Server{Log: log})
			site := n.Host("server").ServeHTTP(":80", first.Handler())
			site.RegisterOnShutdown(first.Drain)
			c := receive(n, "phone", &stream.Client{})
			publishTo(first, "e1")
			time.Sleep(s)
			before := n.Elapsed()
			require.NoError(t, site.Shutdown(t.Context()))
			require.Less(t, n.Elapsed()-before, s)
			publishTo(second, "e2")
			n.Host("server").ServeHTTP(":80", second.Handler())
			time.Sleep(10 * s)
			require.Equal(t, []string{"e1", "e2"}, c.got())
			require.EqualValues(t, 1, c.Stats().Ended)
			require.Zero(t, first.Stats().Streams)
		}},
	{name: "ST-24 a hundred browsers, and a deployment that takes ten seconds", reason: "an EventSource that is refused with a status never comes back, and one that is told when to come does",
		story: func(t *testing.T, n *sim.Network) {
			second, browsers := deployed(t, n, &stream.Server{Rand: n.Rand("server")})
			for _, b := range browsers {
				require.NoError(t, b.over())
				require.Equal(t, []string{"e1", "e2"}, b.got())
			}
			require.EqualValues(t, 100, second.Stats().Opened)
			// They have come back together, after their reconnection time, and are sent away for
			// 1 to 10 s: 1.1 within 100 ms on average.
			require.LessOrEqual(t, herd(n, 64*s), 7)
		}},
	{name: "ST-24 the same with RefuseWithStatus", reason: "it is for clients that are no browsers",
		story: func(t *testing.T, n *sim.Network) {
			_, browsers := deployed(t, n, &stream.Server{RefuseWithStatus: true})
			for _, b := range browsers {
				require.EqualError(t, b.over(), "503 Service Unavailable")
			}
		}},
	{name: "ST-25 a server that asks for a reconnection time of 0, and 300 clients", reason: "there is a floor and jitter all the same",
		story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{Retry: 1}) // a nanosecond, in milliseconds
			for i := range 300 {
				receive(n, fmt.Sprint("phone", i), &stream.Client{Rand: n.Rand(fmt.Sprint("phone", i))})
			}
			time.Sleep(5 * s)
			at := n.Elapsed()
			n.Host("server").Restart()
			time.Sleep(5 * s)
			require.Equal(t, 300, srv.Stats().Streams)
			require.LessOrEqual(t, herd(n, at), 60, "attempts within 100 ms, of 300 within a second")
		}},
	{name: "ST-26 the client is closed while it waits to connect again", reason: "then it must not",
		story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, says("retry: 20000\ndata: a\n\n"))
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(5 * s)
			c.host.Crash()
			time.Sleep(s)
			require.ErrorIs(t, c.ended(), context.Canceled)
			time.Sleep(time.Hour)
			require.Len(t, site.ids(), 1)
		}},

	// Streaming: what concerns every pattern.
	{name: "X-01 more clients than the server takes, for half a minute", reason: "those that are refused must not keep it busy, and must get in when there is room",
		story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{MaxStreams: 100, Rand: n.Rand("server")})
			var all []*streamee
			for i := range 150 {
				all = append(all, receive(n, fmt.Sprint("phone", i), &stream.Client{Rand: n.Rand(fmt.Sprint("phone", i))}))
			}
			time.Sleep(30 * s)
			require.Equal(t, 100, srv.Stats().Streams)
			// 50 clients come back after 1 to 10 s, and up to 1 s more: 6 s, on average.
			require.Less(t, srv.Stats().Refused, int64(50*30/3))
			left := 0
			for _, c := range all {
				if left < 60 && c.Stats().Opened > 0 {
					c.host.Crash()
					left++
				}
			}
			time.Sleep(12 * s)
			require.Equal(t, 90, srv.Stats().Streams)
		}},
	{name: "X-01 more browsers than the server takes, for half a minute", reason: "none of them may be lost for having come at a bad moment",
		story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{MaxStreams: 20, Rand: n.Rand("server")})
			var all []*browser
			for i := range 30 {
				all = append(all, browse(n, fmt.Sprint("browser", i)))
			}
			time.Sleep(30 * s)
			require.Equal(t, 20, srv.Stats().Streams)
			for _, b := range all[:15] {
				b.host.Crash()
			}
			time.Sleep(12 * s)
			require.Equal(t, 15, srv.Stats().Streams)
		}},
	{name: "X-03 the server hears the client, and not the other way round", reason: "the client finds out, and nothing is lost", system: streamed,
		play: func(w *world) {
			c := w.Client("phone")
			w.After(5*s, func() { w.Net.PartitionOneWay([]*sim.Host{w.Server}, []*sim.Host{c.Host}) })
			w.After(5*s+5*min, w.Net.Heal)
			w.PublishEvery(10*s, 60)
		}},
	{name: "X-04 the client is frozen for a minute", reason: "the time that passed for others is no silence of theirs, or costs a connection at most", system: streamed,
		play: func(w *world) {
			c := w.Client("phone")
			w.After(5*s, c.Host.Pause)
			w.After(65*s, c.Host.Resume)
			w.PublishEvery(s, 100)
		}},
	{name: "X-08 timeouts that do not fit each other", reason: "a heartbeat must come before anybody gives up on a stream",
		story: func(t *testing.T, n *sim.Network) {
			require.ErrorContains(t, (&stream.Server{Heartbeat: min, ProxyTimeout: min}).Check(), "ProxyTimeout")
			require.ErrorContains(t, (&stream.Client{URL: "http://server/", HTTP: &http.Client{Timeout: 30 * s}}).Check(), "HTTP.Timeout")
		}},
	{name: "X-09 an hour on 64 kbit/s", reason: "a stream of small events costs little more than they do",
		story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{})
			c := receive(n, "phone", &stream.Client{})
			c.link.Set(netem.Config{Delay: 40 * ms, Rate: 64 * netem.Kbit})
			for i := range 360 {
				publishTo(srv, fmt.Sprint("e", i))
				time.Sleep(10 * s)
			}
			require.Len(t, c.got(), 360)
			down, up := carried(n, "server", "phone"), carried(n, "phone", "server")
			require.Less(t, down/360, int64(150), "bytes down for an event, TCP and IP included: %d", down/360)
			require.Less(t, up/360, int64(70), "bytes up for an event: %d", up/360)
		}},
	{name: "X-10 the client comes back from another address", reason: "the position is its own, not its address's",
		story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{})
			publishTo(srv, "e1", "e2")
			home := receive(n, "home", &stream.Client{})
			time.Sleep(s)
			home.host.Crash()
			publishTo(srv, "e3")
			abroad := receive(n, "abroad", &stream.Client{LastEventID: home.id()})
			time.Sleep(s)
			require.Equal(t, []string{"e1", "e2"}, home.got())
			require.Equal(t, []string{"e3"}, abroad.got())
		}},
	{name: "X-11 refused, reset and unanswered", reason: "three failures that are not the same, and all are retried",
		story: func(t *testing.T, n *sim.Network) {
			server := n.Host("server")
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(s) // nobody listens
			serveStream(n, &stream.Server{})
			time.Sleep(5 * s)
			server.Crash()
			time.Sleep(s)
			server.PowerOff()
			c.link.Down()
			time.Sleep(2 * min)
			causes := c.causes()
			require.ErrorIs(t, causes[0], syscall.ECONNREFUSED)
			require.ErrorIs(t, causes[1], syscall.ECONNRESET)
			require.True(t, slices.ContainsFunc(causes[2:], func(err error) bool { return errors.Is(err, stream.ErrSilent) }))
			require.NoError(t, c.ended())
		}},

	// Streaming: outages of all lengths.
	{name: "an outage shorter than the client's patience, streamed", reason: "TCP bridges it", system: streamed, play: outage(5 * s)},
	{name: "an outage of a minute, streamed", reason: "the client gives the connection up in it", system: streamed, play: outage(65 * s)},
	{name: "an outage of an hour, streamed", reason: "longer than TCP holds out", system: streamed, play: outage(time.Hour)},
	{name: "a lossy link, streamed", reason: "loss is delay", system: streamed, play: lossy},
	{name: "a lossy link, streamed as lines of JSON", reason: "the same, in another encoding", system: streamedAs(stream.NDJSON), play: lossy},
	{name: "a lossy link, streamed over a WebSocket", reason: "the same, in another encoding", system: streamedAs(stream.WebSocket), play: lossy},
}

func streamed(n *sim.Network) patterntest.System { return streaming(n, inMemory) }
func streamedWithStore(n *sim.Network) patterntest.System {
	return durable(streaming(n, onDisk))
}
func streamedAs(e stream.Encoding) patterntest.NewSystem {
	return func(n *sim.Network) patterntest.System { return streamingAs(e)(n, inMemory) }
}
