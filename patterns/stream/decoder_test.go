package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/stream"
)

func message(id, data string) stream.Event {
	return stream.Event{ID: id, Type: "message", Data: data}
}

// vectors are streams and what a client makes of them, by WHATWG HTML, section 9.2.6.
// Those named after a file stand in web-platform-tests/eventsource too.
var vectors = []struct {
	name, reason string
	in           string
	want         []stream.Event
	id           string        // the last event ID string afterwards
	retry        time.Duration // -1: none
}{
	{"LF", "the plain case", "data: a\n\ndata: b\n\n", []stream.Event{message("", "a"), message("", "b")}, "", -1},
	{"CR", "a line may end with it alone", "data: a\r\rdata: b\r\r", []stream.Event{message("", "a"), message("", "b")}, "", -1},
	{"CRLF", "which is one line end, also when a packet ends in it", "data: a\r\n\r\ndata: b\r\n\r\n", []stream.Event{message("", "a"), message("", "b")}, "", -1},
	{"line ends of all kinds", "each line has its own", "data: a\r\ndata: b\rdata: c\n\r\n", []stream.Event{message("", "a\nb\nc")}, "", -1},
	{"LF CR is two line ends", "only CR LF is one", "data: a\n\rdata: b\n\n", []stream.Event{message("", "a"), message("", "b")}, "", -1},
	{"format-newlines", "a CR that dispatches, then a CRLF", "data: test\r\n\ndata\n\ndata: end\n\n",
		[]stream.Event{message("", "test"), message("", ""), message("", "end")}, "", -1},

	{"BOM", "one at the start is dropped", "\ufeffdata: a\n\n", []stream.Event{message("", "a")}, "", -1},
	{"two BOMs", "the second is part of a field's name", "\ufeff\ufeffdata: a\n\ndata: b\n\n", []stream.Event{message("", "b")}, "", -1},
	{"BOM later", "is part of a field's name", "data: a\n\n\ufeffdata: b\n\ndata: c\n\n", []stream.Event{message("", "a"), message("", "c")}, "", -1},
	{"BOM in data", "stays", "data: \ufeffa\n\n", []stream.Event{message("", "\ufeffa")}, "", -1},
	{"BOM alone", "is an empty line", "\ufeff\n\ndata: a\n\n", []stream.Event{message("", "a")}, "", -1},

	{"data of many lines", "they are joined by LF", "data: a\ndata: b\ndata: c\n\n", []stream.Event{message("", "a\nb\nc")}, "", -1},
	{"format-field-data", "empty data is data", "data:\n\ndata\ndata\n\ndata:test\n\n",
		[]stream.Event{message("", ""), message("", "\n"), message("", "test")}, "", -1},
	{"data ends with an empty line", "only the last LF goes", "data: a\ndata\n\n", []stream.Event{message("", "a\n")}, "", -1},
	{"no data", "no event, and its type is forgotten", "event: foo\n\ndata: a\n\n", []stream.Event{message("", "a")}, "", -1},
	{"format-leading-space", "one space goes", "data:\ttest\rdata: \ndata:test\n\ndata:  two\n\n",
		[]stream.Event{message("", "\ttest\n\ntest"), message("", " two")}, "", -1},
	{"colons in the value", "the first one counts", "data: a:b: c\n\n", []stream.Event{message("", "a:b: c")}, "", -1},
	{"format-null-character", "NUL in data stays", "data:\x00\n\n\n", []stream.Event{message("", "\x00")}, "", -1},
	{"format-utf-8", "bytes of one character may come apart", "data: ok…𐍈\n\n", []stream.Event{message("", "ok…𐍈")}, "", -1},
	{"bytes that are no UTF-8", "each beginning of a character becomes U+FFFD, and no more",
		"data: \xff\xc3(\xe2\x82(\xf0\x9f\x92\xed\xa0\x80\xe2\x82\n\n", []stream.Event{message("", "\ufffd\ufffd(\ufffd(\ufffd\ufffd\ufffd\ufffd\ufffd")}, "", -1},
	{"bytes of overlong forms", "their first byte begins nothing", "data: \xc0\xaf\xe0\x80\xaf\xf0\x80\x80\xf4\x90\x80\n\n",
		[]stream.Event{message("", strings.Repeat("\ufffd", 2+3+3+3))}, "", -1},
	{"U+FFFD itself", "is a character", "data: \ufffd\n\n", []stream.Event{message("", "\ufffd")}, "", -1},

	{"format-field-event", "a type is for one event", "event:test\ndata:x\n\ndata:x\n\n",
		[]stream.Event{{Type: "test", Data: "x"}, message("", "x")}, "", -1},
	{"format-field-event-empty", "an empty type is none", "event: \ndata:data\n\n", []stream.Event{message("", "data")}, "", -1},
	{"two types", "the last counts", "event: a\nevent: b\ndata: x\n\n", []stream.Event{{Type: "b", Data: "x"}}, "", -1},

	{"format-field-id", "an ID stays until the next", "id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n",
		[]stream.Event{message("1", "a"), message("1", "b"), message("2", "c")}, "2", -1},
	{"format-field-id-3 persists", "until the next", "id: 1\ndata: 1\n\ndata:2\n\n", []stream.Event{message("1", "1"), message("1", "2")}, "1", -1},
	{"format-field-id-3 changes and persists", "until the next", "id: 1\ndata: 1\n\nid: 2\ndata:2\n\ndata:3\n\n",
		[]stream.Event{message("1", "1"), message("2", "2"), message("2", "3")}, "2", -1},
	{"format-field-id-3 resets", "for those after it too", "id: 1\ndata: 1\n\nid:\ndata:2\n\ndata:3\n\n",
		[]stream.Event{message("1", "1"), message("", "2"), message("", "3")}, "", -1},
	{"format-bom-2", "the second BOM is part of a field's name", "\ufeff\ufeffdata:1\n\ndata:2\n\ndata:3\n\n",
		[]stream.Event{message("", "2"), message("", "3")}, "", -1},
	{"event-data", "two lines, none, one", "data:msg\ndata:msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\ndata:end\n\n",
		[]stream.Event{message("", "msg\nmsg"), message("", ""), message("", "end")}, "", -1},
	{"an empty ID", "clears it", "id: 1\ndata: a\n\nid\ndata: b\n\n", []stream.Event{message("1", "a"), message("", "b")}, "", -1},
	{"format-field-id-null", "an ID with NUL is ignored", "id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\n",
		[]stream.Event{message("1", "a"), message("1", "b")}, "1", -1},
	{"an ID without data", "moves the position", "id: 1\n\n", nil, "1", -1},
	{"an ID without a blank line", "does not", "data: a\n\nid: 1\n", []stream.Event{message("", "a")}, "", -1},
	{"the ID of an event that is cut off", "does not count", "id: 1\ndata: a\n\nid: 2\ndata: b\n", []stream.Event{message("1", "a")}, "1", -1},

	{"retry", "counts at once, event or not", "retry: 2000\n", nil, "", 2 * time.Second},
	{"format-field-retry", "it is no part of an event", "retry:0000000003000\ndata:test\n\n", []stream.Event{message("", "test")}, "", 3 * time.Second},
	{"format-field-retry-bogus", "other than digits: ignored", "retry:3000\nretry:1000x\nretry:-1\nretry:+1\nretry:1.5\nretry: 1 \nretry:١\n", nil, "", 3 * time.Second},
	{"format-field-retry-empty", "no digits: ignored", "retry\ndata:test\n\n", []stream.Event{message("", "test")}, "", -1},
	{"retry of more than a day", "is a day: sums of it must not overflow", "retry: 86400001\n", nil, "", 24 * time.Hour},
	{"retry of too many digits", "is a day", "retry: 99999999999999999999\n", nil, "", 24 * time.Hour},

	{"format-comments", "ignored", "data:1\r:\x00\n:\r\ndata:2\n:" + strings.Repeat("x", 3000) + "\rdata:3\n:data:fail\r:" + "\ndata:4\n\n",
		[]stream.Event{message("", "1\n2\n3\n4")}, "", -1},
	{"format-field-unknown", "ignored, and so are names of another case", "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\nDATA:x\nData: y\n\n",
		[]stream.Event{message("", "test\n")}, "", -1},
	{"format-field-parsing", "all of it at once", "data:\x00\ndata:  2\rData:1\ndata\x00:2\ndata:1\r\x00data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n",
		[]stream.Event{message("", "\x00\n 2\n1\n3\n\n4")}, "", -1},

	{"format-data-before-final-empty-line", "what is not complete is dropped (Mozilla 710546)", "retry:1000\ndata:test1\n\nid:test\ndata:test2",
		[]stream.Event{message("", "test1")}, "", time.Second},
	{"the last line is whole", "without the blank line it is dropped too", "data: a\n", nil, "", -1},
	{"blank lines", "dispatch nothing", "\n\r\r\n\n\n", nil, "", -1},
	{"an empty stream", "has no events", "", nil, "", -1},
	{"newlines at the end", "one event", "data: a\n\n\n\n", []stream.Event{message("", "a")}, "", -1},
}

