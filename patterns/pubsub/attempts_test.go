package pubsub

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is lost on the way is no attempt, but is not sent for ever.
func TestLostDeliveriesAreNoAttempts(t *testing.T) {
	now := time.Unix(1000, 0)
	g := &group{limits: limits{ackWait: time.Second, maxAttempts: 2, window: 1, windowBytes: 100, maxPending: 100}}
	connected := attachment{conn: &connection{}}
	m := g.join("m", connected)
	lose := func(times int) {
		for range times {
			require.Nil(t, g.dead())
			require.Len(t, g.pick(now, 10), 1)
			g.disconnect(m)
			now = now.Add(time.Second)
			g.expire(now) // while the member is away
			g.resume(m, connected, &resume{}, now)
		}
	}
	g.add(&flight{offset: 1})
	lose(3)
	require.Len(t, g.pick(now, 10), 1)
	require.Equal(t, outcomeOK, g.settle(m, delivery{1, 4}, verbNack, 0, now), "the fourth arrived: one attempt")
	lose(3)
	require.Len(t, g.pick(now, 10), 1)
	g.disconnect(m)
	g.resume(m, connected, &resume{Held: []delivery{{1, 8}}}, now)
	require.Nil(t, g.dead(), "it has the second")
	require.Equal(t, outcomeOK, g.settle(m, delivery{1, 8}, verbNack, 0, now))
	require.NotNil(t, g.dead())
	g.remove(g.dead())

	g.add(&flight{offset: 2})
	lose(101)
	require.Nil(t, g.dead())
	lose(1)
	require.NotNil(t, g.dead(), "no connection survives it")
}

// Over a connection that is dead, as far as anybody can tell, a message uses up no attempts.
func TestDeliveriesThatNobodyConfirmsAreNoAttempts(t *testing.T) {
	now := time.Unix(1000, 0)
	g := &group{limits: limits{ackWait: 10 * time.Second, maxAttempts: 3, window: 10, windowBytes: 100, maxPending: 100}}
	m := g.join("m", attachment{conn: &connection{}})
	var attempts, questions int
	wait := func(rounds int) {
		for range rounds {
			now = now.Add(10 * time.Second)
			g.expire(now)
			questions += len(g.questions())
			attempts += len(g.pick(now, 10))
			require.Nil(t, g.dead())
		}
	}
	g.add(&flight{offset: 1})
	wait(100)
	require.Equal(t, 2, attempts, "one, and another while the question is under way")
	require.Equal(t, 1, questions)
	d := dispatcher{g: *g}
	require.Equal(t, []delivery{{1, 1}}, d.state().pending, "one of the two may have been tried, as far as a restart needs to know")

	g.answered(m, 2)
	wait(1)
	require.Equal(t, 3, attempts, "the first has arrived")
	g.answered(m, 1)
	require.Equal(t, 2, questions, "the second was sent after the first question")
	wait(100)
	require.Equal(t, 3, attempts)
	g.answered(m, 2)
	wait(100)
	require.Equal(t, 3, attempts, "the third is the last")
	require.Equal(t, 3, questions)
	g.answered(m, 3)
	require.Equal(t, 3, g.dead().attempts)

	g.remove(g.dead())
	g.add(&flight{offset: 2})
	attempts = 0
	for range 2 {
		wait(100)
		g.leave(m)
		require.Nil(t, g.dead())
		m = g.join("m", attachment{conn: &connection{}})
	}
	require.Equal(t, 4, attempts, "of the two to each that has gone without a word one counts: it may have died of it")
	wait(1)
	g.leave(m)
	require.Equal(t, 5, g.dead().attempts)
}

// A delivery that has not left is none.
func TestDeliveriesThatHaveNotLeft(t *testing.T) {
	now := time.Unix(1000, 0)
	g := &group{limits: limits{ackWait: 10 * time.Second, maxAttempts: 2, window: 10, windowBytes: 100, maxPending: 100}}
	g.join("m", attachment{conn: &connection{}})
	g.add(&flight{offset: 1})
	d := dispatcher{g: *g}
	for range 10 {
		f := d.g.pick(now, 10)[0]
		d.takeBack([]sending{{f, f.to, f.to.attachment, delivery{1, 1}}})
		require.Zero(t, f.attempts)
		require.Nil(t, d.g.dead())
	}
}

// Who speaks of one delivery has not had those that were sent after it.
func TestDeliveriesAfterTheOneThatIsSpokenOf(t *testing.T) {
	for name, speak := range map[string]func(g *group, m *member, now time.Time){
		"comes back with the first": func(g *group, m *member, now time.Time) {
			g.disconnect(m)
			g.resume(m, attachment{conn: &connection{}}, &resume{Held: []delivery{{1, 1}}}, now)
		},
		"refuses the first, and comes back with nothing": func(g *group, m *member, now time.Time) {
			require.Equal(t, outcomeLate, g.settle(m, delivery{1, 1}, verbNack, 0, now))
			require.Nil(t, g.dead())
			g.disconnect(m)
			g.resume(m, attachment{conn: &connection{}}, &resume{}, now)
		},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1000, 0)
			g := &group{limits: limits{ackWait: 10 * time.Second, maxAttempts: 2, window: 10, windowBytes: 100, maxPending: 100}}
			m := g.join("m", attachment{conn: &connection{}})
			g.add(&flight{offset: 1})
			require.Len(t, g.pick(now, 10), 1)
			now = now.Add(10 * time.Second)
			g.expire(now)
			require.Len(t, g.pick(now, 10), 1)
			speak(g, m, now)
			require.Nil(t, g.dead(), "the second was lost on the way")
			require.Len(t, g.pick(now, 10), 1)
			require.Equal(t, outcomeOK, g.settle(m, delivery{1, 3}, verbNack, 0, now))
			require.NotNil(t, g.dead())
		})
	}
}

// What was sent after the delivery that is spoken of is asked for, or its message would neither be given up nor come again.
func TestTheLastDeliveryIsAskedFor(t *testing.T) {
	now := time.Unix(1000, 0)
	g := &group{limits: limits{ackWait: 10 * time.Second, maxAttempts: 2, window: 10, windowBytes: 100, maxPending: 100}}
	m := g.join("m", attachment{conn: &connection{}})
	g.add(&flight{offset: 1})
	for range 2 {
		require.Len(t, g.pick(now, 10), 1)
		now = now.Add(10 * time.Second)
		g.expire(now)
		g.questions()
	}
	require.Equal(t, outcomeLate, g.settle(m, delivery{1, 1}, verbNack, 0, now))
	require.Nil(t, g.dead())
	require.Len(t, g.questions(), 1)
	g.answered(m, m.questions)
	require.NotNil(t, g.dead())
}

// A delivery that was taken back after its member had said what it holds is none: the message may be given up, and asked about, as before.
func TestADeliveryThatIsTakenBackIsNotUnheard(t *testing.T) {
	for name, said := range map[string]func(f *flight){
		"nothing":           func(*flight) {},
		"it is missing":     (*flight).wentMissing,
		"it is not to come": (*flight).despair,
	} {
		f := new(flight)
		f.send(new(member))
		said(f)
		f.unsend()
		require.Zero(t, f.unheard, name)
		require.Zero(t, f.attempts, name)
	}
}
