package pubsub

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// groupModel is a subscription as a list of messages, each in one of three states. It knows
// nothing of queues, windows and parts but the rules that they must keep.
type groupModel struct {
	t   *rapid.T
	now time.Time
	g   *group
	// What is true, by offset from 1.
	messages []*modelMessage
	members  map[string]*member
	old      []modelDelivery // every delivery that was ever made
}

type modelMessage struct {
	part, attempts int
	lost           int     // deliveries that never arrived, as who was to get them said
	last           *member // who was to get the last one
	unheard        []int   // deliveries to last of which nothing was heard, by how many questions it had been asked before
	state          string  // waiting, out, done
	to             string
	due            time.Time
	acked          modelDelivery // by which it is done
}

type modelDelivery struct {
	delivery
	to         string
	generation uint64
}

func TestGroupModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &groupModel{
			t: t, now: time.Unix(1000, 0), members: map[string]*member{},
			g: &group{limits: limits{
				ackWait:     10 * time.Second,
				maxAttempts: rapid.SampledFrom([]int{0, 3}).Draw(t, "max attempts"),
				window:      rapid.IntRange(1, 4).Draw(t, "window"),
				windowBytes: 1 << 20,
				maxPending:  1000,
			}},
		}
		name := rapid.SampledFrom([]string{"a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"add":        func(t *rapid.T) { m.add(21 * rapid.IntRange(0, 3).Draw(t, "part")) },
			"deliver":    func(t *rapid.T) { m.deliver() },
			"settle":     func(t *rapid.T) { m.settle(t) },
			"time":       func(t *rapid.T) { m.pass(time.Duration(rapid.IntRange(1, 6).Draw(t, "seconds")) * time.Second) },
			"join":       func(t *rapid.T) { m.join(name.Draw(t, "member")) },
			"leave":      func(t *rapid.T) { m.leave(name.Draw(t, "member")) },
			"disconnect": func(t *rapid.T) { m.disconnect(name.Draw(t, "member")) },
			"resume":     func(t *rapid.T) { m.resume(t, name.Draw(t, "member")) },
			"answer":     func(t *rapid.T) { m.answer(t, name.Draw(t, "member")) },
			"restart":    func(t *rapid.T) { m.restart() },
			"":           func(t *rapid.T) { m.check() },
		})
	})
}

func (m *groupModel) add(part int) {
	m.messages = append(m.messages, &modelMessage{part: part, state: "waiting"})
	require.Empty(m.t, m.g.add(&flight{offset: uint64(len(m.messages)), part: part, bytes: 1}))
}

// deliver picks everything that can be.
func (m *groupModel) deliver() {
	for {
		picked := m.g.pick(m.now, 1)
		if len(picked) == 0 {
			break
		}
		f := picked[0]
		msg := m.messages[f.offset-1]
		require.Equal(m.t, "waiting", msg.state, "message %d was delivered", f.offset)
		require.False(m.t, m.now.Before(msg.due), "message %d was delivered in its pause", f.offset)
		require.NotNil(m.t, m.members[f.to.name])
		require.True(m.t, f.to.connected())
		for i, other := range m.messages {
			if other.part == msg.part && other.state == "out" {
				require.Equal(m.t, other.to, f.to.name, "part %d has two owners", msg.part)
			}
			if other.part == msg.part && i+1 < int(f.offset) && msg.attempts == 0 && other.attempts == 0 {
				require.Equal(m.t, "done", other.state, "message %d came before %d", f.offset, i+1)
			}
		}
		msg.state, msg.to, msg.due = "out", f.to.name, m.now.Add(m.g.ackWait)
		msg.attempts++
		if msg.last != f.to {
			msg.despair()
		}
		msg.last = f.to
		msg.unheard = append(msg.unheard, m.asked(f.to))
		require.LessOrEqual(m.t, len(msg.unheard), 2, "message %d is sent on and on to who does not answer", f.offset)
		require.Equal(m.t, msg.attempts, f.attempts)
		require.LessOrEqual(m.t, m.out(msg.to), m.g.window)
		m.old = append(m.old, modelDelivery{delivery{f.offset, f.attempts}, msg.to, f.to.generation})
	}
	// Nothing that could be delivered is left.
	for i, msg := range m.messages {
		if msg.state != "waiting" || m.now.Before(msg.due) || m.spent(msg) {
			continue
		}
		elsewhere := ""
		for _, other := range m.messages {
			if other.part == msg.part && other.state == "out" {
				elsewhere = other.to
			}
		}
		owner := m.g.parts[msg.part].owner
		if owner == nil {
			require.Empty(m.t, m.members, "nobody owns message %d", i+1)
		} else if owner.connected() && m.out(owner.name) < m.g.window && !(msg.last == owner && len(msg.unheard) == 2) {
			require.NotEmpty(m.t, elsewhere, "message %d waits for nothing", i+1)
			require.NotNil(m.t, m.g.parts[msg.part].next, "message %d waits for nothing", i+1)
		}
	}
}