// outcome is what a decoder has made of a stream.
type outcome struct {
	events []stream.Event
	id     string
	retry  time.Duration
}

func decode(t require.TestingT, pieces ...[]byte) outcome {
	var d stream.Decoder
	o := outcome{retry: -1}
	for _, p := range pieces {
		p = bytes.Clone(p)
		require.NoError(t, d.Feed(p, func(e stream.Event) error { o.events = append(o.events, e); return nil }))
		for i := range p {
			p[i] = '#' // the decoder keeps nothing of it
		}
	}
	o.id = d.LastID
	if retry, ok := d.Retry(); ok {
		o.retry = retry
	}
	return o
}

// singles cuts after each byte.
func singles(b []byte) (all [][]byte) {
	for i := range b {
		all = append(all, b[i:i+1])
	}
	return all
}

func TestEveryVectorAtEverySplit(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			require.NotEmpty(t, v.reason)
			in, want := []byte(v.in), outcome{v.want, v.id, v.retry}

			require.Equal(t, want, decode(t, in), "whole")
			require.Equal(t, want, decode(t, singles(in)...), "byte by byte")
			for cut := range in {
				require.Equal(t, want, decode(t, in[:cut], in[cut:]), "cut at %d", cut)
				require.Equal(t, want, decode(t, in[:cut], nil, in[cut:cut+1], nil, in[cut+1:]), "a byte alone at %d", cut)
			}
			rapid.Check(t, func(rt *rapid.T) {
				var pieces [][]byte
				for rest := in; len(rest) > 0; {
					n := rapid.IntRange(1, len(rest)).Draw(rt, "piece")
					pieces, rest = append(pieces, rest[:n]), rest[n:]
				}
				require.Equal(rt, want, decode(rt, pieces...))
			})
		})
	}
}

