package stream_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

func TestHeadersComeAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stream(&stream.Server{Retry: 1500 * time.Millisecond})
		resp := w.download("", nil)
		require.Equal(w, 200, resp.StatusCode)
		require.Equal(w, "text/event-stream", resp.Header.Get("Content-Type"))
		require.Equal(w, "no-store, no-transform", resp.Header.Get("Cache-Control"))
		require.Equal(w, "no", resp.Header.Get("X-Accel-Buffering"))
		require.Equal(w, "Accept", resp.Header.Get("Vary"))
		require.Zero(w, w.elapsed(), "before any event or heartbeat")
		require.Equal(w, "retry: 1500\nid: e9-0\n\n", resp.readFor(time.Second))
	})
}

// Browsers wait for just as long as they are told. Those that lose their server at one instant come back
// over a time that is as long again.
func TestReconnectionTimesAreSpread(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stream(&stream.Server{Jitter: retry.Seeded(w.net.Seed())})
		told := map[time.Duration]bool{}
		for range 100 {
			var d stream.Decoder
			require.NoError(w, d.Feed([]byte(w.download("", nil).readFor(time.Millisecond)), func(stream.Event) error { return nil }))
			each, ok := d.Retry()
			require.True(w, ok)
			require.GreaterOrEqual(w, each, 2*time.Second)
			require.LessOrEqual(w, each, 4*time.Second)
			told[each.Truncate(100*time.Millisecond)] = true
		}
		require.Greater(w, len(told), 15, "of 20 tenths of a second")
	})
}

func TestTheRequestDecides(t *testing.T) {
	for _, c := range []struct {
		name, query string
		header      http.Header
		status      int
		contentType string
		body        string
	}{
		{"nothing", "", nil, 200, "text/event-stream", "id: e9-0\n\nid: e9-1\nevent: t\ndata: x\n\n"},
		{"anything", "", http.Header{"Accept": {"text/html, */*;q=0.8"}}, 200, "text/event-stream", "id: e9-0\n\nid: e9-1\nevent: t\ndata: x\n\n"},
		{"lines", "", http.Header{"Accept": {"application/x-ndjson"}}, 200, "application/x-ndjson",
			`{"id":"e9-0"}` + "\n" + `{"id":"e9-1","event":"t","data":"x"}` + "\n"},
		{"what there is not", "", http.Header{"Accept": {"application/json"}}, 406, "text/plain; charset=utf-8",
			"Accept is \"application/json\": want text/event-stream or application/x-ndjson\n"},
		{"a position", "", http.Header{"Last-Event-Id": {"e9-1"}}, 200, "text/event-stream", ":\n"},
		{"a position in the URL, for a browser's first request", "?lastEventId=e9-1", nil, 200, "text/event-stream", ":\n"},
		{"both, when it comes back", "?lastEventId=e9-0", http.Header{"Last-Event-Id": {"e9-1"}}, 200, "text/event-stream", ":\n"},
		{"from now", "?from=now", nil, 200, "text/event-stream", "id: e9-1\n\n"},
		{"from then", "?from=then", nil, 400, "text/plain; charset=utf-8", "from is \"then\": want now, or nothing\n"},
		{"a filter that selects nothing", "?topic=a&topic=b.%3E.c", nil, 400, "text/plain; charset=utf-8", "topic is \"b.>.c\": > must be the last token\n"},
		{"too many topics", "?" + strings.Repeat("topic=a&", 101), nil, 400, "text/plain; charset=utf-8", "topic is given 101 times: want at most 100\n"},
		{"other topics", "?topic=a&topic=b", nil, 200, "text/event-stream", "id: e9-0\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				publish(w, w.stream(&stream.Server{Retry: -1}), "x")
				resp := w.download(c.query, c.header)
				require.Equal(w, c.status, resp.StatusCode)
				require.Equal(w, c.contentType, resp.Header.Get("Content-Type"))
				require.Equal(w, c.body, resp.readFor(time.Second))
			})
		})
	}
	inWorld(t, func(w *world) {
		w.stream(&stream.Server{})
		resp, err := w.client().Post(url, "text/plain", nil)
		require.NoError(w, err)
		require.Equal(w, 405, resp.StatusCode)
		require.Equal(w, "GET", resp.Header.Get("Allow"))
		resp.Body.Close()
	})
}

// slow opens a stream and does not read it. It returns what it may read later.
func (w *world) slow(e stream.Encoding) io.Reader {
	header := http.Header{}
	if e == stream.WebSocket {
		header = http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}}
	} else if e == stream.NDJSON {
		header.Set("Accept", "application/x-ndjson")
	}
	return w.get("", header).Body
}