func (m *groupModel) out(name string) (n int) {
	for _, msg := range m.messages {
		if msg.state == "out" && msg.to == name {
			n++
		}
	}
	return n
}

// counted is how many attempts a message has had: who has got several and said nothing may have had one.
func (msg *modelMessage) counted() int { return msg.attempts - msg.lost - max(0, len(msg.unheard)-1) }

func (m *groupModel) spent(msg *modelMessage) bool {
	return m.g.maxAttempts > 0 && msg.counted() >= m.g.maxAttempts
}

// heard is what becomes of deliveries when their member speaks of the one of that number: later ones may still be on their way.
func (msg *modelMessage) heard(attempt int) {
	msg.unheard = msg.unheard[max(0, len(msg.unheard)-max(0, msg.attempts-attempt)):]
}

// despair is what becomes of deliveries of which nothing will be heard.
func (msg *modelMessage) despair() {
	msg.lost += max(0, len(msg.unheard)-1)
	msg.last, msg.unheard = nil, nil
}

// asked has the questions sent that are due, and returns how many a member has had.
func (m *groupModel) asked(member *member) int {
	m.g.questions()
	return int(member.questions)
}

// answer has a member answer all questions, of which each concerns what was sent before.
func (m *groupModel) answer(t *rapid.T, name string) {
	member := m.members[name]
	if member == nil || !member.connected() {
		t.Skip("not there")
	}
	questions := m.asked(member)
	for _, msg := range m.messages {
		if msg.last == member && msg.state != "done" {
			msg.unheard = slices.DeleteFunc(msg.unheard, func(before int) bool { return before < questions })
		}
	}
	m.g.answered(member, uint64(questions))
	m.deadLetters()
}

// settle settles any delivery that was ever made, also a second time or too late.
func (m *groupModel) settle(t *rapid.T) {
	if len(m.old) == 0 {
		t.Skip("nothing was delivered")
	}
	d := m.old[rapid.IntRange(max(0, len(m.old)-8), len(m.old)-1).Draw(t, "delivery")]
	v := rapid.SampledFrom([]verb{verbAck, verbAck, verbNack, verbExtend}).Draw(t, "verb")
	member := m.members[d.to]
	if member == nil || member.generation != d.generation || !member.connected() {
		return // the dispatcher rejects it: see TestFencedMembersSettleNothing
	}
	msg := m.messages[d.Offset-1]
	if msg.last == member {
		msg.heard(d.Attempt)
	}
	want, moving := outcomeLate, m.g.parts[msg.part].next != nil
	mine := msg.state == "out" && msg.to == d.to || msg.state == "waiting" && m.g.parts[msg.part].owner == member
	switch {
	case v == verbAck && mine: // by this delivery or an earlier one
		want = outcomeOK
		msg.state, msg.acked = "done", d
	case msg.state == "out" && msg.to == d.to && msg.attempts == d.Attempt:
		want = outcomeOK
		switch v {
		case verbNack:
			msg.state, msg.due = "waiting", m.now.Add(3*time.Second)
		case verbExtend:
			if moving {
				want = outcomeMoving
			} else {
				msg.due = m.now.Add(3 * time.Second)
			}
		}
	case msg.acked == d && v == verbAck:
		want = outcomeOK
	}
	require.Equal(m.t, want, m.g.settle(member, d.delivery, v, 3*time.Second, m.now))
	m.deadLetters()
}

func (m *groupModel) pass(d time.Duration) {
	m.now = m.now.Add(d)
	next := time.Time{}
	for _, msg := range m.messages {
		if msg.state == "out" && !m.now.Before(msg.due) {
			msg.state, msg.due = "waiting", time.Time{}
		}
		if msg.state != "done" && m.now.Before(msg.due) && (next.IsZero() || msg.due.Before(next)) && !(msg.state == "waiting" && m.spent(msg)) {
			next = msg.due
		}
	}
	m.g.expire(m.now)
	m.deadLetters()
	require.Equal(m.t, next, m.g.due())
}

// deadLetters is what the dispatcher does with dead messages.
func (m *groupModel) deadLetters() {
	for f := m.g.dead(); f != nil; f = m.g.dead() {
		msg := m.messages[f.offset-1]
		require.Equal(m.t, "waiting", msg.state)
		require.True(m.t, m.spent(msg), "message %d was given up after %d attempts", f.offset, msg.attempts)
		require.Empty(m.t, msg.unheard, "message %d was given up without knowing", f.offset)
		msg.state = "done"
		m.g.remove(f)
	}
	for i, msg := range m.messages {
		if msg.state != "waiting" || !m.spent(msg) {
			continue
		}
		require.NotEmpty(m.t, msg.unheard, "message %d goes on for ever", i+1)
		if member := m.members[msg.last.name]; member.connected() {
			require.Less(m.t, msg.unheard[0], m.asked(member), "message %d: %s is not asked for it", i+1, member.name)
		}
	}
}

