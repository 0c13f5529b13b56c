package patterntest

import (
	"fmt"
	"time"
)

// serverCallStories are about a server that stops and comes back.
func serverCallStories() (all callStories) {
	all.add("the server crashes while it works", "a caller that loses the connection does not know whether the call took effect", func(w *CallWorld) {
		c := w.Caller("phone")
		for range 3 {
			c.AskEvery(time.Second, 3, Question{})
			c.AskEvery(0, 2, Question{Work: time.Second})
			w.Sleep(500 * time.Millisecond)
			w.Server.Crash()
			w.Sleep(5 * time.Second)
			w.Server.Restart()
			w.Sleep(30 * time.Second)
		}
		c.AskEvery(time.Second, 3, Question{})
	})
	all.add("the server crashes right after the effect", "the answer is lost in the crash, or still on its way", func(w *CallWorld) {
		c := w.Caller("phone")
		for range 4 {
			c.Ask(Question{})
			c.AskEvery(0, 2, Question{Work: time.Second, Keyed: true})
			w.Sleep(time.Second + Transit + time.Millisecond)
			w.Server.Restart()
			w.Sleep(30 * time.Second)
		}
	})
	all.add("the server restarts, and is asked as much again at once", "a request number that the new process reuses must not match a call from before the restart", func(w *CallWorld) {
		c := w.Caller("phone")
		c.AskEvery(10*time.Millisecond, 10, Question{Work: 2 * time.Second})
		w.Sleep(500 * time.Millisecond)
		w.Server.Restart()
		c.AskEvery(10*time.Millisecond, 30, Question{Work: 100 * time.Millisecond})
		w.Sleep(30 * time.Second)
	})
	all.races("which of the calls that the restart ended at one instant is retried first")
	all.add("the server loses power while it works", "its callers are not told, and must find out by themselves", func(w *CallWorld) {
		c := w.Caller("phone")
		c.Ask(Question{})
		c.AskEvery(0, 3, Question{Work: time.Second, Timeout: 20 * time.Second})
		w.Sleep(500 * time.Millisecond)
		w.Server.PowerOff()
		c.AskEvery(2*time.Second, 20, Question{Timeout: 5 * time.Second})
		w.Server.Restart()
		w.Sleep(time.Second)
		c.AskEvery(time.Second, 10, Question{Timeout: 5 * time.Second})
	})
	all.add("the server is frozen for a minute, amid calls", "the kernel of a frozen process still acknowledges TCP segments, and the process resumes work that nobody waits for", func(w *CallWorld) {
		c := w.Caller("phone")
		c.Ask(Question{})
		w.After(time.Second, w.Server.Pause)
		w.After(time.Minute, w.Server.Resume)
		c.AskEvery(2*time.Second, 40, Question{Timeout: 5 * time.Second})
	})
	all.races(overdue)
	all.add("the server comes back and hangs for two minutes", "calls that it accepted while it hung are never answered, and must not delay later ones", func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		c.AskEvery(time.Second, 5, Question{})
		w.Server.Crash()
		c.AskEvery(2*time.Second, 10, Question{Timeout: 5 * time.Second})
		w.Slow(w.servers[0], never)
		w.Server.Restart()
		c.AskEvery(2*time.Second, 60, Question{Timeout: 5 * time.Second})
		w.Slow(w.servers[0], 0)
		c.AskEvery(2*time.Second, 10, Question{Timeout: 5 * time.Second})
	})
	all.add("the server is redeployed ten times, amid calls", "the everyday case: the old process is asked to stop, and the next one starts", func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		for i := range 10 {
			c.AskEvery(200*time.Millisecond, 10, Question{Work: time.Duration(i%4) * 400 * time.Millisecond, Keyed: i%2 == 1})
			w.Sleep(37 * time.Millisecond) // not when something else is due
			w.Redeploy()
			w.Sleep(500 * time.Millisecond)
		}
	})
	all.add("the server is redeployed while it works", "a server must finish the calls that it has begun", func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		for _, work := range []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second} {
			c.AskEvery(50*time.Millisecond, 4, Question{Work: work})
			w.Redeploy()
			w.Sleep(10 * time.Second)
		}
	})
	all.needs("Service.Drains is not set", func(s Service) bool { return s.Drains })
	all.add("the server restarts while it works for long", "a durable server has every accepted call on disk", func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		for _, keyed := range []bool{false, true} {
			c.AskEvery(100*time.Millisecond, 3, Question{Work: 20 * time.Second, Timeout: 10 * time.Minute, Keyed: keyed})
			w.Sleep(5 * time.Second)
			w.Server.Crash()
			w.Sleep(10 * time.Second)
			w.Server.Restart()
			w.Sleep(3 * time.Minute)
		}
	})
	all.needs("Service.Durable is not set", func(s Service) bool { return s.Durable })
	all.add("the server is gone for ten minutes, amid calls", "calls must end on time during the outage and succeed again after it", func(w *CallWorld) {
		c := w.Caller("phone")
		c.Ask(Question{})
		w.Server.Crash()
		c.AskEvery(20*time.Second, 30, Question{Timeout: 5 * time.Second})
		w.Server.Restart()
		w.Sleep(time.Second)
		c.AskEvery(time.Second, 3, Question{})
	})
	return all
}

