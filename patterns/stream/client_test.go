package stream_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
)

// script serves one answer per request, the last for ever, and notes the requests.
type script struct {
	answers []http.HandlerFunc
	start   time.Time

	mu       sync.Mutex
	requests []*http.Request
	times    []time.Duration
}

func (w *world) script(answers ...http.HandlerFunc) *script {
	s := &script{answers: answers, start: w.start}
	w.serve(s)
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.times = append(s.times, exact(time.Since(s.start)))
	answer := s.answers[min(len(s.requests), len(s.answers))-1]
	s.mu.Unlock()
	answer(w, r)
}

func (s *script) asked() []*http.Request {
	settle()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// at are the times of the requests.
func (s *script) at() []time.Duration {
	settle()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.times)
}

func (s *script) ids() (all []string) {
	for _, r := range s.asked() {
		all = append(all, r.Header.Get("Last-Event-ID"))
	}
	return all
}

// sends answers with a stream of the text, which then ends.
func sends(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, text)
	}
}

func status(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

// hangs sends the text and then nothing more, until the client goes away.
func hangs(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sends(text)(w, r)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// always is a Client.Header that never changes.
func always(h http.Header) func(context.Context) (http.Header, error) {
	return func(context.Context) (http.Header, error) { return h, nil }
}

func TestRequest(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.script(hangs("id: 1\ndata: a\n\n"))
		w.receive(&stream.Client{LastEventID: "0", Topics: []string{"a", "b c"}, FromNow: true,
			URL: url + "?x=1", Header: always(http.Header{"Authorization": {"Bearer x"}})}).got()
		r := s.asked()[0]
		require.Equal(w, "topic=a&topic=b+c&x=1", r.URL.RawQuery, "a position is more than a beginning")
		require.Equal(w, "text/event-stream", r.Header.Get("Accept"))
		require.Equal(w, "no-cache", r.Header.Get("Cache-Control"))
		require.Equal(w, "Bearer x", r.Header.Get("Authorization"))
		require.Equal(w, "0", r.Header.Get("Last-Event-ID"))
	})
}

// WHATWG HTML, section 9.2.3; ST-09.
func TestAfterTheEndOfAStreamTheClientComesBackWithItsPosition(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.script(
			sends("id: 1\ndata: a\n\nid: 2\ndata: cut off\n"),
			sends("retry: 8000\ndata: b\n\n"), // of the position it says nothing
			sends("id: 7\n\n"),
			sends("id: 8\ndata: c\n\nid:\ndata: d\n\n"),
			hangs(""))
		c := w.receive(&stream.Client{})
		time.Sleep(time.Minute)
		require.Equal(w, []string{"a", "b", "c", "d"}, c.got())
		require.Equal(w, []string{"", "1", "1", "7", ""}, s.ids())
		require.Equal(w, "1", c.all()[1].ID)
		// 3 s; then 8 s; twice as much after a stream without an event.
		require.Equal(w, []time.Duration{3 * time.Second, 8 * time.Second, 16 * time.Second, 8 * time.Second}, c.retries())
		require.Equal(w, stream.ErrEnded.Error(), c.failures()[0])
		require.EqualValues(w, 4, c.Stats().Ended)
		require.Zero(w, c.Stats().Failures)
	})
}

// ST-10: which answers end a Run, and which only a connection.
func TestAnswersThatAreNoStream(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		again  bool
		want   string // the error, empty for nil
	}{
		{"204", status(204), false, ""},
		{"400", status(400), false, "stream: server answered 400 Bad Request"},
		{"401", status(401), false, "stream: server answered 401 Unauthorized"},
		{"404 with a body", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not here", 404) }, false,
			"stream: server answered 404 Not Found: not here"},
		{"201", status(201), false, "stream: server answered 201 Created"},
		{"408", status(408), true, "stream: server answered 408 Request Timeout"},
		{"425", status(425), true, "stream: server answered 425 Too Early"},
		{"429", status(429), true, "stream: server answered 429 Too Many Requests"},
		{"500", status(500), true, "stream: server answered 500 Internal Server Error"},
		{"503", status(503), true, "stream: server answered 503 Service Unavailable"},
		{"another content type", status(200, "Content-Type", "text/html"), false,
			`stream: answer has another content type: "text/html", want text/event-stream`},
		{"another content type that begins alike", status(200, "Content-Type", "text/event-streams"), false,
			`stream: answer has another content type: "text/event-streams", want text/event-stream`},
		{"no content type", status(200, "Content-Type", ""), false,
			`stream: answer has another content type: "", want text/event-stream`},
		{"the same in capitals", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "TEXT/Event-Stream;Charset=UTF-8")
		}, true, "stream: the server ended the stream"},
		{"301 to nowhere", status(301), false, "stream: server answered 301 Moved Permanently"},
		{"a redirect to itself", status(307, "Location", "/events"), false,
			`stream: Get "/events": stopped after 10 redirects`},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				answers := []http.HandlerFunc{c.answer, hangs("data: later\n\n")}
				if strings.HasPrefix(c.name, "a redirect") {
					answers = answers[:1]
				}
				w.script(answers...)
				r := w.receive(&stream.Client{})
				time.Sleep(30 * time.Second)
				err, ended := r.result()
				require.Equal(w, !c.again, ended)
				if c.again {
					require.Equal(w, []string{c.want}, r.failures())
					require.Equal(w, []string{"later"}, r.got())
					return
				}
				require.Empty(w, r.got())
				require.Empty(w, r.failures())
				if c.want == "" {
					require.NoError(w, err)
				} else {
					require.EqualError(w, err, c.want)
				}
			})
		})
	}
}