// ST-P5, ST-19, ST-20: a client that does not read costs a bounded amount of memory,
// nothing that others notice, and its connection.
func TestASlowClient(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{MaxBytes: 20_000})
		w.slow(e)
		fast := w.receive(&stream.Client{Encoding: e})
		require.EqualValues(w, 2, settled(s).Streams)

		event := strings.Repeat("x", 5000)
		for i := range 1000 { // 5 MB
			publish(w, s, event)
			require.Len(w, fast.got(), i+1, "at once")
			require.LessOrEqual(w, s.Stats().Held, int64(30_000), "what is read at once, encoded")
		}
		require.Equal(w, time.Millisecond*10, w.elapsed(), "what the helpers of this test take")
		require.EqualValues(w, 2, settled(s).Streams)

		time.Sleep(10*time.Second - time.Second/10)
		require.EqualValues(w, 2, settled(s).Streams)
		time.Sleep(time.Second/10 + 5*time.Second) // a WebSocket takes so long to be closed by the library
		st := settled(s)
		require.EqualValues(w, 1, st.Streams)
		require.EqualValues(w, 1, st.Slow)
		require.Zero(w, st.Held)
		require.Empty(w, fast.failures())

		body := w.slow(e) // another, that is 5 MB behind
		if e == stream.WebSocket {
			_, err := io.ReadFull(body, make([]byte, 2+29)) // a pipe holds nothing: how it begins
			require.NoError(w, err)
		}
		st = settled(s)
		require.Greater(w, st.Held, int64(10_000))
		require.LessOrEqual(w, st.Held, int64(30_000))
	}, smallBuffers())
}

// ST-P5: what a large event took is given back when it is written.
func TestAnIdleStreamHoldsLittle(t *testing.T) {
	const streams, size = 50, 1 << 20
	for _, e := range encodings[:2] {
		s := &stream.Server{Log: memory()}
		var done sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		var written atomic.Int64
		before := heap()
		for range streams {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
			r.Header.Set("Accept", map[stream.Encoding]string{stream.SSE: "text/event-stream", stream.NDJSON: "application/x-ndjson"}[e])
			done.Go(func() { s.Handler().ServeHTTP(&sink{header: http.Header{}, written: &written}, r) })
		}
		publish(t, s, strings.Repeat("x", size))
		await(&written, streams*size)
		for s.Stats().Held > 0 {
			time.Sleep(time.Millisecond)
		}
		require.Less(t, heap()-before, int64(10*size), "of %v: the log and little more", e)
		cancel()
		done.Wait()
		s.Log.Close()
	}
}

// heap is what is reachable, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The deadline is for a piece of 16 KiB: a client that is slow and alive gets on.
func TestALargeEventMayTakeLong(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		publish(w, s, strings.Repeat("x", 1<<20))
		body := w.slow(e)
		buf := make([]byte, 2<<10)
		read, errs := 0, 0
		for errs == 0 && s.Stats().Events == 0 {
			n, err := io.ReadFull(body, buf)
			read += n
			if err != nil {
				errs++
			}
			time.Sleep(900 * time.Millisecond)
		}
		require.Zero(w, errs)
		require.Greater(w, w.elapsed(), 7*time.Minute)
		require.Greater(w, read, 1<<20-8<<10, "all but what is on its way")
		require.Zero(w, s.Stats().Slow)
	}, smallBuffers())
}

// ST-P6, ST-18 (golang/go#16100): a server's timeouts are for requests.
func TestTimeoutsOfTheServerDoNotEndStreams(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		log := memory()
		defer log.Close()
		s := &stream.Server{Log: log}
		w.serveBy(&http.Server{Handler: s.Handler(), WriteTimeout: 30 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second})
		c := w.receive(&stream.Client{Encoding: e})
		time.Sleep(time.Second) // no event is published at the instant of a heartbeat
		for i := range 60 {
			time.Sleep(time.Minute)
			publish(w, s, numbered(i, i)...)
		}
		require.Equal(w, numbered(0, 59), c.got())
		require.Empty(w, c.failures())
	})
}

