package stream_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
)

// chunked answers with a stream in pieces, a millisecond apart, and then hangs.
func chunked(pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		sends("")(w, r)
		for _, piece := range pieces {
			io.WriteString(w, piece)
			http.NewResponseController(w).Flush()
			time.Sleep(time.Millisecond)
		}
		<-r.Context().Done()
	}
}

// pieces cuts s after each n bytes.
func pieces(s string, n int) (all []string) {
	for ; len(s) > n; s = s[n:] {
		all = append(all, s[:n])
	}
	return append(all, s)
}

// TestContract has the cases of LaunchDarkly's contract tests for clients of Server-Sent Events
// (github.com/launchdarkly/sse-contract-tests, in its names), on the clock of a bubble. Comments,
// which a Client does not hand over, and requests by POST and REPORT are left out. interop runs
// the program itself.
func TestContract(t *testing.T) {
	event := func(id, typ, data string) stream.Event { return stream.Event{ID: id, Type: typ, Data: data} }
	large := strings.Repeat("0123456789abcdef", 5<<16)
	many, all := "", []stream.Event(nil)
	for i := range 100 {
		many += fmt.Sprintf("data: message %d\n\n", i)
		all = append(all, message("", fmt.Sprint("message ", i)))
	}
	const bom = "\ufeff"
	type row struct {
		name   string
		pieces []string
		want   []stream.Event
	}
	rows := []row{
		{"one-line message in one chunk", []string{"data: Hello\n\n"}, []stream.Event{message("", "Hello")}},
		{"two messages spanning 3 chunks with shared chunk", []string{"data: test", "test\n\ndata:", "test\n\n"},
			[]stream.Event{message("", "testtest"), message("", "test")}},
		{"large message in one chunk", []string{"data: " + large + "\n\n"}, []stream.Event{message("", large)}},
		{"large message in two chunks", []string{"data: " + large, large + "\n\n"}, []stream.Event{message("", large+large)}},
		{"one-line message in two chunks", []string{"data: Hel", "lo\n\n"}, []stream.Event{message("", "Hello")}},
		{"two one-line messages in one chunk", []string{"data: Hello\n\ndata: World\n\n"}, []stream.Event{message("", "Hello"), message("", "World")}},
		{"one two-line message in one chunk", []string{"data: Hello\ndata:World\n\n"}, []stream.Event{message("", "Hello\nWorld")}},
		{"empty data", []string{"data:\n\n"}, []stream.Event{message("", "")}},
		{"event with specific type", []string{"event: greeting\ndata: Hello\n\n"}, []stream.Event{event("", "greeting", "Hello")}},
		{"event with ID", []string{"id: abc\ndata: Hello\n\n"}, []stream.Event{message("abc", "Hello")}},
		{"event with type and ID", []string{"event: greeting\nid: abc\ndata: Hello\n\n"}, []stream.Event{event("abc", "greeting", "Hello")}},
		{"ID field is ignored if it contains a null", []string{"id: a\x00bc\ndata: Hello\n\n"}, []stream.Event{message("", "Hello")}},
		{"last ID persists if not overridden by later event", []string{"id: abc\ndata: first\n\n", "data: second\n\n"},
			[]stream.Event{message("abc", "first"), message("abc", "second")}},
		{"last ID can be overridden by an empty value", []string{"id: abc\ndata: first\n\n", "id: \ndata: second\n\n"},
			[]stream.Event{message("abc", "first"), message("", "second")}},
		{"fields in reverse order", []string{"data: Hello\nid: abc\nevent: greeting\n\n"}, []stream.Event{event("abc", "greeting", "Hello")}},
		{"unknown field is ignored", []string{"event: greeting\ncolor: blue\ndata: Hello\n\n"}, []stream.Event{event("", "greeting", "Hello")}},
		{"fields without leading space", []string{"event:greeting\ndata:Hello\n\n"}, []stream.Event{event("", "greeting", "Hello")}},
		{"fields with extra leading space", []string{"event:  greeting\ndata:  Hello\n\n"}, []stream.Event{event("", " greeting", " Hello")}},
		{"field with no colon", []string{"data\n\ndata\ndata\n\n"}, []stream.Event{message("", ""), message("", "\n")}},
		{"multi-byte characters sent in single-byte pieces", pieces("data: €豆腐\n\n", 1), []stream.Event{message("", "€豆腐")}},
		{"many messages in rapid succession", []string{many}, all},

		{"BOM stripped before first event with type and ID", []string{bom + "event: greeting\nid: abc\ndata: Hello\n\n"},
			[]stream.Event{event("abc", "greeting", "Hello")}},
		{"BOM stripped with multiple messages", []string{bom + "data: First\n\ndata: Second\n\n"}, []stream.Event{message("", "First"), message("", "Second")}},
		{"BOM only stripped at stream start, not from later data", []string{"data: First\n\n", "data: " + bom + "Second\n\n"},
			[]stream.Event{message("", "First"), message("", bom+"Second")}},
		{"BOM split across first two chunks", []string{bom[:2], bom[2:] + "data: Hello\n\n"}, []stream.Event{message("", "Hello")}},
		{"BOM split byte by byte across chunks", append(pieces(bom, 1), "data: Hello\n\n"), []stream.Event{message("", "Hello")}},
		{"only first BOM at start is stripped", []string{bom + "data: " + bom + "Hello\n\n"}, []stream.Event{message("", bom+"Hello")}},
		{"BOM with multi-line data", []string{bom + "data: Line1\ndata: Line2\n\n"}, []stream.Event{message("", "Line1\nLine2")}},
		{"BOM with comment at start", []string{bom + ":comment\ndata: Hello\n\n"}, []stream.Event{message("", "Hello")}},
		{"BOM does not affect empty data field", []string{bom + "data:\n\n"}, []stream.Event{message("", "")}},

		{"CRLF where CR is end of 1 chunk", []string{"data: Hello\r", "\ndata: World\r", "\n\r\ndata: OK\r", "\n", "\r", "\n"},
			[]stream.Event{message("", "Hello\nWorld"), message("", "OK")}},
	}
	for name, end := range map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r"} {
		for _, c := range []struct{ name, lines, want string }{
			{"one-line event", "data: event 1||", "event 1"},
			{"one-line event + two-line event", "data: event 1||data: event 2 line 1|data: event 2 line 2||", "event 1;event 2 line 1\nevent 2 line 2"},
			{"3-line event with empty line at beginning", "data:|data: line2|data: line3||", "\nline2\nline3"},
			{"3-line event with empty line in middle", "data: line1|data:|data: line3||", "line1\n\nline3"},
			{"ignores 1 extra empty line", "data: event 1|||data: event 2||", "event 1;event 2"},
			{"ignores 2 extra empty lines", "data: event 1||||data: event 2||", "event 1;event 2"},
		} {
			in := strings.ReplaceAll(c.lines, "|", end)
			var want []stream.Event
			for data := range strings.SplitSeq(c.want, ";") {
				want = append(want, message("", data))
			}
			for _, n := range []int{len(in), 1, 2} {
				rows = append(rows, row{fmt.Sprintf("%s separator, %s, %d-character chunks", name, c.name, n), pieces(in, n), want})
			}
		}
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.script(chunked(row.pieces...))
				c := w.receive(&stream.Client{})
				time.Sleep(time.Second)
				require.Equal(w, row.want, c.all())
				require.Empty(w, c.failures())
			})
		})
	}

	t.Run("default method and headers", func(t *testing.T) {
		inWorld(t, func(w *world) {
			s := w.script(hangs(""))
			w.receive(&stream.Client{})
			r := s.asked()[0]
			require.Equal(w, "GET", r.Method)
			require.Equal(w, "text/event-stream", r.Header.Get("Accept"))
			require.Equal(w, "no-cache", r.Header.Get("Cache-Control"))
			require.NotContains(w, r.Header, "Last-Event-Id")
		})
	})
	t.Run("custom headers, and Last-Event-Id in initial request", func(t *testing.T) {
		inWorld(t, func(w *world) {
			s := w.script(hangs(""))
			w.receive(&stream.Client{LastEventID: "abc", Header: always(http.Header{"Header-Name-1": {"value-1"}})})
			require.Equal(w, "value-1", s.asked()[0].Header.Get("Header-Name-1"))
			require.Equal(w, []string{"abc"}, s.ids())
		})
	})
	for _, code := range []int{301, 307} {
		for name, header := range map[string][]string{"empty": {"Location", ""}, "missing": nil} {
			t.Run(fmt.Sprintf("client handles %s Location header with %d status", name, code), func(t *testing.T) {
				inWorld(t, func(w *world) {
					s := w.script(status(code, header...))
					c := w.receive(&stream.Client{})
					time.Sleep(time.Minute)
					err, ended := c.result()
					require.True(w, ended)
					require.Error(w, err)
					require.Len(w, s.asked(), 1, "and no loop")
				})
			})
		}
	}
	for _, c := range []struct {
		name, first string
		ids         []string
	}{
		{"sends ID of last received event", "id: abc\ndata: Hello\n\n", []string{"", "abc"}},
		{"sends ID of last received event that had an ID if later events did not", "id: abc\ndata: Hello\n\ndata: World\n\n", []string{"", "abc"}},
		{"last event ID can be explicitly overridden with an empty value", "id: abc\ndata: Hello\n\nid: \ndata: World\n\n", []string{"", ""}},
		{"discards partial messages on retry", "id: abc\ndata: Hello\n\nid: def\ndata: Goodbye", []string{"", "abc"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				s := w.script(sends(c.first), hangs("data: We meet again\n\n"))
				r := w.receive(&stream.Client{})
				time.Sleep(10 * time.Second)
				require.Equal(w, c.ids, s.ids())
				require.Equal(w, "We meet again", r.got()[len(r.got())-1])
				require.NotContains(w, strings.Join(r.got(), " "), "Goodbye")
			})
		})
	}
	t.Run("can set read timeout", func(t *testing.T) {
		inWorld(t, func(w *world) {
			s := w.script(hangs("data: Hello\n\n"))
			c := w.receive(&stream.Client{Heartbeat: 500 * time.Millisecond, Misses: 1, Backoff: retry.Backoff{Min: 1, Base: 1}})
			time.Sleep(900 * time.Millisecond)
			require.Contains(w, c.failures()[0], stream.ErrSilent.Error())
			require.Len(w, s.asked(), 2)
		})
	})
}

