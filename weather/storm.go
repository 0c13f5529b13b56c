package weather

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/sometimes"
	"github.com/squall-sim/squall/internal/storm"
	"github.com/squall-sim/squall/sim"
)

// A Storm is the weather of one run. Only the goroutine of the test function may call its methods,
// except Sometimes, which any goroutine may call.
type Storm struct {
	c     Config
	t     testing.TB
	n     *sim.Network
	seed  uint64
	given bool     // what the storm is; otherwise it is drawn
	is    schedule // once it has begun
	tally *tally

	begun, settled bool
	over           time.Duration // since the network was made, when the storm is
	told           []string      // each fault in words,
	code           []string      // and as Go
	wrong          error         // with what the storm is, or is to be drawn from
	promises       []promise
}

// A promise must hold after the storm.
type promise struct {
	name  string
	check func() error
}

// Begin starts the storm now, over the existing hosts and links. It fails the test if no fault is
// possible there. It panics if the storm has begun already, if Config.Up names a host that does not
// exist, or if Config.Spared names a host or router that does not exist.
func (s *Storm) Begin() {
	s.t.Helper()
	if s.begun {
		panic("weather: Storm.Begin: the storm has begun already")
	}
	s.begun = true
	s.c.mustKnow(s.n)
	if !s.given {
		if s.is = s.c.draw(s.seed, s.n); s.is == nil {
			s.wrong = fmt.Errorf("weather: Storm.Begin: the network has %d hosts and %d links, and Config.Kinds, Up and Spared allow no fault of any: "+
				"make hosts and links before Begin, or exclude less", len(s.n.Hosts()), len(s.n.Links()))
			s.t.Fatal(s.wrong)
		}
	}
	s.over = s.n.Elapsed() + max(s.c.For, s.is.Over())
	for _, x := range s.is {
		site, err := siteOf(s.n, x.What)
		if err != nil {
			s.wrong = err
			s.t.Fatalf("weather: the storm does not fit this test: %v", err)
		}
		f := all[x.What.kind].Fault(site)
		s.told = append(s.told, fmt.Sprintf("%v (%v to %v)", f, x.At, x.At+x.Lasts))
		s.code = append(s.code, fmt.Sprintf("n.Inject(%s, %s, %s)", storm.GoTime(x.At), storm.GoTime(x.Lasts), f.Code(nil)))
		s.n.Inject(x.At, x.Lasts, f)
	}
}

// siteOf finds the place of a fault on a network.
func siteOf(n *sim.Network, w what) (storm.Site, error) {
	host := func(name string) *sim.Host {
		for _, h := range n.Hosts() {
			if strings.EqualFold(h.Name(), name) {
				return h
			}
		}
		return nil
	}
	kind := all[w.kind]
	if kind.Of == storm.OfLink {
		for _, l := range n.Links() {
			a, b := l.Ends()
			there, back := l.Config()
			switch {
			case strings.EqualFold(nameOf(a), w.from) && strings.EqualFold(nameOf(b), w.to):
				return storm.Site{Net: n, From: a, To: b, Link: l, Own: there}, nil
			case strings.EqualFold(nameOf(b), w.from) && strings.EqualFold(nameOf(a), w.to):
				return storm.Site{Net: n, From: b, To: a, Link: l, Own: back}, nil
			}
		}
		return storm.Site{}, fmt.Errorf("%s %s %s: no link joins the two", kind.Name, w.from, w.to)
	}
	from := host(w.from)
	if from == nil {
		return storm.Site{}, fmt.Errorf("%s %s: the network has no host of that name", kind.Name, w.from)
	}
	site := storm.Site{Net: n, From: from}
	if kind.Of == storm.OfHosts {
		to := host(w.to)
		if to == nil {
			return storm.Site{}, fmt.Errorf("%s %s %s: the network has no host %q", kind.Name, w.from, w.to, w.to)
		}
		site.To = to
	}
	return site, nil
}

// Eventually requires that check returns nil when Config.Recovery has passed after the storm.
// [Storm.Settle] calls check then, and fails the test if it returns an error. It panics if name is
// empty, check is nil, or Settle has returned.
func (s *Storm) Eventually(name string, check func() error) {
	switch {
	case name == "":
		panic("weather: Storm.Eventually: the name is empty")
	case check == nil:
		panic(fmt.Sprintf("weather: Storm.Eventually(%q): check must not be nil", name))
	case s.settled:
		panic(fmt.Sprintf("weather: Storm.Eventually(%q): Settle has returned already", name))
	}
	s.promises = append(s.promises, promise{name, check})
}

// Settle waits until the storm is over and Config.Recovery has passed since, and then runs each
// check of Eventually. If the test function does not call it, it is called at its end. It panics if
// the storm has not begun.
func (s *Storm) Settle() {
	s.t.Helper()
	if !s.begun {
		panic("weather: Storm.Settle: the storm has not begun: call Begin first")
	}
	if s.settled {
		return
	}
	time.Sleep(max(0, s.over+s.c.Recovery-s.n.Elapsed()))
	s.settled = true
	for _, p := range s.promises {
		if err := p.check(); err != nil {
			s.t.Errorf("weather: %v after the storm %q was not true: %v", s.c.Recovery, p.name, err)
		}
	}
}

// end runs after the test function.
func (s *Storm) end() {
	s.t.Helper()
	if !s.begun {
		s.t.Error("weather: Test: the test function did not call Storm.Begin: call it after making the hosts and links")
		return
	}
	s.Settle()
}

// Sometimes records whether a condition was true, such as that a client has retried: a test whose
// storms never cause that proves nothing about it. cond must be true at least once in all the runs
// of [Test], or the test fails. It panics if name is empty.
func (s *Storm) Sometimes(name string, cond bool) {
	if name == "" {
		panic("weather: Storm.Sometimes: the name is empty")
	}
	s.tally.note(name, cond)
}

// A tally records which of the names of Sometimes have been true.
type tally struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (t *tally) note(name string, cond bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = map[string]bool{}
	}
	t.seen[name] = t.seen[name] || cond
}

// tell reports the tally to the sweep, whose other processes run the other
// storms.
func (t *tally) tell(to *testing.T, storms int) {
	to.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.seen) > 0 {
		to.Log(sometimes.Seen{Storms: storms, Names: t.seen}.Line())
	}
}

// never returns the names that have not been true.
func (t *tally) never() (names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.seen)) {
		if !t.seen[name] {
			names = append(names, fmt.Sprintf("%q", name))
		}
	}
	return names
}
