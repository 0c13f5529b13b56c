package weather_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/weather"
)

// Ten programs with a bug that needs two or three faults together.

// The server recognizes repeated questions, but remembers them in memory only. An answer is lost,
// and the server restarts before the question is asked again.
func forgetsWhatItHasDone(t testing.TB, n *sim.Network, s *weather.Storm) {
	bank, shop := n.Host("bank"), n.Host("shop")
	n.Link(bank, shop, netem.Config{Delay: 250 * time.Millisecond})
	var f facts
	serve(bank, func() func(string) string {
		done := map[string]bool{}
		return alone(func(order string) string {
			if !done[order] {
				done[order] = true
				f.add("charged "+order, 1)
			}
			return "paid"
		})
	})
	n.Always("an order is charged once", func() error { return f.most("charged ", 1) })
	s.Begin()
	every(time.Second, 8, func(i int) {
		for range 4 {
			if _, err := ask(shop, "bank", fmt.Sprint(i), 2*time.Second); err == nil {
				break
			}
			time.Sleep(3 * time.Second)
		}
	})
	s.Settle()
}

// Two replicas keep what was stored in memory, and both lose it.
func keepsTwoCopies(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "client", "left", "right")
	for _, replica := range h[1:] {
		serve(replica, func() func(string) string {
			kept := ""
			return alone(func(line string) string {
				if value, ok := strings.CutPrefix(line, "set "); ok {
					kept = value
				}
				return "has " + kept
			})
		})
	}
	time.Sleep(time.Second)
	for _, name := range []string{"left", "right"} {
		if _, err := ask(h[0], name, "set it", time.Second); err != nil {
			t.Fatal(err)
		}
	}
	s.Begin()
	s.Settle()
	for _, name := range []string{"left", "right"} {
		if text, _ := ask(h[0], name, "get", time.Minute); text == "has it" {
			return
		}
	}
	t.Error("no replica has it any more")
}

// The client asks two servers, one after the other, and then invents the answer.
func makesItUp(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "client", "first", "second")
	for _, server := range h[1:] {
		serve(server, func() func(string) string { return func(string) string { return "42" } })
	}
	s.Begin()
	every(2*time.Second, 10, func(int) {
		text, err := ask(h[0], "first", "?", time.Second)
		if err != nil {
			text, err = ask(h[0], "second", "?", time.Second)
		}
		if err != nil {
			text = "0"
		}
		if text != "42" {
			t.Error("the answer is made up")
		}
	})
	s.Settle()
}

// The same with three servers.
func losesAllThree(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "client", "a", "b", "c")
	for _, server := range h[1:] {
		listen(server, func(string) {})
		serve(server, func() func(string) string { return func(string) string { return "stored" } })
	}
	s.Begin()
	every(1500*time.Millisecond, 14, func(i int) {
		stored := 0
		for _, name := range []string{"a", "b", "c"} {
			if text, err := ask(h[0], name, fmt.Sprint(i), 300*time.Millisecond); err == nil && text == "stored" {
				stored++
			}
		}
		if stored == 0 {
			t.Error("it is stored nowhere, and nobody is told")
		}
	})
	s.Settle()
}

// A standby takes over when neither the leader nor the witness reports that the leader is alive.
func splitsItsBrain(t testing.TB, n *sim.Network, s *weather.Storm) {
	leader, standby, witness := n.Host("leader"), n.Host("standby"), n.Host("witness")
	for _, pair := range [][2]*sim.Host{{leader, standby}, {leader, witness}, {witness, standby}} {
		n.Link(pair[0], pair[1], netem.Config{Delay: 5 * time.Millisecond})
	}
	serve(leader, func() func(string) string { return func(string) string { return "alive" } })
	serve(witness, func() func(string) string {
		return func(string) string {
			if _, err := ask(witness, "leader", "?", 500*time.Millisecond); err != nil {
				return "dead"
			}
			return "alive"
		}
	})
	var f facts
	n.Always("there is one leader", func() error { return f.most("second leaders", 0) })
	s.Begin()
	every(time.Second, 18, func(int) {
		if _, err := ask(standby, "leader", "?", 500*time.Millisecond); err != nil {
			if text, err := ask(standby, "witness", "?", 1200*time.Millisecond); err != nil || text == "dead" {
				f.add("second leaders", 1)
			}
		}
	})
	s.Settle()
}