func (m *groupModel) join(name string) {
	if m.members[name] != nil {
		m.leave(name) // a new run of the same client
	}
	m.members[name] = m.g.join(name, attachment{conn: &connection{}})
}

func (m *groupModel) leave(name string) {
	if m.members[name] == nil {
		return
	}
	m.g.leave(m.members[name])
	for _, msg := range m.messages {
		if msg.last == m.members[name] && msg.state != "done" {
			msg.despair()
		}
	}
	delete(m.members, name)
	m.release(name, nil)
	m.deadLetters()
}

// release puts back what a member has and does not hold.
func (m *groupModel) release(name string, held []delivery) {
	for i, msg := range m.messages {
		if msg.state == "out" && msg.to == name && !slices.Contains(held, delivery{uint64(i + 1), msg.attempts}) {
			msg.state, msg.due = "waiting", time.Time{}
		}
	}
}

func (m *groupModel) disconnect(name string) {
	if m.members[name] != nil {
		m.g.disconnect(m.members[name])
	}
}

func (m *groupModel) resume(t *rapid.T, name string) {
	member := m.members[name]
	if member == nil || member.connected() {
		t.Skip("not away")
	}
	var held, acked []delivery
	for i, msg := range m.messages {
		if msg.state == "out" && msg.to == name {
			switch d := (delivery{uint64(i + 1), msg.attempts}); rapid.IntRange(0, 3).Draw(t, "fate") {
			case 0:
				held = append(held, d)
			case 3: // the last has not arrived, but one before it
				d.Attempt = rapid.IntRange(1, d.Attempt).Draw(t, "attempt")
				held = append(held, d)
			case 1:
				acked = append(acked, d)
				msg.state, msg.acked = "done", modelDelivery{d, name, member.generation}
			}
		}
		if msg.last == member && msg.state != "done" {
			for _, d := range held {
				if d.Offset == uint64(i+1) {
					msg.heard(d.Attempt)
				}
			}
			msg.lost += len(msg.unheard)
			msg.unheard = nil
		}
	}
	m.g.resume(member, attachment{conn: &connection{}}, &resume{Held: held, Acked: acked}, m.now)
	m.release(name, held)
	m.deadLetters()
}

// restart keeps what a store would, in a new group without members.
func (m *groupModel) restart() {
	stored := (&dispatcher{g: *m.g}).state()
	var s state
	require.NoError(m.t, s.decode(stored.encode()))
	require.Equal(m.t, stored, s)

	m.g = &group{limits: m.g.limits, next: s.next, high: s.next, generation: m.g.generation + 1000}
	pending := map[uint64]int{}
	for _, d := range s.pending {
		pending[d.Offset] = d.Attempt
	}
	for i, msg := range m.messages {
		offset := uint64(i + 1)
		attempts, is := pending[offset]
		switch {
		case msg.state == "done":
			require.False(m.t, is, "message %d is done and comes back", offset)
			require.LessOrEqual(m.t, offset, s.next, "message %d is done and comes back", offset)
			continue
		case is:
			require.Equal(m.t, msg.counted(), attempts)
			msg.attempts, msg.lost, msg.last, msg.unheard = attempts, 0, nil, nil
			m.g.flights = append(m.g.flights, &flight{offset: offset, part: msg.part, bytes: 1, attempts: attempts})
			m.g.waiting++
		default:
			require.Greater(m.t, offset, s.next, "message %d is lost", offset)
			require.Zero(m.t, msg.attempts, "message %d was delivered and counts from the beginning", offset)
			m.g.add(&flight{offset: offset, part: msg.part, bytes: 1})
		}
		msg.state, msg.due = "waiting", time.Time{}
	}
	clear(m.members)
	m.deadLetters()
}