// never is longer than any story.
const never = 10_000 * time.Hour

// manyCallStories are about callers that go away, and about the effects of one caller
// on others.
func manyCallStories() (all callStories) {
	all.add("a caller crashes and leaves while it waits", "a caller that crashed gets no answers, one that returns starts afresh, and the others notice nothing", func(w *CallWorld) {
		c, other := w.Caller("phone"), w.Caller("other")
		w.PromptFor(other)
		for i := range 6 {
			goes, comes := c.Host.Crash, c.Host.Restart
			if i%2 == 1 {
				goes, comes = c.Leave, c.Return
			}
			c.AskEvery(10*time.Millisecond, 3, Question{Work: 3 * time.Second})
			w.Sleep(537 * time.Millisecond) // not when something else is due
			goes()
			other.AskEvery(time.Second, 3, Question{})
			comes()
			w.Sleep(time.Millisecond)
			c.Ask(Question{})
		}
	})
	all.add("twenty callers lose the server at one instant", "callers that retry in step all hit the server at once when it is back", func(w *CallWorld) {
		w.Callers(20)
		w.AskEvery(10*time.Millisecond, 20, Question{})
		w.Sleep(time.Second)
		w.Server.Crash()
		w.Sleep(10 * time.Second)
		w.AskEvery(0, 20, Question{Timeout: time.Minute}) // all connect
		w.Sleep(5 * time.Second)                          // for as long the first delays are too short to spread over
		w.SpreadOut()
		w.After(20*time.Second, w.Server.Restart)
		w.Sleep(time.Minute)
	})
	all.needs(replicated, alone)
	all.add("one caller of three does not read its answers", "a slow caller must not delay the others", func(w *CallWorld) {
		slow := w.Caller("slow")
		w.PromptFor(w.Caller("one"), w.Caller("two"))
		slow.AskEvery(10*time.Millisecond, 60, Question{Work: time.Second, Answer: 50_000, Timeout: 2 * time.Minute})
		slow.Host.Pause()
		for range 20 {
			for _, c := range w.callers[1:] {
				c.AskEvery(500*time.Millisecond, 1, Question{})
			}
		}
		slow.Host.Resume()
	})
	return all
}

// keyedCallStories are about calls with keys.
func keyedCallStories() (all callStories) {
	keyed := func(s Service) bool { return s.Keys != nil }
	add := func(name, reason string, play func(w *CallWorld)) {
		all.add(name, reason, play)
		all.needs("Service.Keys is not set", keyed)
	}
	add("a key that was used", "a repeated call must get the same answer and must not have a second effect", func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		for i := range 3 {
			q := Question{Key: fmt.Sprintf("order-%d", i), Answer: 100}
			c.Ask(q)
			w.Sleep(time.Second)
			undo := w.MustBeDone(0, Answering, "its key was known")
			c.Ask(q)
			w.Sleep(20 * time.Second)
			c.Ask(q)
			undo()
		}
	})
	add("a key that is in use", "the second call with the key arrives while the first is still running", func(w *CallWorld) {
		c, other := w.Caller("phone"), w.Caller("other")
		for i, apart := range []time.Duration{0, 5 * time.Millisecond, 500 * time.Millisecond} {
			q := Question{Key: fmt.Sprintf("order-%d", i), Work: 2 * time.Second}
			c.AskEvery(apart, 3, q)
			other.AskEvery(apart, 3, q)
			w.Sleep(10 * time.Second)
			other.Ask(q)
		}
	})
	add("a key with other data", "a key must not return the answer to a different question", func(w *CallWorld) {
		c := w.Caller("phone")
		for i := range 3 {
			key := fmt.Sprintf("order-%d", i)
			c.Ask(Question{Key: key})
			c.Ask(Question{Key: key, Size: 100 + i})
			c.AskEvery(0, 1, Question{Key: key + "-slow", Work: time.Second})
			w.Sleep(100 * time.Millisecond)
			c.Ask(Question{Key: key + "-slow", Size: 100 + i})
			w.Sleep(5 * time.Second)
		}
	})
	add("a key after the answer was lost", "the case that keys exist for: a retry must find the first answer", func(w *CallWorld) {
		c := w.Caller("phone")
		for i := range 4 {
			q := Question{Key: fmt.Sprintf("order-%d", i), Timeout: 3 * time.Second, Work: time.Duration(i) * 500 * time.Millisecond}
			c.Ask(Question{})
			w.After(60*time.Millisecond, func() { c.Link.DownFrom(w.Server) })
			c.Ask(q)
			c.Link.Up()
			c.Ask(q)
			w.Sleep(20 * time.Second)
			c.Ask(q)
		}
	})
	add("a key is given up while it is in use", "an abandoned call must not block its key forever", func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		for i := range 3 {
			q := Question{Key: fmt.Sprintf("order-%d", i), Work: time.Second}
			q.Cancel = 500 * time.Millisecond
			c.Ask(q)
			q.Cancel = 0
			w.Sleep(5 * time.Second)
			undo := w.MustBeDone(0, Answering, "nobody has its key any more")
			c.Ask(q)
			undo()
			w.Sleep(5 * time.Second)
		}
	})
	all.add("a key, and the server restarts", "a crash must not fall between the effect and the record of its key", func(w *CallWorld) {
		c := w.Caller("phone")
		for i := range 6 {
			q := Question{Key: fmt.Sprintf("order-%d", i), Work: time.Second, Timeout: 5 * time.Second}
			c.Ask(Question{})
			c.AskEvery(0, 1, q)
			// before the effect, just after it, and when all is over
			w.Sleep([]time.Duration{500 * time.Millisecond, time.Second + Transit + time.Millisecond, 2 * time.Second}[i%3])
			w.Server.Restart()
			w.Sleep(20 * time.Second)
			c.Ask(q)
			w.Sleep(10 * time.Second)
		}
	})
	all.needs("Service.Keys is not set, or not Durable", func(s Service) bool { return s.Keys != nil && s.Keys.Durable })
	return all
}