// A stream that ends early has, whatever the byte, a prefix of its events.
func TestACutLeavesWholeEvents(t *testing.T) {
	in := []byte("id: 1\ndata: one\n\nid: 2\r\ndata: two\r\ndata: lines\r\n\r\nid: 3\revent: x\rdata: …\r\r")
	all := decode(t, in).events
	require.Len(t, all, 3)
	for cut := range in {
		got := decode(t, in[:cut])
		require.Equal(t, all[:len(got.events)], append([]stream.Event{}, got.events...), "cut at %d", cut)
		want := ""
		if len(got.events) > 0 {
			want = got.events[len(got.events)-1].ID
		}
		require.Equal(t, want, got.id, "cut at %d", cut)
	}
}

func TestTheIDOfTheStreamBefore(t *testing.T) {
	d := stream.Decoder{LastID: "41"}
	var got []stream.Event
	require.NoError(t, d.Feed([]byte("data: a\n\nid: 42\ndata: b\n\n"), func(e stream.Event) error { got = append(got, e); return nil }))
	require.Equal(t, []stream.Event{message("41", "a"), message("42", "b")}, got)
}

// An ID is kept for as long as the stream lasts, and sent back in a header.
func TestIDsAreBounded(t *testing.T) {
	long := strings.Repeat("i", 4096)
	var d stream.Decoder
	require.NoError(t, d.Feed([]byte("id: "+long+"\n\n"), func(stream.Event) error { return nil }))
	require.Equal(t, long, d.LastID)
	err := d.Feed([]byte("id: "+long+"i\n\n"), func(stream.Event) error { return nil })
	require.ErrorIs(t, err, eventlog.ErrTooLarge)
	require.EqualError(t, err, "stream: eventlog: entry is too large: an ID of 4097 bytes, and an ID has at most 4096")
	require.Equal(t, err, d.Feed([]byte("data: a\n\n"), func(stream.Event) error { return nil }), "for ever")
	require.Equal(t, long, d.LastID)
	require.EqualError(t, (&stream.Client{URL: url, LastEventID: long + "i"}).Check(), "stream: Client.LastEventID has 4097 bytes: want at most 4096")

	inWorld(t, func(w *world) {
		w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "application/x-ndjson")
			fmt.Fprintf(rw, "{\"id\":%q,\"data\":\"\"}\n", long+"i")
		}))
		err, ended := w.receive(&stream.Client{Encoding: stream.NDJSON}).result()
		require.True(w, ended)
		require.ErrorIs(w, err, eventlog.ErrTooLarge)
	})
}

