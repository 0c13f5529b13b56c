package stream_test

import (
	"context"
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

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// http2Races is why two runs over HTTP/2 may differ.
const http2Races = "the goroutines of an HTTP/2 connection of net/http race each other to write to it"

// The failures of streaming. What rows share stands in help_test.go, and what they put in
// the way in path_test.go.
var scenarios = []scenario.Row{
	// Streaming: bytes that come in pieces, and pieces that do not come.
	{Name: "ST-01 a stream of ten events is cut after each byte", Reason: "wherever it is cut, the next stream continues it",
		Story: func(t *testing.T, n *sim.Network) {
			srv := newStream(&stream.Server{Retry: -1})
			want := []string{"e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "e10"}
			publishTo(srv, want...)
			var cut, sent atomic.Int64 // bytes: after which to cut, and that were sent
			cut.Store(1 << 20)
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				srv.Handler().ServeHTTP(&cutWriter{w, int(cut.Load()), &sent}, r)
			}))
			receive(n, "phone", &stream.Client{})
			time.Sleep(time.Second)
			for i := range sent.Load() {
				cut.Store(i)
				c := receive(n, fmt.Sprint("phone", i), &stream.Client{})
				time.Sleep(time.Second)
				cut.Store(1 << 20)
				time.Sleep(4 * time.Second)
				require.Equal(t, want, c.got(), "cut after byte %d", i)
				require.Len(t, c.failures(), 1, "cut after byte %d", i)
				require.Empty(t, c.resets())
				c.host.Crash()
			}
		}},
	{Name: "ST-02 a cut between the data and the blank line", Reason: "an incomplete event is dropped, and sent again as a whole (Mozilla 710546)",
		Story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, says("id: 1\ndata: a\n\nid: 2\ndata: b\n"), hangs("id: 2\ndata: b\n\n"))
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(10 * time.Second)
			require.Equal(t, []string{"a", "b"}, c.got())
			require.Equal(t, []string{"", "1"}, site.ids())
		}},
	{Name: "ST-03 packets that end between CR and LF", Reason: "a CR LF split over two packets is still one line end",
		Story: bytesOf("data: a\r", "\n\r", "\n", "data: b\r", "\ndata: c\r", "\n", "\r", "\n")("a", "b\nc")},
	{Name: "ST-04 packets of one byte", Reason: "the bytes of one character arrive separately",
		Story: bytesOf(strings.Split("data: höher 파도 🌊\n\ndata: x\n\n", "")...)("höher 파도 🌊", "x")},
	{Name: "ST-04 and of one byte of a character", Reason: "strings.Split does not split within a character",
		Story: bytesOf("data: \xf0", "\x9f", "\x8c", "\x8a\n", "\n")("🌊")},
	{Name: "ST-05 a byte order mark", Reason: "one at the beginning is not part of the data", Story: bytesOf("\ufeffdata: a\n\n")("a")},
	{Name: "ST-05 a byte order mark in three packets", Reason: "split over packets, it is still not part of the data", Story: bytesOf("\xef", "\xbb", "\xbfdata: a\n\n")("a")},
	{Name: "ST-05 a second byte order mark", Reason: "it becomes part of an unknown field name", Story: bytesOf("\ufeff\ufeffdata: a\n\n", "data: b\n\n\ufeffdata: c\n\n")("b")},
	{Name: "ST-06 IDs with NUL, and empty ones", Reason: "IDs with NUL are ignored, and an empty ID resets the position",
		Story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, says("id: 1\ndata: a\n\nid: 2\x00\ndata: b\n\n"), says("id\ndata: c\n\n"), hangs(""))
			receive(n, "phone", &stream.Client{})
			time.Sleep(20 * time.Second)
			require.Equal(t, []string{"", "1", ""}, site.ids())
		}},
	{Name: "ST-07 reconnection times", Reason: "only digits are accepted",
		Story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, says("retry: 1000x\ndata: a\n\n"), says("retry:\ndata: a\n\n"), says("retry: 2000\ndata: a\n\n"), hangs(""))
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(20 * time.Second)
			require.Equal(t, []time.Duration{3 * time.Second, 3 * time.Second, 2 * time.Second}, c.waits())
			require.Len(t, site.ids(), 4)
		}},
	{Name: "ST-08 an event of 5 MiB", Reason: "it is delivered, or refused with an error; a limit of 64 KiB makes it a stall",
		Story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{})
			large := strings.Repeat("x", 5<<20)
			publishTo(srv, large)
			c := receive(n, "phone", &stream.Client{})
			limited := receive(n, "tablet", &stream.Client{MaxMessageBytes: 1 << 20})
			time.Sleep(10 * time.Second)
			require.True(t, slices.Equal([]string{large}, c.got()))
			require.ErrorIs(t, limited.ended(), eventlog.ErrTooLarge)
		}},

	// Streaming: answers.
	{Name: "ST-09 the stream ends in good order", Reason: "the client reconnects with its position, and does not start again",
		Story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, says("id: 41\ndata: a\n\n"), hangs("id: 42\ndata: b\n\n"))
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(10 * time.Second)
			require.Equal(t, []string{"", "41"}, site.ids())
			require.Equal(t, []string{"a", "b"}, c.got())
			require.EqualValues(t, 1, c.Stats().Ended)
		}},
	{Name: "ST-10 204", Reason: "means that there is no more", Story: answered(204, 1, "")},
	{Name: "ST-10 401", Reason: "a retry would get the same answer", Story: answered(401, 1, "stream: server answered 401 Unauthorized")},
	{Name: "ST-10 500", Reason: "a retry can get another answer", Story: answered(500, 2, "")},
	{Name: "ST-10 a page of HTML", Reason: "a login page or a proxy sends it, and it is not a stream",
		Story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>data: a\n\n") })
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(time.Minute)
			require.ErrorIs(t, c.ended(), stream.ErrContentType)
			require.Len(t, site.ids(), 1)
			require.Empty(t, c.got())
		}},
	{Name: "ST-11 301", Reason: "is followed, with the position", Story: redirected(301)},
	{Name: "ST-11 307", Reason: "is followed, with the position", Story: redirected(307)},
	{Name: "ST-11 301 to nowhere", Reason: "it is an error, and must not loop", Story: answered(301, 1, "stream: server answered 301 Moved Permanently")},

	// Streaming: positions.
	{Name: "ST-12 a position older than the log", Reason: "the client is notified, and begins with the state at a known position",
		Story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{
				Log:      eventlog.NewMemory(eventlog.Options{Epoch: 7, MaxEntries: 10}),
				Snapshot: func(*http.Request) ([]byte, error) { return []byte("the sum of all"), nil },
			})
			c := receive(n, "phone", &stream.Client{FromNow: true})
			time.Sleep(time.Second)
			c.link.Down()
			for i := range 100 {
				publishTo(srv, fmt.Sprint("e", i+1))
				time.Sleep(1)
			}
			time.Sleep(20 * time.Minute)
			c.link.Up()
			time.Sleep(2 * time.Minute)
			publishTo(srv, "e101")
			time.Sleep(scenario.Transit)
			// The first ten had gone into the connection that died: nobody knows.
			require.Equal(t, []stream.Reset{{Reason: eventlog.ReasonCompacted, ID: "7-100", Snapshot: []byte("the sum of all")}}, c.resets())
			require.Equal(t, []string{"e101"}, c.got())
		}},
	{Name: "ST-13 the server restarts and counts from 1 again", Reason: "IDs of the two runs must not be confused",
		Story: scenario.Contract(streamed, scenario.Restart)},
	{Name: "ST-13 the server restarts with its store", Reason: "everything that it accepted is still there", Story: scenario.Contract(streamedWithStore, scenario.Restart)},
	{Name: "ST-13 the server restarts while the client is away", Reason: "the position is valid after both the restart and the absence", Story: scenario.Contract(streamedWithStore, scenario.RestartAway)},
	{Name: "ST-14 cuts between events", Reason: "the next stream begins after the last ID, not with it",
		Story: scenario.Contract(streamed, func(w *patterntest.World) { scenario.Cut(w, w.Client("phone"), w.Server) })},
	{Name: "ST-14 cuts in the other direction", Reason: "the server must not depend on hearing from its client",
		Story: scenario.Contract(streamed, func(w *patterntest.World) { c := w.Client("phone"); scenario.Cut(w, c, c.Host) })},

	// Streaming: silence and delay.
	{Name: "ST-15 a connection that is half open", Reason: "three heartbeats of silence are enough",
		Story: func(t *testing.T, n *sim.Network) {
			serveStream(n, &stream.Server{})
			c := receive(n, "phone", &stream.Client{})
			n.After(40*time.Second, n.Host("server").PowerOff)
			n.After(76*time.Second, n.Host("server").Restart)
			time.Sleep(2 * time.Minute)
			// Connecting takes 80 ms, the request 40 ms more; the second heartbeat is sent
			// at 30.12 s and arrives 40 ms later. Then 45 s of silence.
			require.Equal(t, []time.Duration{30*time.Second + 160*time.Millisecond + 45*time.Second}, c.failedAt())
			require.ErrorIs(t, c.causes()[0], stream.ErrSilent)
			require.EqualValues(t, 2, c.Stats().Opened)
		}},
	{Name: "ST-16 a reverse proxy as it comes", Reason: "a stream is an ordinary response: httputil.ReverseProxy passes it on, and its end too",
		Story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{}, &stream.Server{})
			publishTo(srv, "e1")
			time.Sleep(2*40*time.Millisecond + 1)
			require.Equal(t, []string{"e1"}, c.got(), "two links")
			n.Host("proxy").Restart()
			publishTo(srv, "e2")
			time.Sleep(10 * time.Second)
			require.Equal(t, []string{"e1", "e2"}, c.got())
			require.EqualValues(t, 1, srv.Stats().Streams)
		}},
	{Name: "ST-16 a proxy that buffers until the end", Reason: "an unlimited delay must not look like a quiet day",
		Story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{buffer: 1 << 30}, &stream.Server{})
			publishTo(srv, "e1")
			time.Sleep(5 * time.Minute)
			require.Empty(t, c.got())
			require.GreaterOrEqual(t, c.Stats().Silent, int64(4))
			require.Contains(t, c.failures()[0], "a proxy that buffers")
		}},
	{Name: "ST-16 a proxy that buffers 4 KiB and can be asked not to", Reason: "X-Accel-Buffering: no turns it off (nginx)",
		Story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{buffer: 4 << 10, polite: true}, &stream.Server{})
			publishTo(srv, "e1")
			time.Sleep(2*40*time.Millisecond + 1)
			require.Equal(t, []string{"e1"}, c.got(), "two links")
		}},
	{Name: "ST-16 a proxy that buffers 4 KiB whatever it is asked", Reason: "padding must fill its buffer",
		Story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{buffer: 4 << 10}, &stream.Server{Padding: 8 << 10})
			publishTo(srv, "e1")
			time.Sleep(time.Second)
			require.Equal(t, []string{"e1"}, c.got())
			require.Empty(t, c.failures())
		}},
	{Name: "ST-17 a proxy that compresses without flushing", Reason: "no-transform forbids compression",
		Story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{gzip: true, polite: true}, &stream.Server{})
			publishTo(srv, "e1")
			time.Sleep(2*40*time.Millisecond + 1)
			require.Equal(t, []string{"e1"}, c.got())
		}},
	{Name: "ST-17 a proxy that compresses whatever it is told", Reason: "its compressor holds the events back, which the client sees as silence",
		Story: func(t *testing.T, n *sim.Network) {
			srv, c := throughProxy(n, proxyOptions{gzip: true}, &stream.Server{})
			publishTo(srv, "e1")
			time.Sleep(2 * time.Minute)
			require.Empty(t, c.got())
			require.NotZero(t, c.Stats().Silent)
		}},
	{Name: "ST-18 the server's WriteTimeout is 30 s", Reason: "it is meant for ordinary answers, and would end every stream (golang/go#16100)",
		Story: func(t *testing.T, n *sim.Network) {
			srv := newStream(&stream.Server{})
			serveBy(n, &http.Server{Handler: srv.Handler(), ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second})
			c := receive(n, "phone", &stream.Client{})
			var want []string
			for i := range 30 {
				want = append(want, fmt.Sprint("e", i))
				publishTo(srv, want[i])
				time.Sleep(20 * time.Second)
			}
			require.Equal(t, want, c.got())
			require.Empty(t, c.failures())
		}},
	{Name: "ST-19 one dead client among 1000", Reason: "it delays nobody (a server that writes to clients in turn would wait for as long as TCP keeps trying)",
		Story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{})
			dead := receive(n, "dead", &stream.Client{})
			var all []*streamee
			for i := range 999 {
				all = append(all, receive(n, fmt.Sprint("phone", i), &stream.Client{Topics: []string{"news"}}))
			}
			time.Sleep(time.Second)
			dead.link.Down()
			for range 100 { // 10 MB for the dead one: more than its connection takes
				srv.Publish(context.Background(), "pictures", make([]byte, 100_000))
				time.Sleep(1)
			}
			for range 2 {
				publishTo(srv, "hear")
				time.Sleep(40*time.Millisecond + 1000) // those that wake at one instant are a nanosecond apart
				for _, c := range all {
					require.Equal(t, []string{"hear"}, c.take(), "at once")
				}
			}
			require.EqualValues(t, 1000, srv.Stats().Streams)
			require.NotZero(t, srv.Stats().Held, "the dead one's stream is stuck")
		}},
	{Name: "ST-20 a client that does not read for an hour", Reason: "it costs one page of the log, and after its disconnection nothing",
		Story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{})
			c := receive(n, "phone", &stream.Client{FromNow: true})
			time.Sleep(time.Second)
			c.host.Pause()
			for i := range 400 { // 8 MB: more than sockets take
				publishTo(srv, fmt.Sprint(i, strings.Repeat(".", 20_000)))
				require.Less(t, srv.Stats().Held, int64(100_000))
				time.Sleep(50 * time.Millisecond)
			}
			time.Sleep(time.Hour)
			require.Zero(t, srv.Stats().Streams)
			require.EqualValues(t, 1, srv.Stats().Slow)
			c.host.Resume()
			time.Sleep(time.Minute)
			require.Len(t, c.got(), 400)
			require.Empty(t, c.resets())
		}},

	// Streaming: connections.
	{Name: "ST-21 six streams over HTTP/1.1 and one more request", Reason: "browsers open six connections to a host: the request waits forever",
		Story: func(t *testing.T, n *sim.Network) {
			require.ErrorIs(t, systems.Seventh(n, 6, systems.HTTP1()), context.DeadlineExceeded)
			require.Equal(t, time.Second+time.Hour, n.Elapsed())
		}},
	{Name: "ST-21 six streams over HTTP/2 and one more request", Reason: "they share a connection, and the request takes one round trip",
		Races: http2Races,
		Story: func(t *testing.T, n *sim.Network) {
			require.NoError(t, systems.Seventh(n, 6, systems.HTTP2()))
			require.Equal(t, time.Second+80*time.Millisecond, n.Elapsed())
		}},
	{Name: "ST-21 one stream of six topics and one more request", Reason: "over HTTP/1.1 too, the request takes one round trip if topics share a stream",
		Story: func(t *testing.T, n *sim.Network) {
			require.NoError(t, systems.Seventh(n, 1, systems.HTTP1()))
			require.Equal(t, time.Second+80*time.Millisecond+80*time.Millisecond, n.Elapsed(), "on a connection of its own")
		}},
	{Name: "ST-22 the 101st stream of a connection that may have 100", Reason: "it waits, and the client must notice that",
		Races: http2Races,
		Story: func(t *testing.T, n *sim.Network) {
			srv, clients := manyStreams(n, 101, true)
			time.Sleep(50 * time.Second)
			require.EqualValues(t, 100, srv.Stats().Streams)
			silent := 0
			for _, c := range clients {
				silent += int(c.Stats().Silent)
			}
			require.Equal(t, 1, silent)
		}},
	{Name: "ST-22 the 101st stream of a client that may dial again", Reason: "net/http's default: it gets another connection",
		Races: http2Races,
		Story: func(t *testing.T, n *sim.Network) {
			srv, _ := manyStreams(n, 101, false)
			time.Sleep(50 * time.Second)
			require.EqualValues(t, 101, srv.Stats().Streams)
		}},
	{Name: "ST-23 nothing happens after the request", Reason: "the headers must not wait for the first event",
		Story: func(t *testing.T, n *sim.Network) {
			serveStream(n, &stream.Server{})
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(10 * time.Second)
			require.Equal(t, []time.Duration{80*time.Millisecond + 80*time.Millisecond}, c.positions(), "a round trip after the connection")
		}},
	{Name: "ST-24 the server shuts down with streams open", Reason: "Shutdown must not wait for endless streams, and clients reconnect elsewhere",
		Story: func(t *testing.T, n *sim.Network) {
			log := eventlog.NewMemory(eventlog.Options{})
			first, second := newStream(&stream.Server{Log: log}), newStream(&stream.Server{Log: log})
			site := n.Host("server").ServeHTTP(":80", first.Handler())
			site.RegisterOnShutdown(func() { first.Drain(context.Background()) })
			c := receive(n, "phone", &stream.Client{})
			publishTo(first, "e1")
			time.Sleep(time.Second)
			before := n.Elapsed()
			require.NoError(t, site.Shutdown(t.Context()))
			require.Less(t, n.Elapsed()-before, time.Second)
			publishTo(second, "e2")
			n.Host("server").ServeHTTP(":80", second.Handler())
			time.Sleep(10 * time.Second)
			require.Equal(t, []string{"e1", "e2"}, c.got())
			require.EqualValues(t, 1, c.Stats().Ended)
			require.Zero(t, first.Stats().Streams)
		}},
	{Name: "ST-24 a hundred browsers, and a deployment that takes ten seconds", Reason: "an EventSource that gets an error status never comes back; one that gets a reconnection time does",
		Story: func(t *testing.T, n *sim.Network) {
			// Without a reconnection time from the server they all come back after that of their own, at one instant.
			second, browsers := deployed(t, n, &stream.Server{Retry: -1, Jitter: retry.Seeded(n.Seed())})
			for _, b := range browsers {
				require.NoError(t, b.over())
				require.Equal(t, []string{"e1", "e2"}, b.got())
			}
			require.EqualValues(t, 100, second.Stats().Opened)
			require.Equal(t, 100, scenario.Herd(n, time.Second))
			// Each is sent away for 1 to 10 s, again until the second server is there: 2.5 within 100 ms on average at most. Of more
			// than 15 (Poisson) there is one in 100,000 seeds.
			require.LessOrEqual(t, scenario.Herd(n, 64*time.Second), 15)
		}},
	{Name: "ST-24 the same with RefuseWithStatus", Reason: "it is for clients other than browsers",
		Story: func(t *testing.T, n *sim.Network) {
			_, browsers := deployed(t, n, &stream.Server{RefuseWithStatus: true})
			for _, b := range browsers {
				require.EqualError(t, b.over(), "503 Service Unavailable")
			}
		}},
	{Name: "ST-25 a server that asks for a reconnection time of 0, and 300 clients", Reason: "clients still have a minimum delay and jitter",
		Story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{Retry: 1}) // a nanosecond, in milliseconds
			for i := range 300 {
				receive(n, fmt.Sprint("phone", i), &stream.Client{Jitter: retry.Seeded(n.Rand(fmt.Sprint("phone", i)).Uint64())})
			}
			time.Sleep(5 * time.Second)
			at := n.Elapsed()
			n.Host("server").Restart()
			time.Sleep(5 * time.Second)
			require.EqualValues(t, 300, srv.Stats().Streams)
			require.LessOrEqual(t, scenario.Herd(n, at), 60, "attempts within 100 ms, of 300 within a second")
		}},
	{Name: "ST-26 the client is closed while it waits to connect again", Reason: "it must not reconnect afterwards",
		Story: func(t *testing.T, n *sim.Network) {
			site := scripted(n, says("retry: 20000\ndata: a\n\n"))
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(5 * time.Second)
			c.host.Crash()
			time.Sleep(time.Second)
			require.ErrorIs(t, c.ended(), context.Canceled)
			time.Sleep(time.Hour)
			require.Len(t, site.ids(), 1)
		}},

	// Streaming: what concerns every pattern.
	{Name: "X-01 more clients than the server takes, for half a minute", Reason: "refused clients must not keep the server busy, and must get in when there is room",
		Story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{MaxClients: 100, Jitter: retry.Seeded(n.Seed())})
			var all []*streamee
			for i := range 150 {
				all = append(all, receive(n, fmt.Sprint("phone", i), &stream.Client{Jitter: retry.Seeded(n.Rand(fmt.Sprint("phone", i)).Uint64())}))
			}
			time.Sleep(30 * time.Second)
			require.EqualValues(t, 100, srv.Stats().Streams)
			// 50 clients come back after 1 to 10 s, and up to 1 s more: 6 s, on average.
			require.Less(t, srv.Stats().Refused, int64(50*30/3))
			left := 0
			for _, c := range all {
				if left < 60 && c.Stats().Opened > 0 {
					c.host.Crash()
					left++
				}
			}
			time.Sleep(12 * time.Second)
			require.EqualValues(t, 90, srv.Stats().Streams)
		}},
	{Name: "X-01 more browsers than the server takes, for half a minute", Reason: "no browser may be lost because it connected at a bad moment",
		Story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{MaxClients: 20, Jitter: retry.Seeded(n.Seed())})
			var all []*browser
			for i := range 30 {
				all = append(all, browse(n, fmt.Sprint("browser", i)))
			}
			time.Sleep(30 * time.Second)
			require.EqualValues(t, 20, srv.Stats().Streams)
			for _, b := range all[:15] {
				b.host.Crash()
			}
			time.Sleep(12 * time.Second)
			require.EqualValues(t, 15, srv.Stats().Streams)
		}},
	{Name: "X-03 the server hears the client, and not the other way round", Reason: "the client detects it, and nothing is lost", Story: scenario.Contract(streamed,
		func(w *patterntest.World) {
			c := w.Client("phone")
			w.After(5*time.Second, func() { w.Net.PartitionOneWay([]*sim.Host{w.Server}, []*sim.Host{c.Host}) })
			w.After(5*time.Second+5*time.Minute, w.Net.Heal)
			w.PublishEvery(10*time.Second, 60)
		})},
	{Name: "X-04 the client is frozen for a minute", Reason: "the time in which it was frozen must not count as the server's silence, or cost at most one connection", Story: scenario.Contract(streamed,
		func(w *patterntest.World) {
			c := w.Client("phone")
			w.After(5*time.Second, c.Host.Pause)
			w.After(65*time.Second, c.Host.Resume)
			w.PublishEvery(time.Second, 100)
		})},
	{Name: "X-08 timeouts that do not fit each other", Reason: "a heartbeat must come before any timeout on the path",
		Story: func(t *testing.T, n *sim.Network) {
			require.ErrorContains(t, (&stream.Server{Heartbeat: time.Minute, ProxyTimeout: time.Minute}).Check(), "ProxyTimeout")
			require.ErrorContains(t, (&stream.Client{URL: "http://server/", HTTP: &http.Client{Timeout: 30 * time.Second}}).Check(), "HTTP.Timeout")
		}},
	{Name: "X-09 an hour on 64 kbit/s", Reason: "a stream of small events costs little more than the events",
		Story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{})
			c := receive(n, "phone", &stream.Client{})
			c.link.Set(netem.Config{Delay: 40 * time.Millisecond, Rate: 64 * netem.Kbit})
			for i := range 360 {
				publishTo(srv, fmt.Sprint("e", i))
				time.Sleep(10 * time.Second)
			}
			require.Len(t, c.got(), 360)
			down, up := carried(n, "server", "phone"), carried(n, "phone", "server")
			require.Less(t, down/360, int64(150), "bytes down for an event, TCP and IP included: %d", down/360)
			require.Less(t, up/360, int64(70), "bytes up for an event: %d", up/360)
		}},
	{Name: "X-10 the client comes back from another address", Reason: "the position belongs to the client, not to its address",
		Story: func(t *testing.T, n *sim.Network) {
			srv := serveStream(n, &stream.Server{})
			publishTo(srv, "e1", "e2")
			home := receive(n, "home", &stream.Client{})
			time.Sleep(time.Second)
			home.host.Crash()
			publishTo(srv, "e3")
			abroad := receive(n, "abroad", &stream.Client{LastEventID: home.id()})
			time.Sleep(time.Second)
			require.Equal(t, []string{"e1", "e2"}, home.got())
			require.Equal(t, []string{"e3"}, abroad.got())
		}},
	{Name: "X-11 refused, reset and unanswered", Reason: "three different failures, all of which are retried",
		Story: func(t *testing.T, n *sim.Network) {
			server := n.Host("server")
			c := receive(n, "phone", &stream.Client{})
			time.Sleep(time.Second) // nobody listens
			serveStream(n, &stream.Server{})
			time.Sleep(5 * time.Second)
			server.Crash()
			time.Sleep(time.Second)
			server.PowerOff()
			c.link.Down()
			time.Sleep(2 * time.Minute)
			causes := c.causes()
			require.ErrorIs(t, causes[0], syscall.ECONNREFUSED)
			require.ErrorIs(t, causes[1], syscall.ECONNRESET)
			require.ErrorIs(t, causes[2], context.DeadlineExceeded, "a dial gives up after 30 s, as net/http's do by default")
			require.NoError(t, c.ended())
		}},

	// Streaming: outages of all lengths.
	{Name: "an outage shorter than the client's patience, streamed", Reason: "TCP survives it", Story: scenario.Contract(streamed, scenario.Outage(5*time.Second))},
	{Name: "an outage of a minute, streamed", Reason: "the client gives up the connection during the outage", Story: scenario.Contract(streamed, scenario.Outage(65*time.Second))},
	{Name: "an outage of an hour, streamed", Reason: "longer than TCP keeps trying", Story: scenario.Contract(streamed, scenario.Outage(time.Hour))},
	{Name: "a lossy link, streamed", Reason: "over TCP, loss becomes delay", Story: scenario.Contract(streamed, scenario.Lossy)},
	{Name: "a lossy link, streamed as lines of JSON", Reason: "over TCP, loss becomes delay, whatever the encoding", Story: scenario.Contract(streamedAs(stream.NDJSON), scenario.Lossy)},
	{Name: "a lossy link, streamed over a WebSocket", Reason: "over TCP, loss becomes delay, whatever the encoding", Story: scenario.Contract(streamedAs(stream.WebSocket), scenario.Lossy)},
}

func streamed(n *sim.Network) patterntest.System { return systems.Stream(n, systems.InMemory) }
func streamedByName(n *sim.Network) patterntest.System {
	return systems.StreamByName(n, systems.InMemory)
}
func streamedWithStore(n *sim.Network) patterntest.System {
	return systems.Durable(systems.Stream(n, systems.OnDisk))
}
func streamedAs(e stream.Encoding) patterntest.NewSystem {
	return func(n *sim.Network) patterntest.System { return systems.StreamAs(e)(n, systems.InMemory) }
}