// patienceCallStories are about calls that are given up.
func patienceCallStories() (all callStories) {
	given := func(w *CallWorld, size int) {
		c := w.Caller("phone")
		w.GoodFor(c)
		c.Ask(Question{})
		for _, after := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second} {
			c.AskEvery(10*time.Millisecond, 3, Question{Work: 5 * time.Second, Cancel: after, Size: size})
			c.AskEvery(10*time.Millisecond, 3, Question{Work: 5 * time.Second, Timeout: after, Size: size})
			w.Sleep(10 * time.Second)
		}
	}
	all.add("calls are given up", "work that nobody waits for takes capacity from other calls", func(w *CallWorld) { given(w, 0) })
	all.needs("Service.Cancels is not set", func(s Service) bool { return s.Cancels })
	all.add("calls with much data are given up", "a server that has not read the whole question does not notice that its caller gave up", func(w *CallWorld) { given(w, 40_000) })
	all.needs("Service.Cancels is not set", func(s Service) bool { return s.Cancels })
	all.races("the end of a question and of its connection can arrive together")
	all.add("calls are given up over three tiers", "a call that was given up must be given up on every tier", func(w *CallWorld) {
		w.Tier()
		w.Tier()
		given(w, 0)
	})
	all.needs("Service.Cancels is not set, or "+replicated, func(s Service) bool { return s.Cancels && alone(s) })

	hasDeadlines := func(s Service) bool { return s.Deadlines }
	all.add("deadlines over three tiers", "each tier has less time left than the one before, and must not begin work that is already too late", func(w *CallWorld) {
		w.Tier()
		w.Tier()
		c := w.Caller("phone")
		w.GoodFor(c)
		c.Ask(Question{})
		for _, timeout := range []time.Duration{100 * time.Millisecond, 250 * time.Millisecond, time.Second, 5 * time.Second} {
			c.AskEvery(20*time.Millisecond, 4, Question{Timeout: timeout, Work: 2 * time.Second})
			w.Sleep(10 * time.Second)
		}
	})
	all.needs("Service.Deadlines is not set, or "+replicated, func(s Service) bool { return s.Deadlines && alone(s) })
	all.add("more calls than places", "time in the server's queue counts against the call's deadline", func(w *CallWorld) {
		w.Places(2)
		c := w.Caller("phone")
		w.GoodFor(c)
		c.AskEvery(10*time.Millisecond, 20, Question{Work: 500 * time.Millisecond, Timeout: 2 * time.Second})
		w.Sleep(10 * time.Second)
		c.AskEvery(time.Second, 3, Question{})
	})
	all.needs("Service.Deadlines is not set", hasDeadlines)
	all.add("an overload of five seconds", "work for callers that gave up must not delay the calls that come later", func(w *CallWorld) {
		w.Places(10)
		w.Callers(20)
		w.AskEvery(20*time.Millisecond, 200, Question{Work: 160 * time.Millisecond, Timeout: time.Second}) // nearly what the servers can do
		w.Slow(w.servers[0], 2*time.Second)
		w.AskEvery(20*time.Millisecond, 250, Question{Work: 160 * time.Millisecond, Timeout: time.Second})
		w.Slow(w.servers[0], 0)
		w.MustBeDone(healTime, Healed, "an overload was over for 10s")
		w.AskEvery(20*time.Millisecond, 650, Question{Work: 160 * time.Millisecond, Timeout: time.Second})
	})
	all.needs("neither Service.Cancels nor Service.Deadlines is set", func(s Service) bool { return s.Cancels || s.Deadlines })
	return all
}