// TestWebPlatform has the cases of the web platform's tests (github.com/web-platform-tests/wpt, folder
// eventsource, in its names) that are about answers and reconnection; those about the format stand with
// the Decoder's vectors. The constructor, events of the page, CORS and credentials are a browser's.
//
// One difference is policy: after a status that may be another the next time, 503 here, a Client asks again,
// where an EventSource fails for good.
func TestWebPlatform(t *testing.T) {
	mime := func(contentType string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			io.WriteString(w, "data:ok…\n\n")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		opens  bool
		again  bool // if it does not open
	}{
		{"format-mime-bogus", mime("x bogus"), false, false},
		{"format-mime-valid-bogus", mime("text/x-bogus"), false, false},
		{"format-mime-trailing-semicolon", mime("text/event-stream;"), true, false},
		{"format-utf-8 in windows-1252", mime("text/event-stream;charset=windows-1252"), true, false},
		{"request-status-error 204", status(204), false, false},
		{"request-status-error 205", status(205), false, false},
		{"request-status-error 210", status(210), false, false},
		{"request-status-error 299", status(299), false, false},
		{"request-status-error 404", status(404), false, false},
		{"request-status-error 410", status(410), false, false},
		{"request-status-error 503", status(503), false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				s := w.script(row.answer)
				c := w.receive(&stream.Client{})
				time.Sleep(4 * time.Second)
				_, ended := c.result()
				require.Equal(w, !row.opens && !row.again, ended)
				require.Equal(w, row.again, len(s.asked()) > 1)
				if row.opens {
					require.Equal(w, []string{"ok…"}, c.got(), "always UTF-8")
				} else {
					require.Empty(w, c.got())
				}
			})
		})
	}
	for _, code := range []int{301, 302, 303, 307} {
		t.Run(fmt.Sprint("request-redirect ", code), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.script(status(code, "Location", "/elsewhere"), hangs("data: ok\n\n"))
				require.Equal(w, []string{"ok"}, w.receive(&stream.Client{}).got())
			})
		})
	}
	for name, answers := range map[string][]http.HandlerFunc{
		"eventsource-reconnect":           {sends("retry: 2\n"), hangs("data: data\n\n")},
		"eventsource-reconnect, ok_first": {sends("retry: 2\ndata: ok\n\n"), hangs("data: data\n\n")},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.script(answers...)
				c := w.receive(&stream.Client{Backoff: retry.Backoff{Min: 1, Base: 1}})
				time.Sleep(2*time.Millisecond - 100*time.Microsecond)
				require.NotContains(w, c.got(), "data", "the reconnection time is waited for in full")
				time.Sleep(100 * time.Microsecond)
				require.Contains(w, c.got(), "data")
				require.Equal(w, []string{stream.ErrEnded.Error()}, c.failures())
			})
		})
	}
	t.Run("eventsource-close, test events", func(t *testing.T) {
		inWorld(t, func(w *world) {
			s := w.script(sends("retry: 2\ndata: opened\n\n"), sends("data: reconnected\n\n"), status(204))
			c := w.receive(&stream.Client{})
			time.Sleep(time.Minute)
			err, ended := c.result()
			require.True(w, ended)
			require.NoError(w, err)
			require.Equal(w, []string{"opened", "reconnected"}, c.got())
			require.Len(w, s.asked(), 3)
		})
	})
	t.Run("format-field-id-2", func(t *testing.T) {
		inWorld(t, func(w *world) {
			s := w.script(sends("id: …\ndata: hello\n\n"), hangs("data: …\n\ndata: …\n\n"))
			c := w.receive(&stream.Client{})
			time.Sleep(10 * time.Second)
			require.Equal(w, []string{"", "…"}, s.ids(), "in UTF-8")
			require.Equal(w, []stream.Event{message("…", "hello"), message("…", "…"), message("…", "…")}, c.all())
		})
	})
}