// check compares the group with the model.
func (m *groupModel) check() {
	var flights []string
	waiting, floor := 0, uint64(len(m.messages))
	for i, msg := range m.messages {
		if msg.state == "done" {
			continue
		}
		if len(flights) == 0 {
			floor = uint64(i)
		}
		if msg.state == "waiting" {
			waiting++
		}
		flights = append(flights, fmt.Sprint(i+1, msg.state, msg.attempts))
	}
	var got []string
	for _, f := range m.g.flights {
		state := "waiting"
		if f.to != nil {
			state = "out"
		}
		require.Equal(m.t, m.messages[f.offset-1].lost, f.lost, "of message %d", f.offset)
		got = append(got, fmt.Sprint(f.offset, state, f.attempts))
	}
	require.Equal(m.t, flights, got)
	require.Equal(m.t, waiting, m.g.waiting)
	require.Equal(m.t, floor, m.g.floor())

	// Who has nothing to say for twice the time, and had to, hangs; all others are able.
	able := map[string]*member{}
	for name, member := range m.members {
		if member.hangs {
			require.GreaterOrEqual(m.t, m.now.Sub(member.heard), 2*m.g.ackWait, name)
			require.True(m.t, member.late, name)
		} else {
			able[name] = member
		}
	}
	if len(able) == 0 {
		able = m.members
	}

	// Parts are shared fairly, now or as soon as what is under way has landed.
	shares := map[string]int{}
	for i := range m.g.parts {
		owner := cmp.Or(m.g.parts[i].next, m.g.parts[i].owner)
		if owner == nil {
			require.Empty(m.t, m.members)
			continue
		}
		require.Equal(m.t, able[owner.name], owner, "part %d belongs to somebody who left or hangs", i)
		shares[owner.name]++
	}
	for name, share := range shares {
		require.InDelta(m.t, partitions/len(able), share, 1, "the share of %s of %d", name, len(able))
	}
}

// A member that settles nothing loses its parts after twice AckWait, and gets them back when it does.
func TestMemberThatHangs(t *testing.T) {
	now := time.Unix(1000, 0)
	g := &group{limits: limits{ackWait: 10 * time.Second, window: 100, windowBytes: 1 << 20, maxPending: 1000}}
	m := map[string]*member{}
	for _, name := range []string{"able", "away", "hangs"} {
		m[name] = g.join(name, attachment{conn: &connection{}})
	}
	g.disconnect(m["away"])
	for i := range 64 {
		require.Empty(t, g.add(&flight{offset: uint64(i + 1), part: i, bytes: 1}))
	}
	shares := func() (all []int) {
		for _, member := range g.members {
			parts := 0
			for i := range g.parts {
				if cmp.Or(g.parts[i].next, g.parts[i].owner) == member {
					parts++
				}
			}
			all = append(all, parts)
		}
		return all
	}
	fair := shares()
	round := func(after time.Duration) (by map[string]int) {
		now = now.Add(after)
		g.expire(now)
		by = map[string]int{}
		for _, f := range g.pick(now, 1000) {
			by[f.to.name]++
			if f.to == m["able"] {
				require.Equal(t, outcomeOK, g.settle(f.to, delivery{f.offset, f.attempts}, verbAck, 0, now))
			}
		}
		return by
	}
	require.Equal(t, map[string]int{"able": fair[0], "hangs": fair[2]}, round(0))
	require.Equal(t, map[string]int{"hangs": fair[2]}, round(10*time.Second), "it may be slow")
	require.Equal(t, fair, shares())
	require.Empty(t, round(10*time.Second-1))
	by := round(1)
	require.Equal(t, []int{32, 32, 0}, shares(), "who is away has not hung yet")
	require.NotZero(t, by["able"])
	require.Zero(t, by["hangs"])
	require.EqualValues(t, 2*fair[2], g.stats.TimedOut)

	f := g.flights[len(g.flights)-1]
	require.Equal(t, outcomeLate, g.settle(m["hangs"], delivery{f.offset, 1}, verbNack, 0, now))
	require.Equal(t, len(fair), len(shares()))
	for _, share := range shares() {
		require.InDelta(t, 64/3, share, 1)
	}
}

// A message that was never delivered does not take the position back behind one that was,
// and is done. (Random runs find this seldom.)
func TestPositionKeepsWhatIsDone(t *testing.T) {
	now := time.Unix(1000, 0)
	g := &group{limits: limits{ackWait: time.Hour, window: 1, windowBytes: 100, maxPending: 100}}
	a, b := g.join("a", attachment{conn: &connection{}}), g.join("b", attachment{conn: &connection{}})
	g.add(&flight{offset: 1, part: 0})
	g.add(&flight{offset: 2, part: 0})
	g.add(&flight{offset: 3, part: partitions - 1})
	g.add(&flight{offset: 4, part: partitions - 1})
	require.Len(t, g.pick(now, 10), 2)
	require.Equal(t, outcomeOK, g.settle(a, delivery{1, 1}, verbAck, 0, now))
	require.Equal(t, outcomeOK, g.settle(b, delivery{3, 1}, verbAck, 0, now))

	s := (&dispatcher{g: *g}).state()
	require.Equal(t, []delivery{{2, 0}}, s.pending)
	require.EqualValues(t, 3, s.next, "4 was never delivered, nor anything after it: it is read again")
}
