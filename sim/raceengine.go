//go:build race

package sim

import (
	"runtime"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// engine is a network's engine. The lock guards the fields.
type engine struct {
	work   chan task
	answer chan task
	serves *served // the call for which it works
	over   bool    // the engine's goroutine has ended
	done   uint64  // as a moment: everything that the engine has done
	afters uint64  // as a moment: everything that the functions of After have done
	exact  exactEngine
}

// served is a call's share of the engine.
type served struct {
	asked    moment       // when the call was made, or last answered the engine
	revealed []moment     // to it
	panicked any          // the call's function panicked
	thread   exact.Thread // the caller's, if the caller is the engine meanwhile
}

// In exact mode a goroutine of the network's own would be one more to choose from, so there would be other
// schedules with the race detector than without it. There each call is the engine itself, as it is without
// the detector, which is made to take it for another thread meanwhile. Calls of the network to the program
// within a turn are the work of a third thread, since the call that happens to take the turn has nothing to
// do with them.
type exactEngine struct {
	bubble uint64         // the network's; 0 if this is not exact mode
	idle   []exact.Thread // threads of the engine. It has more than one if a call that wakes others is preempted
	turn   served         // a turn's share of the engine
}

// A task is a function for the other side to run: a call of the program for the engine, or something of the
// program that the engine makes the caller do. Without one the other side goes on.
type task struct {
	f      func()
	serves *served
	moment moment // when the program's function was made
	fresh  bool   // deferred work that is due must be done first
}

func (n *Network) startEngine() {
	if exact.Goroutines() > 0 {
		n.engine.exact.start()
		return
	}
	n.engine.work, n.engine.answer = make(chan task), make(chan task)
	go func() {
		for over := false; !over; {
			over = n.perform(<-n.engine.work)
		}
	}()
}

//go:norace
func (x *exactEngine) start() {
	x.bubble = exact.BubbleID()
	caller := exact.Become(exact.NewThread())
	runtime.RaceDisable() // as in each call
	x.turn.thread = exact.Become(caller)
}

// perform runs one call's function, and reports whether the network has ended.
func (n *Network) perform(t task) (over bool) {
	n.run(t)
	answer, over := n.engine.answer, n.engine.over
	mark(&n.engine.done)
	answer <- task{}
	return over
}

func (n *Network) run(t task) {
	learn(&n.engine.done)
	learn(t.serves.asked)
	n.engine.serves = t.serves
	t.serves.panicked = panicOf(func() {
		if t.fresh {
			n.begin()
		}
		t.f()
	})
	n.engine.over = n.closed
}

func panicOf(f func()) (p any) {
	defer func() { p = recover() }()
	f()
	return nil
}

// hand makes the engine run f. Once the network has ended, and its goroutine with it, a new goroutine does,
// which belongs to the caller's bubble, or to none.
//
//go:norace
func (n *Network) hand(s *served, fresh bool, f func()) {
	t := task{f: f, serves: s, fresh: fresh}
	switch x := &n.engine.exact; {
	case x.bubble != 0 && x.bubble == exact.BubbleID():
		n.runHere(t)
		return
	case x.bubble != 0 || n.engine.over:
		n.engine.work, n.engine.answer = make(chan task), make(chan task)
		go n.perform(t)
	default:
		n.engine.work <- t
	}
	for {
		ask := <-n.engine.answer
		if ask.f == nil {
			return
		}
		runtime.RaceEnable()
		learn(ask.moment)
		ask.f()
		mark(s.asked)
		runtime.RaceDisable()
		n.engine.work <- task{}
	}
}

// runHere makes the caller be the engine.
//
//go:norace
func (n *Network) runHere(t task) {
	var engine exact.Thread
	x := &n.engine.exact
	if last := len(x.idle) - 1; last >= 0 {
		engine, x.idle = x.idle[last], x.idle[:last]
	} else {
		engine = exact.NewThread()
	}
	t.serves.thread = exact.Become(engine)
	n.run(t)
	mark(&n.engine.done)
	exact.Tell()
	exact.Become(t.serves.thread)
	x.idle = append(x.idle, engine)
}

// asProgram makes the caller run f, which is a function of the program, made at that moment.
func (n *Network) asProgram(m moment, f func()) {
	if s := n.engine.serves; s.here() {
		s.runAsProgram(m, f)
	} else {
		n.engine.answer <- task{f: f, moment: m}
		<-n.engine.work
	}
	learn(n.engine.serves.asked)
}

// here reports whether the caller is the engine.
func (s *served) here() bool { return s.thread != exact.Thread{} }

// runAsProgram and runHere switch threads, and neither defers anything: the compiler would make a function of
// it that the race detector watches, which would begin on one thread and end on the other.
//
//go:norace
func (s *served) runAsProgram(m moment, f func()) {
	engine := exact.Become(s.thread)
	runtime.RaceEnable()
	learn(m)
	p := panicOf(f)
	s.asked = new(uint64)
	mark(s.asked)
	runtime.RaceDisable()
	exact.Become(engine)
	if p != nil {
		panic(p)
	}
}

// beginTurn begins a turn of the network.
func (n *Network) beginTurn() (caller *served) {
	caller = n.engine.serves
	if caller.here() {
		n.engine.serves = &n.engine.exact.turn
	}
	return caller
}

func (n *Network) endTurn(caller *served) {
	n.engine.exact.turn.revealed = nil
	n.engine.serves = caller
}

// unlockToWake releases the lock, which woken goroutines want at once. It does nothing if they wait for the engine.
func (n *Network) unlockToWake() (caller *served) {
	if caller = n.engine.serves; caller.here() {
		mark(&n.engine.done)
		n.mu.Unlock()
	}
	return caller
}

func (n *Network) lockAgain(caller *served) {
	if caller.here() {
		n.mu.Lock()
		learn(&n.engine.done)
	}
	n.engine.serves = caller
}