// ST-P9, ST-24.
func TestShutdown(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		log := memory()
		defer log.Close()
		first, second := &stream.Server{Log: log, Jitter: retry.NoJitter}, &stream.Server{Log: log}
		server := w.serve(first.Handler())
		server.RegisterOnShutdown(func() { first.Drain(context.Background()) })
		c := w.receive(&stream.Client{Encoding: e})
		publish(w, first, "e1")
		require.Equal(w, numbered(1, 1), c.got())

		require.NoError(w, server.Shutdown(w.Context()))
		require.LessOrEqual(w, w.elapsed(), 20*time.Millisecond, "Shutdown looks each few milliseconds")
		require.Zero(w, settled(first).Streams)
		require.EqualValues(w, 1, c.Stats().Ended)
		require.EqualValues(w, 0, c.Stats().Failures)

		publish(w, second, "e2")
		w.serve(second.Handler())
		time.Sleep(2 * time.Second)
		require.Equal(w, numbered(1, 2), c.got())
		require.Empty(w, c.resets())
	}, sim.MayDiffer("Shutdown of net/http polls at random times"))
}

// Any status but 200 would end an EventSource for good (WHATWG HTML, section 9.2.3).
func TestARefusalThatBrowsersSurvive(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.stream(&stream.Server{RetrySpread: 8 * time.Second, Jitter: most})
		s.Drain(context.Background())
		resp := w.download("", nil)
		require.Equal(w, 200, resp.StatusCode)
		require.Equal(w, "text/event-stream", resp.Header.Get("Content-Type"))
		require.Equal(w, "8", resp.Header.Get("Retry-After"))
		require.Equal(w, ":stream: server is draining\nretry: 8000\n", resp.readFor(time.Second))
		require.Zero(w, w.elapsed(), "it ends by itself")
		require.EqualValues(w, 1, settled(s).Refused)
		require.Zero(w, s.Stats().Opened)

		c := w.receive(&stream.Client{LastEventID: id(5)})
		time.Sleep(10 * time.Second)
		require.Equal(w, []string{stream.ErrEnded.Error(), stream.ErrEnded.Error()}, c.failures())
		require.Equal(w, []time.Duration{8 * time.Second, 8 * time.Second}, c.retries(), "as it was told, without growing")
		require.Equal(w, id(5), c.position())
	})
}

func TestADrainedServerRefuses(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{Jitter: retry.NoJitter, RefuseWithStatus: e == stream.SSE})
		s.Drain(context.Background())
		c := w.receive(&stream.Client{Encoding: e})
		require.Equal(w, []string{"stream: server answered 503 Service Unavailable: stream: server is draining"}, c.failures())
		require.Equal(w, []time.Duration{time.Second}, c.retries(), "Retry-After")
		require.EqualValues(w, 1, settled(s).Refused)
	})
}

func TestTheNumberOfStreamsIsBounded(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{MaxClients: 2, RetrySpread: 4 * time.Second, Jitter: most, RefuseWithStatus: true})
		one := w.receive(&stream.Client{Encoding: e})
		one.got()
		w.receive(&stream.Client{Encoding: e}).got()
		three := w.receive(&stream.Client{Encoding: e})
		require.Equal(w, []string{"stream: server answered 503 Service Unavailable: stream: too many streams are open"}, three.failures())
		require.Equal(w, []time.Duration{4 * time.Second}, three.retries(), "Retry-After")
		require.EqualValues(w, 2, settled(s).Streams)

		one.stop()
		time.Sleep(4 * time.Second)
		publish(w, s, "x")
		require.Equal(w, []string{"x"}, three.got())
	})
}

// LP-P6 has its like here: a client that goes away leaves nothing behind.
func TestAClientThatGoesAwayFreesItsPlace(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		for range 10 {
			c := w.receive(&stream.Client{Encoding: e})
			c.got()
			require.EqualValues(w, 1, settled(s).Streams)
			require.EqualValues(w, 1, s.Log.Stats().Watches)
			c.stop()
			require.Zero(w, settled(s).Streams)
			require.Zero(w, s.Log.Stats().Watches)
		}
	})
}

func TestAStreamEndsWithItsLog(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		c := w.receive(&stream.Client{Encoding: e})
		c.got()
		require.NoError(w, s.Log.Close())
		require.Equal(w, []string{stream.ErrEnded.Error()}, c.failures())
		time.Sleep(3 * time.Second)
		if e == stream.SSE {
			require.Equal(w, stream.ErrEnded.Error(), c.failures()[1], "refused, for a browser's sake")
		} else {
			require.Contains(w, c.failures()[1], "503")
		}
		require.NotZero(w, s.Stats().Refused)
	})
}