// The same over a WebSocket, whose handshake may be answered with anything.
func TestAnswersThatAreNoWebSocket(t *testing.T) {
	for code, want := range map[int]string{
		204: "",
		200: "stream: answer has another content type: 200 instead of a WebSocket",
		403: "stream: server answered 403 Forbidden",
	} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.script(status(code))
				r := w.receive(&stream.Client{Encoding: stream.WebSocket})
				err, ended := r.result()
				require.True(w, ended)
				if want == "" {
					require.NoError(w, err)
				} else {
					require.EqualError(w, err, want)
				}
			})
		})
	}
	inWorld(t, func(w *world) {
		s := w.script(status(503, "Retry-After", "20"))
		w.receive(&stream.Client{Encoding: stream.WebSocket})
		time.Sleep(45 * time.Second)
		require.Equal(w, []time.Duration{0, 20 * time.Second, 40 * time.Second}, s.at())
	})
}

func TestTheUserSaysWhichStatusesAreTemporary(t *testing.T) {
	inWorld(t, func(w *world) {
		w.script(status(404), status(500))
		r := w.receive(&stream.Client{Temporary: func(code int) bool { return code == 404 }})
		time.Sleep(time.Minute)
		require.Len(w, r.failures(), 1)
		err, _ := r.result()
		var refused *retry.StatusError
		require.ErrorAs(w, err, &refused)
		require.Equal(w, 500, refused.Status)
	})
}

// ST-11.
func TestRedirectsAreFollowed(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		inWorld(t, func(w *world) {
			s := w.script(status(code, "Location", "/other"), hangs("data: a\n\n"))
			r := w.receive(&stream.Client{LastEventID: "5"})
			require.Equal(w, []string{"a"}, r.got())
			require.Equal(w, "/other", s.asked()[1].URL.Path)
			require.Equal(w, "text/event-stream", s.asked()[1].Header.Get("Accept"))
			require.Equal(w, []string{"5", "5"}, s.ids())
		})
	}
}

// ST-P4, ST-15: three heartbeats of silence, wherever they come.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		at     time.Duration // of the second request, with a delay of 3 s
	}{
		{"no answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 48 * time.Second},
		{"an answer and then nothing", hangs(""), 48 * time.Second},
		{"half an event and then nothing", hangs("data: a\n"), 48 * time.Second},
		{"any byte counts", func(w http.ResponseWriter, r *http.Request) {
			sends("")(w, r)
			for range 10 {
				io.WriteString(w, ":")
				http.NewResponseController(w).Flush()
				time.Sleep(44 * time.Second)
			}
			<-r.Context().Done()
		}, 9*44*time.Second + 48*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				s := w.script(c.answer, hangs("data: b\n\n"))
				r := w.receive(&stream.Client{})
				time.Sleep(c.at)
				require.Equal(w, []string{"b"}, r.got())
				require.Equal(w, []time.Duration{0, c.at}, s.at())
				require.EqualValues(w, 1, r.Stats().Silent)
				require.Equal(w, []string{stream.ErrSilent.Error() + ": 45s"}, r.failures())
			})
		})
	}
	inWorld(t, func(w *world) {
		s := w.script(hangs(""))
		r := w.receive(&stream.Client{Heartbeat: time.Second, Misses: 7})
		time.Sleep(10*time.Second - time.Millisecond)
		require.Len(w, s.asked(), 1)
		time.Sleep(time.Millisecond)
		require.Empty(w, r.got())
		require.Len(w, s.asked(), 2, "7 s and 3 s")
	})
	inWorld(t, func(w *world) {
		s := w.script(hangs(""))
		w.receive(&stream.Client{Heartbeat: -1})
		time.Sleep(1000 * time.Hour)
		require.Len(w, s.asked(), 1, "nobody counts")
	})
}

