package stream_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/squall-sim/squall/patterns/stream"
)

func TestNilReadersAndWriters(t *testing.T) {
	require.PanicsWithValue(t, "stream: NewEncoder: w is nil: want a writer", func() { stream.NewEncoder(nil) })
	require.PanicsWithValue(t, "stream: Decoder.Events: r is nil: want a reader", func() { new(stream.Decoder).Events(nil) })
}

func TestEncoderWritesWhatTheSpecificationShows(t *testing.T) {
	var out bytes.Buffer
	e := stream.NewEncoder(&out)
	for _, c := range []struct {
		do   func() error
		want string
	}{
		{func() error { return e.Encode(stream.Event{ID: "1", Type: "add", Data: "YHOO\n+2"}) }, "id: 1\nevent: add\ndata: YHOO\ndata: +2\n\n"},
		{func() error { return e.Encode(stream.Event{}) }, "data: \n\n"},
		{func() error { return e.Encode(stream.Event{Data: " a\n"}) }, "data:  a\ndata: \n\n"},
		{func() error { return e.Position("7") }, "id: 7\n\n"},
		{func() error { return e.Position("") }, "id: \n\n"},
		{func() error { return e.Retry(1500 * time.Millisecond) }, "retry: 1500\n"},
		{func() error { return e.Comment("") }, ":\n"},
		{func() error { return e.Comment(" hi") }, ": hi\n"},
	} {
		out.Reset()
		require.NoError(t, c.do())
		require.Equal(t, c.want, out.String())
	}
}

// What the format cannot carry is refused, with nothing written.
func TestEncoderRefuses(t *testing.T) {
	var out bytes.Buffer
	e := stream.NewEncoder(&out)
	for _, c := range []struct {
		err  error
		want string
	}{
		{e.Encode(stream.Event{ID: "a\nb"}), `stream: ID is "a\nb": want UTF-8 without CR, LF and NUL`},
		{e.Encode(stream.Event{ID: "a\x00"}), `stream: ID is "a\x00": want UTF-8 without CR, LF and NUL`},
		{e.Encode(stream.Event{Type: "a\r"}), `stream: Event.Type is "a\r": want UTF-8 without CR and LF`},
		{e.Encode(stream.Event{ID: "7", Data: "a\rb"}), `stream: Event.Data of "7" is not text: want UTF-8 without CR`},
		{e.Encode(stream.Event{ID: "7", Data: "\xff"}), `stream: Event.Data of "7" is not text: want UTF-8 without CR`},
		{e.Position("\r"), `stream: ID is "\r": want UTF-8 without CR, LF and NUL`},
		{e.Retry(-1), `stream: retry is -1ns: want 0 to 596h31m23.647s`},
		{e.Retry(1 << 31 * time.Millisecond), `stream: retry is 596h31m23.648s: want 0 to 596h31m23.647s`},
		{e.Comment("a\nb"), `stream: comment has a line end: want one line`},
	} {
		require.EqualError(t, c.err, c.want)
	}
	require.Zero(t, out.Len())

	boom := errors.New("boom")
	require.ErrorIs(t, stream.NewEncoder(failing{boom}).Encode(stream.Event{}), boom)
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What is encoded is decoded as it was, whatever is in it.
func TestEncodedIsDecoded(t *testing.T) {
	text := rapid.StringOf(rapid.RuneFrom([]rune("ab: \n\t\x00…🌊\ufeff\ufffd")))
	name := rapid.StringOf(rapid.RuneFrom([]rune("ab: \t\x00…;%")))
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		enc := stream.NewEncoder(&out)
		var want []stream.Event
		id := ""
		for range rapid.IntRange(1, 5).Draw(t, "events") {
			e := stream.Event{ID: rapid.StringMatching(`[a-z0-9 :-]{0,5}`).Draw(t, "id"), Type: name.Draw(t, "type"), Data: text.Draw(t, "data")}
			require.NoError(t, enc.Encode(e))
			if e.ID == "" {
				e.ID = id
			}
			id = e.ID
			if e.Type == "" {
				e.Type = "message"
			}
			want = append(want, e)
		}
		require.Equal(t, want, decode(t, out.Bytes()).events)
	})
}