// Of what waits for a client only the newest about each subject is sent.
func TestCoalesce(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{
			MaxEvents: 10,
			Coalesce: func(topic string, data []byte) string {
				subject, _, _ := strings.Cut(string(data), "=")
				return strings.TrimPrefix(subject, "each")
			},
		})
		for i := range 500 {
			publish(w, s, "a="+numbered(i, i)[0], "b="+numbered(i, i)[0])
			if i%250 == 100 {
				publish(w, s, "each")
			}
		}
		c := w.receive(&stream.Client{Encoding: e})
		require.Equal(w, []string{"each", "each", "a=e499", "b=e499"}, c.got())
		require.EqualValues(w, 998, settled(s).Coalesced)
		require.Equal(w, id(1002), c.position())
		publish(w, s, "a=1")
		require.Len(w, c.got(), 5)
		publish(w, s, "a=2")
		require.Equal(w, []string{"a=1", "a=2"}, c.got()[4:], "a client that keeps up gets all")
		_, err := s.Log.Append(w.Context(), eventlog.Entry{Data: []byte("a=3")}, eventlog.Entry{Data: []byte("a=4")})
		require.NoError(w, err)
		require.Equal(w, []string{"a=4"}, c.got()[6:], "nobody can keep up with one instant")
	})
}

// ST-P10: a proxy that passes on full buffers only gets full buffers.
func TestPadding(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.stream(&stream.Server{Padding: 4096, Heartbeat: 10 * time.Second})
		c := w.receive(&stream.Client{})
		padded := w.download("", nil)
		time.AfterFunc(5*time.Second, func() { publish(w, s, "x") })
		got := padded.readFor(16 * time.Second)
		require.Len(w, got, 3*(4096+2), "the beginning, the event, a heartbeat")
		require.Equal(w, []string{"x"}, c.got())
	})
	inWorld(t, func(w *world) {
		s := w.stream(&stream.Server{Padding: 4096})
		c := w.receive(&stream.Client{Encoding: stream.NDJSON})
		publish(w, s, "x")
		require.Equal(w, []string{"x"}, c.got())
		require.NotContains(w, w.download("", http.Header{"Accept": {"application/x-ndjson"}}).readFor(time.Second), ":\n")
	})
}

// A writer without deadlines could be held for ever by a client that does not read.
func TestAResponseWithoutDeadlinesIsRefused(t *testing.T) {
	s := stream.Server{}
	defer func() { s.Log.Close() }()
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, 500, rec.Code)
	require.Equal(t, "stream: no write deadlines: feature not supported\n", rec.Body.String())
}

func TestAWebSocketOfAnotherOriginIsRefused(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.stream(&stream.Server{})
		c := w.receive(&stream.Client{Encoding: stream.WebSocket, Header: always(http.Header{"Origin": {"http://evil"}})})
		err, _ := c.result()
		var status *retry.StatusError
		require.ErrorAs(w, err, &status)
		require.Equal(w, 403, status.Status)
		require.Zero(w, settled(s).Streams)
	})
}

func TestAWebSocketOfAnOriginThatIsAllowed(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.stream(&stream.Server{OriginPatterns: []string{"https://*.example.com"}})
		from := func(origin string) *stream.Client {
			return &stream.Client{Encoding: stream.WebSocket, Header: always(http.Header{"Origin": {origin}})}
		}
		w.receive(from("https://www.Example.com"))
		require.EqualValues(w, 1, settled(s).Streams)
		c := w.receive(from("http://www.example.com"))
		err, _ := c.result()
		require.ErrorContains(w, err, "403")
	})
}

// What panics in a function of the user's ends one stream, over a WebSocket too, whose
// connection net/http would leave open.
func TestFunctionsThatPanic(t *testing.T) {
	for field, s := range map[string]*stream.Server{
		"Snapshot": {Snapshot: func(*http.Request) ([]byte, error) { panic("boom") }},
		"Coalesce": {Coalesce: func(string, []byte) string { panic("boom") }},
	} {
		t.Run(field, func(t *testing.T) {
			overEncodings(t, func(w *world, e stream.Encoding) {
				var lines strings.Builder
				s := w.stream(&stream.Server{Snapshot: s.Snapshot, Coalesce: s.Coalesce, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
				publish(w, s, "a")
				c := w.receive(&stream.Client{Encoding: e, LastEventID: "ea-1"})
				require.Equal(w, []string{stream.ErrEnded.Error()}, c.failures(), "in good order")
				require.Zero(w, settled(s).Streams)
				require.Zero(w, s.Log.Stats().Watches)
				require.Regexp(w, `level=ERROR msg="stream ended" client=10\.0\.0\.1:\d+ error="stream: `, lines.String())
				require.Contains(w, lines.String(), "Server."+field+" panicked: boom")
			})
		})
	}
}

func TestLogger(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		var lines strings.Builder
		s := w.stream(&stream.Server{Logger: slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{
			Level: slog.LevelDebug,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == "time" {
					return slog.Attr{}
				}
				return a
			},
		}))})
		port := regexp.MustCompile(`10\.0\.0\.1:\d+`)
		logged := func() string {
			defer lines.Reset()
			return port.ReplaceAllString(lines.String(), "phone")
		}
		c := w.receive(&stream.Client{Encoding: e, LastEventID: "ea-1"})
		c.got()
		c.stop()
		require.Zero(w, settled(s).Streams)
		require.Equal(w, "level=DEBUG msg=\"stream opened\" client=phone\n"+
			"level=WARN msg=\"client cannot be continued\" client=phone reason=wrong-epoch\n"+
			"level=DEBUG msg=\"stream ended\" client=phone error=\"context canceled\"\n", logged())
		s.Drain(context.Background())
		w.receive(&stream.Client{Encoding: e}).got()
		require.Equal(w, "level=WARN msg=\"stream refused\" client=phone error=\"stream: server is draining\"\n", logged())
	})
}

