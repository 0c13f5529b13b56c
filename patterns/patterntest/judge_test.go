package patterntest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// An event that is on its way when its time is over cannot be called back; one that is sent to a
// client that has come back can.
func TestFreshIsAboutWhatIsSentTooLate(t *testing.T) {
	story := patterntest.Story{Name: "late", Reason: "TCP brings what is lost for a moment", Play: func(w *patterntest.World) {
		c := w.Client("phone")
		c.Link.Down()
		w.PublishFor(10*time.Second, time.Second, 1)
		w.Sleep(15 * time.Second)
		c.Link.Up()
		w.Sleep(30 * time.Second)
	}}
	require.Empty(t, judge(t, ledger{expires: true}.on, story))

	story.Play = func(w *patterntest.World) {
		c := w.Client("phone")
		c.Leave()
		w.PublishFor(10*time.Second, time.Second, 1)
		w.Sleep(15 * time.Second)
		c.Return()
	}
	require.Empty(t, judge(t, ledger{expires: true}.on, story))
	forEver := func(s *ledgerServer, e entry) error {
		e.Until = time.Time{}
		s.add(e)
		return nil
	}
	require.Equal(t, []patterntest.Promise{patterntest.Fresh}, promises(judge(t, ledger{expires: true, accept: forEver}.on, story)))
}

// A gap that a restart entitles a system to does not hide what was lost before it.
func TestCheckNotesWhatIsLostByThen(t *testing.T) {
	play := func(check bool) patterntest.Story {
		return patterntest.Story{Name: "lost", Reason: "a gap explains what is missing before it", Play: func(w *patterntest.World) {
			c := w.Client("phone")
			c.Leave()
			w.PublishEvery(time.Second, 20)
			c.Return()
			w.Sleep(time.Second)
			if check {
				w.Check()
			}
			w.Redeploy()
			w.Sleep(time.Second)
			w.PublishEvery(time.Second, 1)
		}}
	}
	require.Empty(t, judge(t, ledger{accept: ring(5)}.on, play(false)))
	found := judge(t, ledger{accept: ring(5)}.on, play(true))
	require.Equal(t, []patterntest.Promise{patterntest.Complete}, promises(found))
	require.Contains(t, found[0].Text, "e1, accepted at 400ms, had not reached phone")
	require.Contains(t, found[0].Text, "(and 14 more)")
	require.Empty(t, judge(t, ledger{}.on, play(true)))
}

// A server that passes on an event has it in hand twice, in its own form and in that of the wire: what it
// may hold for each client is two of the largest, if that is more than MaxHeld.
func TestHeldMayBeTwoOfTheLargestEvent(t *testing.T) {
	const largest = 1 << 20
	story := patterntest.Story{Name: "large", Reason: "a limit that is less than one event could not be kept", Play: func(w *patterntest.World) {
		w.Clients(2)
		w.Publish("small", strings.Repeat("x", largest), "small")
	}}
	for _, row := range []struct {
		maxHeld, held int
		text          string
	}{
		{0, 2 * 2 * largest, ""},
		{0, 2*2*largest + 1, "the server held 4194305 bytes for its clients at 800ms; its limit is 4194304"},
		{3 * largest, 2 * 3 * largest, ""},
		{3 * largest, 2*3*largest + 1, "the server held 6291457 bytes for its clients at 800ms; its limit is 6291456"},
	} {
		published := false
		found := judge(t, func(n *sim.Network) patterntest.System {
			s := ledger{}.on(n)
			s.MaxHeld = row.maxHeld
			publish := s.Publish
			s.Publish = func(data string) error {
				published = published || len(data) == largest
				return publish(data)
			}
			s.Held = func() int {
				if published {
					return row.held
				}
				return 0
			}
			return s
		}, story)
		if row.text == "" {
			require.Empty(t, found)
			continue
		}
		require.Equal(t, []patterntest.Promise{patterntest.Bounded}, promises(found))
		require.Equal(t, row.text, found[0].Text)
	}
}

// A failure tells what happened when the event was lost, and not only what came last.
func TestAFailureTellsWhatHappenedAroundIt(t *testing.T) {
	fixSeed(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := patterntest.NewWorld(n, polling{publisher: swallowsWhenAlone}.on(n), t.TempDir())
		c := w.Client("phone")
		w.Client("other").Link.Down()
		w.PublishEvery(time.Second, 2)
		c.Leave()
		w.PublishEvery(time.Minute, 30)
		c.Return()
		w.Check()
		w.Redeploy()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 2)
		w.Settle()
		var all []string
		for _, b := range w.Verdict() {
			if b.Promise == patterntest.Complete && strings.Contains(b.Text, "phone") {
				all = append(all, patterntest.Around(w, b))
			}
		}
		require.Equal(t, []string{`Around it:
              800ms  e1 published
              840ms  e1 reached phone
       1.800000001s  e2 published
       1.840000001s  e2 reached phone
       2.800000002s  phone leaves
       2.800000002s  e3 published
     1m2.800000003s  e4 published
     2m2.800000004s  e5 … e32 (28 until 29m2.800000031s) published
    30m2.800000032s  phone returns
    30m2.960000032s  e3 reached phone
    33m3.800000032s  the server is asked to stop, and the next to start
    33m4.573002454s  phone is told that events are missing (wrong-epoch)
`}, all)
	})
}
