package stream_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

// overEncodings runs a test for each of the three: they make the same promises.
func overEncodings(t *testing.T, f func(w *world, e stream.Encoding), opts ...sim.Option) {
	for _, e := range encodings {
		t.Run(e.String(), func(t *testing.T) { inWorld(t, func(w *world) { f(w, e) }, opts...) })
	}
}

func TestEventsArriveInOrderAndAtOnce(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		publish(w, s, "e1", "e2")
		c := w.receive(&stream.Client{Encoding: e})
		require.Equal(w, numbered(1, 2), c.got(), "what the log had")
		for i := 3; i <= 300; i++ {
			publish(w, s, numbered(i, i)...)
		}
		require.Equal(w, numbered(1, 300), c.got())
		require.Zero(w, w.elapsed())
		require.Equal(w, id(300), c.position())
		require.EqualValues(w, 300, settled(s).Events)
	})
}

func TestDataAndTopicsOfAllKinds(t *testing.T) {
	data := []string{
		"", "\n", "two\nlines", "two\n\nparagraphs\n", "carriage\r\nreturns", "\r", "data: one\nid: 7", `{"json":[1]}`, " spaces ",
		"\x00\x01\xff", "\ufeff", "높은 파도 🌊", ":", "<b>&amp;", strings.Repeat("large\n", 10_000),
	}
	topics := []string{"", "message", "eventlog.reset", "plain", "a/b c", "100%41", "x;base64", "new\nline", "\x00", "ü\ufffd", ": ", ";"}
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		var c *receiver
		for i, topic := range topics {
			for _, d := range data {
				publishTo(w, s, topic, d)
			}
			if i == len(topics)/2 {
				c = w.receive(&stream.Client{Encoding: e})
			}
		}
		all := c.all()
		require.Len(w, all, len(topics)*len(data))
		require.Empty(w, c.resets())
		for i, ev := range all {
			require.Equal(w, topics[i/len(data)], ev.Topic())
			b, err := ev.Bytes()
			require.NoError(w, err)
			require.Equal(w, data[i%len(data)], string(b))
			require.Equal(w, id(uint64(i+1)), ev.ID)
		}
	})
}

func TestTopicsAndBeginnings(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{Heartbeat: 5 * time.Second})
		publish(w, s, "e1", "e2", "e3")
		other := w.receive(&stream.Client{Encoding: e, Topics: []string{"other", "third"}})
		now := w.receive(&stream.Client{Encoding: e, FromNow: true})
		after := w.receive(&stream.Client{Encoding: e, LastEventID: id(2)})
		require.Equal(w, id(3), now.position(), "before any event")
		require.Equal(w, id(0), other.position())
		publish(w, s, "e4")
		publishTo(w, s, "other", "o")
		publish(w, s, "e6")

		require.Equal(w, []string{"o"}, other.got())
		require.Equal(w, []string{"e4", "o", "e6"}, now.got())
		require.Equal(w, []string{"e3", "e4", "o", "e6"}, after.got())
		time.Sleep(5 * time.Second)
		require.Equal(w, id(6), other.position(), "a heartbeat moves it past events of other topics")
	})
}

func TestHeartbeats(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.stream(&stream.Server{Heartbeat: 10 * time.Second, Retry: -1})
		beats := w.download("", nil)
		time.AfterFunc(25*time.Second, func() { publish(w, s, "x") })
		got := beats.readFor(46 * time.Second)
		// At 10 and 20 s; then, 10 s after the event, at 35 and 45 s.
		require.Equal(w, "id: e9-0\n\n:\n:\nid: e9-1\nevent: t\ndata: x\n\n:\n:\n", got)
		require.EqualValues(w, 4, settled(s).Heartbeats)
	})
}