func TestMaxEvent(t *testing.T) {
	ignore := func(stream.Event) error { return nil }
	for _, c := range []struct {
		name, in string
		ok       bool
	}{
		{"data of the limit", "data: 45678901234\n\n", true}, // 17 bytes
		{"a line beyond it", "data: 456789012345", false},
		{"a comment beyond it", ":" + strings.Repeat("x", 17), false},
		{"lines beyond it together", "data: 12345\ndata: 12345\n\n", false}, // 6 + 11
		{"many events", strings.Repeat("data: 12345\n\n", 100), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, pieces := range [][][]byte{{[]byte(c.in)}, singles([]byte(c.in))} {
				d := stream.Decoder{MaxMessageBytes: 17}
				if strings.HasPrefix(c.name, "lines") {
					d.MaxMessageBytes = 16
				}
				var err error
				for _, p := range pieces {
					if err = d.Feed(p, ignore); err != nil {
						break
					}
				}
				if c.ok {
					require.NoError(t, err)
					continue
				}
				require.ErrorIs(t, err, eventlog.ErrTooLarge)
				require.ErrorIs(t, d.Feed([]byte("\n\ndata: a\n\n"), ignore), eventlog.ErrTooLarge, "for ever")
			}
		})
	}
}

// An event, or a comment, that was large does not hold its memory for the stream's life.
func TestADecoderLetsGoOfWhatWasLarge(t *testing.T) {
	large := strings.Repeat("x", 4<<20)
	for _, in := range []string{"data: " + large + "\n\n", ":" + large + "\n", "event: " + large + "\ndata: a\n\n"} {
		before := heap()
		var d stream.Decoder
		for piece := range slices.Chunk([]byte(in), 4<<10) {
			require.NoError(t, d.Feed(piece, func(stream.Event) error { return nil }))
		}
		require.Less(t, heap()-before, int64(1<<20))
		runtime.KeepAlive(&d)
	}
}

func TestAnErrorOfYieldStaysOne(t *testing.T) {
	var d stream.Decoder
	boom := errors.New("boom")
	calls := 0
	f := func(stream.Event) error { calls++; return boom }
	require.Equal(t, boom, d.Feed([]byte("data: a\n\ndata: b\n\n"), f))
	require.Equal(t, boom, d.Feed([]byte("data: c\n\n"), f))
	require.Equal(t, 1, calls)
}

func TestEventsOfAReader(t *testing.T) {
	in := "data: a\n\ndata: b\n\ndata: c"
	for name, r := range map[string]io.Reader{
		"whole":   strings.NewReader(in),
		"bytes":   iotest.OneByteReader(strings.NewReader(in)),
		"dataerr": iotest.DataErrReader(strings.NewReader(in)),
	} {
		var got []stream.Event
		for e, err := range new(stream.Decoder).Events(r) {
			require.NoError(t, err, name)
			got = append(got, e)
		}
		require.Equal(t, []stream.Event{message("", "a"), message("", "b")}, got, name)
	}

	for range new(stream.Decoder).Events(strings.NewReader(in)) {
		break // no panic for having gone on
	}
	errs := 0
	for _, err := range new(stream.Decoder).Events(io.MultiReader(strings.NewReader(in), iotest.ErrReader(io.ErrUnexpectedEOF))) {
		if err != nil {
			require.Equal(t, io.ErrUnexpectedEOF, err)
			errs++
		}
	}
	require.Equal(t, 1, errs)
	for _, err := range (&stream.Decoder{MaxMessageBytes: 3}).Events(strings.NewReader(in)) {
		require.ErrorIs(t, err, eventlog.ErrTooLarge)
	}
}

// However a stream is cut, the events are the same, and what was decoded can be
// encoded again.
func FuzzDecoder(f *testing.F) {
	for _, v := range vectors {
		f.Add([]byte(v.in), uint16(len(v.in)/2))
	}
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		whole := decode(t, in)
		at := min(int(cut), len(in))
		require.Equal(t, whole, decode(t, in[:at], in[at:]))
		require.Equal(t, whole, decode(t, singles(in)...))

		var out bytes.Buffer
		enc := stream.NewEncoder(&out)
		for _, e := range whole.events {
			require.NotContains(t, e.Data, "\r")
			if e.ID == "" {
				require.NoError(t, enc.Position(""))
			}
			require.NoError(t, enc.Encode(e))
		}
		require.Equal(t, whole.events, decode(t, out.Bytes()).events)
	})
}