// A value counts as written when two of three replicas have it, and two are read. But one may have
// missed it, and one may have forgotten it.
func losesItsQuorum(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "client", "a", "b", "c")
	for _, replica := range h[1:] {
		serve(replica, func() func(string) string {
			kept := "0"
			return alone(func(line string) string {
				if value, ok := strings.CutPrefix(line, "set "); ok {
					kept = value
				}
				return kept
			})
		})
	}
	replicas := []string{"a", "b", "c"}
	s.Begin()
	for i := range 8 {
		acknowledged := 0
		for _, name := range replicas {
			if _, err := ask(h[0], name, fmt.Sprint("set ", i+1), 300*time.Millisecond); err == nil {
				acknowledged++
			}
		}
		time.Sleep(1500 * time.Millisecond)
		answers, newest := 0, 0
		for _, name := range replicas {
			if text, err := ask(h[0], name, "get", 300*time.Millisecond); err == nil && answers < 2 {
				value, _ := strconv.Atoi(text)
				answers, newest = answers+1, max(newest, value)
			}
		}
		if acknowledged >= 2 && answers == 2 && newest < i+1 {
			t.Error("what was read is older than what was written")
		}
	}
	s.Settle()
}

// A setting is requested at two times, an hour of its lifetime apart. Without it the default
// applies.
func takesTheDefault(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "app", "settings", "copy")
	for _, server := range h[1:] {
		serve(server, func() func(string) string { return func(string) string { return "limit 10" } })
	}
	s.Begin()
	missed := 0
	for _, at := range []time.Duration{4 * time.Second, 14 * time.Second} {
		time.Sleep(at - 2*time.Second)
		source := map[bool]string{true: "settings", false: "copy"}[at < 10*time.Second]
		if _, err := ask(h[0], source, "limit?", time.Second); err != nil {
			missed++
		}
	}
	if missed == 2 {
		t.Error("there is no limit")
	}
	s.Settle()
}

// An alert goes over two paths, and both are down while the fire lasts.
func raisesNoAlarm(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "house", "phone", "siren")
	var f facts
	for _, receiver := range h[1:] {
		listen(receiver, func(string) { f.add("heard", 1) })
	}
	s.Begin()
	time.Sleep(8 * time.Second)
	every(200*time.Millisecond, 5, func(int) {
		for _, to := range []string{"phone", "siren"} {
			send(h[0], to, "fire")
		}
	})
	s.Settle()
	if f.get("heard") == 0 {
		t.Error("nobody has heard of the fire")
	}
}

// A queue keeps in memory what it has handed out, and puts it back when the worker is gone. But the
// queue itself has restarted.
func losesWhatIsHandedOut(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "queue", "worker")
	var disk facts // of the queue: what is neither handed out nor done
	disk.add("waiting", 6)
	serve(h[0], func() func(string) string {
		out := 0
		return alone(func(line string) string {
			switch {
			case line == "done":
				out--
				disk.add("done", 1)
			case line == "again" && out > 0:
				out--
				disk.add("waiting", 1)
			case line == "take" && disk.get("waiting") > 0:
				out++
				disk.add("waiting", -1)
				return "a job"
			}
			return "nothing"
		})
	})
	h[1].Run("worker", func(ctx context.Context, h *sim.Host) error {
		until := func(f func() bool) {
			for ctx.Err() == nil && !f() {
				time.Sleep(100 * time.Millisecond)
			}
		}
		again := func() bool { // what an earlier run of it had, or an answer that was lost
			_, err := ask(h, "queue", "again", 5*time.Second)
			return err == nil
		}
		for until(again); ctx.Err() == nil; time.Sleep(time.Second) {
			text, err := ask(h, "queue", "take", 5*time.Second)
			if err != nil {
				until(again)
			}
			if text == "a job" && h.Work(2*time.Second) == nil {
				until(func() bool {
					_, err := ask(h, "queue", "done", 5*time.Second)
					return err == nil
				})
			}
		}
		return nil
	})
	s.Eventually("all is done", func() error {
		if disk.get("done") < 6 {
			return errors.New("a job is lost")
		}
		return nil
	})
	s.Begin()
	s.Settle()
}

// Two participants have agreed. One of them decides alone when it can reach neither the coordinator
// nor the other.
func decidesAlone(t testing.TB, n *sim.Network, s *weather.Storm) {
	coordinator, a, b := n.Host("coordinator"), n.Host("a"), n.Host("b")
	for _, pair := range [][2]*sim.Host{{coordinator, a}, {coordinator, b}, {a, b}} {
		n.Link(pair[0], pair[1], netem.Config{Delay: 5 * time.Millisecond})
	}
	for _, h := range []*sim.Host{coordinator, b} {
		serve(h, func() func(string) string { return func(string) string { return "committed" } })
	}
	s.Begin()
	for range 4 {
		time.Sleep(4 * time.Second)
		decision := ""
		for _, who := range []string{"coordinator", "b"} {
			for range 2 { // it is not the loss of one packet
				if text, err := ask(a, who, "how did it end?", 700*time.Millisecond); err == nil && decision == "" {
					decision = text
				}
			}
		}
		if decision == "" {
			t.Error("it was aborted here, and committed there")
		}
	}
	s.Settle()
}