// A handler may take its time: that is no silence.
func TestASlowHandlerIsNoSilence(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		publish(w, s, numbered(1, 3)...)
		c := stream.Client{URL: url, HTTP: w.client(), Encoding: e}
		ctx, cancel := context.WithTimeout(w.Context(), time.Hour)
		defer cancel()
		err := c.Run(ctx, func(context.Context, stream.Event) error { time.Sleep(10 * time.Minute); return nil })
		require.ErrorIs(w, err, context.DeadlineExceeded)
		require.EqualValues(w, 3, c.Stats().Events)
		require.Zero(w, c.Stats().Silent)
	})
}

func TestOnPositionIsForPositionsWithoutAnEvent(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		var told []string
		c := stream.Client{URL: url, HTTP: w.client(), Encoding: e, Topics: []string{"t"},
			OnPosition: func(id string) { told = append(told, id) }}
		go func() {
			time.Sleep(time.Second)
			publish(w, s, "a", "b")
			publishTo(w, s, "other", "")
		}()
		ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
		defer cancel()
		err := c.Run(ctx, func(context.Context, stream.Event) error { return nil })
		require.ErrorIs(w, err, context.DeadlineExceeded)
		require.Equal(w, []string{id(0), id(3)}, told, "at the beginning, and past another topic")
	})
}

// An ID is any text; a header is not. Without its position the client would get what it
// has already, or miss what it has not.
func TestAnIDThatNoHeaderCanCarry(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.script(sends("id: a\x01\ndata: a\n\n"))
		r := w.receive(&stream.Client{})
		time.Sleep(time.Minute)
		err, _ := r.result()
		require.EqualError(w, err, `stream: last event ID is "a\x01": no header can carry it`)
		require.Equal(w, []string{"a"}, r.got())
		require.Len(w, s.asked(), 1)
	})
}

// ST-26.
func TestAClientThatIsClosedDuringBackoffAsksNoMore(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.script(sends("data: a\n\n"))
		r := w.receive(&stream.Client{})
		time.Sleep(time.Second)
		r.stop()
		err, _ := r.result()
		require.Equal(w, context.Canceled, err)
		require.Equal(w, time.Second, w.elapsed())
		time.Sleep(time.Hour)
		require.Len(w, s.asked(), 1)
	})
}

// ST-08: an event is delivered however large, or refused in so many words.
func TestLargeEvents(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		large := strings.Repeat("0123456789abcde\n", 5<<16)
		publish(w, s, large)
		r := w.receive(&stream.Client{Encoding: e})
		require.Equal(w, []string{large}, r.got())
		require.Zero(w, w.elapsed())

		r = w.receive(&stream.Client{Encoding: e, MaxMessageBytes: 5 << 20})
		err, ended := r.result()
		require.True(w, ended)
		require.ErrorIs(w, err, eventlog.ErrTooLarge)
		require.EqualError(w, err, "stream: eventlog: entry is too large: more than 5242880 bytes, the MaxMessageBytes")
	})
}

func TestRecordsThatAreNone(t *testing.T) {
	inWorld(t, func(w *world) {
		answer := func(text string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/x-ndjson")
				io.WriteString(w, text)
			}
		}
		s := w.script(answer(`{"id":"1","data":"a"}`+"\n"+`{"id":`+"\n"),
			answer("\r\n\n {}\n"+`{"id":"2","data":"b","more":[1],"retry":-1}`+"\r\n"+`{"id":"","event":"x","data":""}`+"\n"+`{"id":"3","data":"cut off"}`),
			status(404))
		r := w.receive(&stream.Client{Encoding: stream.NDJSON})
		time.Sleep(time.Minute)
		require.Equal(w, []stream.Event{message("1", "a"), message("2", "b"), {Type: "x"}}, r.all())
		require.Contains(w, r.failures()[0], "stream: record of 6 bytes: ")
		require.Equal(w, []string{"", "1", ""}, s.ids(), "what was whole was handled")
	})
}