// A WebSocket's client has nothing to say.
func TestAWebSocketThatTalksIsClosed(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.stream(&stream.Server{})
		rw := w.slow(stream.WebSocket).(io.ReadWriter)
		go io.Copy(io.Discard, rw)
		rw.Write([]byte{0x81, 0x81, 0, 0, 0, 0, 'x'}) // a text message, masked
		time.Sleep(30 * time.Second)                  // so long the library waits for an answer to its close frame, and for itself
		require.Zero(w, settled(s).Streams)
	})
}

func TestServerCheck(t *testing.T) {
	require.NoError(t, (&stream.Server{}).Check())
	for want, s := range map[string]*stream.Server{
		`stream: Server.Heartbeat is -1ns: want 0 for the default, or more`:   {Heartbeat: -1},
		`stream: Server.MaxClients is -1: want 0 for the default, or more`:    {MaxClients: -1},
		`stream: Server.OriginPatterns has "[": want a pattern of path.Match`: {OriginPatterns: []string{"["}},
		`stream: Server.Padding is 65537: want at most 65536`:                 {Padding: 1<<16 + 1},
		`stream: Server.Heartbeat is 15s: want less than ProxyTimeout, 15s`:   {ProxyTimeout: 15 * time.Second},
	} {
		require.EqualError(t, s.Check(), want)
		require.PanicsWithValue(t, want, func() { s.Handler() })
	}
	s := stream.Server{}
	_, err := s.Publish(context.Background(), "\xff", nil)
	require.EqualError(t, err, `stream: publish: topic "\xff" is not UTF-8`)
}

// The log may be written to by others, with entries that a stream passes over.
func TestExpiredEntriesArePassedOver(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.stream(&stream.Server{})
		_, err := s.Log.Append(w.Context(), eventlog.Entry{Data: []byte("short"), Expires: time.Now().Add(time.Second)}, eventlog.Entry{Topic: "\xff", Data: []byte("long")})
		require.NoError(w, err)
		time.Sleep(time.Second)
		c := w.receive(&stream.Client{})
		require.Equal(w, []string{"long"}, c.got())
		require.Equal(w, "\xff", c.all()[0].Topic())
		ctx, cancel := context.WithCancel(w.Context())
		cancel()
		require.Equal(w, context.Canceled, c.Run(ctx, func(context.Context, stream.Event) error { return nil }))
	})
}

// brokenLog fails to be read.
type brokenLog struct{ eventlog.Log }

var errPrivate = errors.New("open /var/lib/orders.db: input/output error")

func (brokenLog) After(eventlog.Cursor, eventlog.Query) (eventlog.Page, error) {
	return eventlog.Page{}, errPrivate
}

// What is wrong with the log is logged, and not told to clients.
func TestAFailureOfTheLogIsNotForClients(t *testing.T) {
	for accept, want := range map[string]int{"text/event-stream": 200, "application/x-ndjson": 503} {
		var out strings.Builder
		s := &stream.Server{Log: brokenLog{eventlog.NewMemory(eventlog.Options{})}, Logger: slog.New(slog.NewTextHandler(&out, nil))}
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		s.Handler().ServeHTTP(w, r)
		require.Equal(t, want, w.Code)
		require.Contains(t, w.Body.String(), "stream: the log failed")
		require.NotContains(t, w.Body.String(), "/var/lib")
		require.Contains(t, out.String(), errPrivate.Error())
	}
}