// healTime is how long a service may take to recover after an overload.
const healTime = 10 * time.Second

// retryCallStories are about clients that retry by themselves.
func retryCallStories() (all callStories) {
	retries := func(s Service) bool { return s.Retries != nil }
	all.add("everything is refused for a minute", "retries make an overloaded server slower still", func(w *CallWorld) {
		w.GoodFor(w.Callers(5)...)
		w.AskEvery(100*time.Millisecond, 50, Question{})
		w.Refusing(true)
		w.AskEvery(200*time.Millisecond, 300, Question{})
		w.Refusing(false)
		w.Sleep(10 * time.Second)
		w.AskEvery(100*time.Millisecond, 50, Question{})
	})
	all.needs("Service.Retries is not set", retries)
	all.add("one caller alone is refused", "a retry budget that counts only concurrent calls does not limit a caller that makes one call after another", func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		w.Refusing(true)
		for range 40 {
			c.Ask(Question{})
			w.Sleep(100 * time.Millisecond)
		}
		w.Refusing(false)
		w.Sleep(time.Minute)
	})
	all.needs("Service.Retries is not set", retries)
	all.add("three tiers, of which the last refuses", "if each of three tiers tries three times, one call becomes 27", func(w *CallWorld) {
		w.Tier()
		w.Tier()
		w.GoodFor(w.Callers(3)...)
		w.AskEvery(50*time.Millisecond, 20, Question{})
		w.Refusing(true)
		w.AskEvery(50*time.Millisecond, 120, Question{})
		w.Refusing(false)
		w.Sleep(time.Minute)
	})
	all.needs("Service.Retries is not set, or "+replicated, func(s Service) bool { return s.Retries != nil && alone(s) })
	all.add("a refusal that says until when", "retrying earlier than told is useless, and not retrying gives the call up", func(w *CallWorld) {
		c := w.Caller("phone")
		w.GoodFor(c)
		c.AskEvery(time.Second, 50, Question{}) // that there be a budget
		for _, after := range []time.Duration{time.Second, 3 * time.Second, 24 * time.Hour} {
			c.Ask(Question{Refusals: 1, RetryAfter: after, Timeout: 20 * time.Second})
			c.AskEvery(time.Second, 20, Question{})
		}
	})
	all.needs("Service.Retries is not set, or has no After", func(s Service) bool { return s.Retries != nil && s.Retries.After })
	return all
}

// replicaCallStories are about services with several servers.
func replicaCallStories() (all callStories) {
	several := func(s Service) bool { return s.Replicas > 1 }
	for _, sick := range []struct {
		name       string
		fall, rise func(w *CallWorld, r *Replica)
	}{
		{"crashes", func(_ *CallWorld, r *Replica) { r.Host.Crash() }, func(_ *CallWorld, r *Replica) { r.Host.Restart() }},
		{"loses power", func(_ *CallWorld, r *Replica) { r.Host.PowerOff() }, func(_ *CallWorld, r *Replica) { r.Host.Restart() }},
		{"is frozen", func(_ *CallWorld, r *Replica) { r.Host.Pause() }, func(_ *CallWorld, r *Replica) { r.Host.Resume() }},
		{"is slow", func(w *CallWorld, r *Replica) { w.Slow(r, 30*time.Second) }, func(w *CallWorld, r *Replica) { w.Slow(r, 0) }},
	} {
		all.add("one replica "+sick.name, "the healthy replicas must take over all calls", func(w *CallWorld) {
			w.Callers(2)
			w.AskEvery(100*time.Millisecond, 40, Question{})
			for _, r := range w.Replicas() {
				sick.fall(w, r)
				w.AskEvery(100*time.Millisecond, 100, Question{Timeout: 2 * time.Second})
				undo := w.MustBeDone(0, Isolated, "of the replicas "+r.Name+" alone was sick, for 10s")
				w.AskEvery(100*time.Millisecond, 100, Question{Timeout: 2 * time.Second})
				undo()
				sick.rise(w, r)
				w.Sleep(time.Minute)
				w.AskEvery(100*time.Millisecond, 20, Question{})
			}
		})
		all.needs("Service.Replicas is less than 2", several)
		if sick.name == "is frozen" {
			all.races(overdue)
		}
	}
	return all
}
