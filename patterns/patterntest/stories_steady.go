package patterntest

import (
	"strconv"
	"strings"
	"time"
)

// steadyStories are about a good network and hosts without faults.
func steadyStories() (all stories) {
	all.add("a quiet day", "the basic case: a system that fails here fails everywhere", func(w *World) {
		w.PromptFor(w.Client("phone"))
		w.PublishEvery(7*time.Second, 20)
	})
	all.add("events closer together than a round trip", "an event between an answer and the next request is lost if the server waits for the next event instead of comparing positions", func(w *World) {
		w.Client("phone")
		w.PublishEvery(30*time.Millisecond, 100)
	})
	all.add("events at one instant", "batching must not lose or reorder events, nor delay the last one until a batch is full", func(w *World) {
		w.PromptInTurn(w.Client("phone"))
		for _, count := range []int{2, 3, 5, 50} {
			w.Sleep(10 * time.Second)
			w.PublishAtOnce(count)
		}
	})
	all.races("how many events a server has seen when it answers the first is the runtime's choice")
	all.add("an hour without events", "idle timeouts and renewed requests must not lose the event that ends the silence", func(w *World) {
		w.PromptFor(w.Client("phone"))
		w.Idle(time.Hour)
		w.PublishEvery(0, 1)
	})
	all.add("events of all kinds", "bytes that are special in the protocol must have no special meaning in the data", ofAllKinds)
	all.add("events of any bytes", "an event must arrive unchanged, or Publish must refuse it", ofAnyBytes)
	all.add("events of any size", "an event that exceeds a buffer, a frame or a limit must not be truncated or silently dropped", func(w *World) {
		w.Client("phone")
		for _, size := range []int{32_768, 65_536, 100_000, 1 << 20} {
			w.Publish(text(size))
			w.Sleep(5 * time.Second)
		}
	})
	all.add("the same text again", "two events with the same text are not duplicates", func(w *World) {
		w.Client("phone")
		w.Publish("on", "on", "off", "on")
		for range 3 {
			w.Sleep(20 * time.Second)
			w.Publish("off", "on", "on")
		}
	})
	all.add("bursts", "the last event of a burst must not wait for another event, nor the first for the last", func(w *World) {
		w.PromptInTurn(w.Client("phone"))
		for _, count := range []int{1, 2, 3, 5, 10, 1} {
			w.Sleep(10 * time.Second)
			w.PublishEvery(0, count)
			w.Sleep(10 * time.Second)
			w.PublishEvery(10*time.Millisecond, count)
		}
	})
	all.add("a long run", "after many events, counters overflow, limits drop events and buffers are full", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(5*time.Millisecond, 600)
		w.Sleep(time.Minute)
		w.Acknowledged()
		c.Leave()
		w.Sleep(time.Second) // the server knows
		w.PublishMany(w.backlogOf(12_000, 1_100))
		c.Return()
		w.Check()
		w.After(time.Second, c.Link.Down)
		w.After(70*time.Second, c.Link.Up)
		w.PublishEvery(30*time.Second, 3)
		w.Check()
		w.Redeploy()
		w.Sleep(5 * time.Second)
		w.PublishEvery(time.Second, 3)
		c.Host.Restart()
		w.PublishEvery(time.Second, 3)
	})
	all = append(all, Story{
		Name: "an event after many others", Reason: "a position needs more than 16 bits",
		Needs: func(s System) bool { return !s.Durable }, lacking: "System.Durable is set", // which would write as often to its disk
		Play: func(w *World) {
			w.PublishBefore(66_000)
			c := w.Client("phone")
			w.PublishEvery(time.Second, 3)
			c.Leave()
			w.PublishEvery(time.Second, 2)
			c.Return()
			w.PublishEvery(time.Second, 2)
		},
	})
	all.add("ten publishers at once", "an event that is numbered first but stored last is missed by a reader that has already passed its number", func(w *World) {
		w.Client("phone")
		w.PublishTogether(10, 100*time.Millisecond, 10)
	})
	return all
}

func ofAllKinds(w *World) {
	w.Client("phone")
	w.Publish("two\nlines", "two\n\nparagraphs", "carriage\r\nreturns", "\n", "data: one\nid: 7", `a "quote"`, `{"json":[1]}`,
		"<b>&amp;", "100%41", "back\\slash", " spaces ", "\ttab", "높은 파도 🌊", strings.Repeat("large", 10_000))
}

func ofAnyBytes(w *World) {
	w.Client("phone")
	w.Publish("", "a\x00b", "nul\x00", "\xff\xfe", "caf\xe9", "\xed\xa0\x80", "\u2028", "two\u2028lines\u2029three", "next\u0085line", "\r", "\n\n", "a\r", "a\n",
		"\x01\x1b[31m\x7f", "tab\vfeed\f", "\ufeffmark", "\ufffd?", "\u200b", "null", "0", "[]", "\xf0\x9f\x8c", "\U0010ffff", "e\u0301", ".", "\\u0041", "%00", "+OK\r\n", "--", text(30_000))
}

// text returns size bytes of text in which no two parts are alike and most characters have
// several bytes, so that any truncation is visible.
func text(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		b.WriteString(strconv.Itoa(i))
		b.WriteString(" 파도🌊")
	}
	whole := strings.ToValidUTF8(b.String()[:size], "")
	return whole + strings.Repeat(".", size-len(whole))
}