// Of what a server says no number is too large.
func TestARetryBeyondAllBounds(t *testing.T) {
	inWorld(t, func(w *world) {
		answer := func(contentType, text string) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", contentType)
				io.WriteString(w, text)
			}
		}
		for e, retry := range []string{
			stream.SSE:    "retry: 99999999999999999999999\ndata: a\n\n",
			stream.NDJSON: `{"retry":99999999999999999999999}` + "\n" + `{"data":"a"}` + "\n",
		} {
			s := w.script(answer([]string{"text/event-stream", "application/x-ndjson"}[e], retry), status(404))
			c := w.receive(&stream.Client{Encoding: stream.Encoding(e)})
			time.Sleep(300*time.Second - time.Millisecond)
			require.Len(w, s.asked(), 1)
			time.Sleep(2 * time.Millisecond)
			require.Len(w, s.asked(), 2, "RetryAfterMax")
			require.Equal(w, []string{stream.ErrEnded.Error()}, c.failures(), e)
		}
	})
}

// A URL may have a token in it, which is for the server alone. A connection that is lost is no news.
func TestLogsOfAClient(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		var log bytes.Buffer // read when the client has ended
		s := w.stream(&stream.Server{})
		c := w.receive(&stream.Client{Encoding: e, URL: url + "?token=secret", Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		publish(w, s, "e1")
		require.Equal(w, numbered(1, 1), c.got())
		require.NoError(w, s.Close()) // which ends WebSockets too, that are the server's no more
		settle()
		w.server.Close()
		time.Sleep(time.Minute)
		w.serve(http.NotFoundHandler())
		time.Sleep(time.Minute)
		_, ended := c.result()
		require.True(w, ended)
		text := log.String()
		require.Contains(w, text, `level=DEBUG msg="connection ended" url=http://server/events?... error=`)
		require.Contains(w, text, "connection refused")
		require.Contains(w, text, `level=WARN msg="the client ends" url=http://server/events?... error="stream: server answered 404`)
		require.Equal(w, 1, strings.Count(text, "level=WARN"))
		require.NotContains(w, text, "secret")
		require.NotContains(w, strings.Join(c.failures(), "\n"), "secret")
	})
}

func TestClientCheck(t *testing.T) {
	ok := stream.Client{URL: url}
	require.NoError(t, ok.Check())
	for want, c := range map[string]*stream.Client{
		`stream: Client.URL is "": want http://host/path or https://host/path`:                                                                  {},
		`stream: Client.URL is "ws://a": want http://host/path or https://host/path`:                                                            {URL: "ws://a"},
		`stream: Client.Encoding is Encoding(3): want SSE, NDJSON or WebSocket`:                                                                 {URL: url, Encoding: 3},
		`stream: Client.LastEventID is "a\nb": want no control characters`:                                                                      {URL: url, LastEventID: "a\nb"},
		`stream: Client.Topics has 101 elements: want at most 100`:                                                                              {URL: url, Topics: make([]string, 101)},
		`stream: Client.Topics[0] is "b.>.c": > must be the last token`:                                                                         {URL: url, Topics: []string{"b.>.c"}},
		`stream: Client.Backoff.Max is -1ns: want 0 for the default, or more`:                                                                   {URL: url, Backoff: retry.Backoff{Max: -1, Min: -2}},
		`stream: Client.Backoff.Min is 1m0s: want at most Backoff.Max, 30s`:                                                                     {URL: url, Backoff: retry.Backoff{Min: time.Minute}},
		`stream: Client.Misses is -1: want 0 for the default, or more`:                                                                          {URL: url, Misses: -1},
		`stream: Client.Heartbeat is 2562047h47m16.854775807s: want at most 1281023h53m38.427387903s, with Misses, or less than 0 for no bound`: {URL: url, Misses: 2, Heartbeat: math.MaxInt64},
		`stream: Client.MaxMessageBytes is -1: want 0 for the default, or more`:                                                                 {URL: url, MaxMessageBytes: -1},
		`stream: Client.HTTP.Timeout is 30s: want 0, since it would end every stream`:                                                           {URL: url, HTTP: &http.Client{Timeout: 30 * time.Second}},
	} {
		err := c.Check()
		require.ErrorContains(t, err, want)
		require.Equal(t, err, c.Run(t.Context(), nil), "Run looks first")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.PanicsWithValue(t, "stream: Client.Run: handle is nil: want a function", func() { ok.Run(over, nil) })
	require.NoError(t, (&stream.Client{URL: "wss://a/b", Encoding: stream.WebSocket}).Check())
	require.Equal(t, "sse ndjson websocket", fmt.Sprint(stream.SSE, " ", stream.NDJSON, " ", stream.WebSocket))
}
