package sim_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// patience lists values of TCP_USER_TIMEOUT; zero means none.
var patience = []time.Duration{0, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second}

// phaseSituations records what TCP_USER_TIMEOUT does in each phase of a connection. Situations of one kind run at
// once.
func (s *wayStage) phaseSituations() {
	for _, f := range wayFamilies {
		s.patienceInSilence(f.name+", ", f.server)
		s.patienceWithWindow(f.name+", ", f.server)
	}
}

// atOnce notes what some functions say, each by itself; those that are to have ended have 20 s.
type atOnce struct {
	s   *wayStage
	mu  sync.Mutex
	all sync.WaitGroup
}

func (a *atOnce) note(name string, f func() string) {
	a.all.Go(func() {
		what := timed(f)
		a.mu.Lock()
		defer a.mu.Unlock()
		if _, twice := a.s.got[name]; twice {
			panic(name + " twice")
		}
		a.s.got[name] = what
	})
}

const patienceEnds = 13 * time.Second // of what would go on for longer

func (s *wayStage) patienceInSilence(name string, server netip.Addr) {
	type pair struct{ data, idle, lingering net.Conn }
	var pairs []pair
	var rest []net.Conn
	connect := func(t tuning) net.Conn {
		s.tune(t)
		c, peer := s.tcp(server, 83, false)
		rest = append(rest, c, peer)
		return c
	}
	probing := net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}
	for _, d := range patience {
		pairs = append(pairs, pair{connect(tuning{userTimeout: d}), connect(tuning{userTimeout: d, keepAlive: probing}), connect(tuning{userTimeout: d})})
	}
	time.Sleep(100 * time.Millisecond)
	s.silence(true, true)
	a := &atOnce{s: s}
	for i, d := range patience {
		p, name := pairs[i], fmt.Sprintf("%suser timeout %v: ", name, d)
		a.note(name+"data into silence", func() string {
			sent := wrote(p.data.Write([]byte("?")))
			return sent + ", " + readIn(p.data, patienceEnds) + ", " + wrote(p.data.Write([]byte("?")))
		})
		a.note(name+"keep-alive into silence", func() string { return readIn(p.idle, patienceEnds) })
		a.note(name+"close with data, lingering 12 s", func() string {
			p.lingering.Write([]byte("?"))
			p.lingering.(interface{ SetLinger(int) error }).SetLinger(12)
			if err := p.lingering.Close(); err != nil {
				return errorText(err)
			}
			return "closed"
		})
	}
	for _, d := range patience {
		s.tune(tuning{userTimeout: d})
		a.note(fmt.Sprintf("%suser timeout %v: dial into silence", name, d), func() string {
			_, err := s.client.Dial(net.Dialer{Timeout: patienceEnds}, "tcp", netip.AddrPortFrom(server, 84).String())
			return wrote(0, err)
		})
		time.Sleep(30 * time.Millisecond)
	}
	a.all.Wait()
	s.tune(tuning{})
	s.silence(false, false)
	for _, c := range rest {
		c.Close()
	}
	time.Sleep(200 * time.Millisecond)
}

// patienceWithWindow records what happens with servers that do not read, and that either answer the probes of their
// closed windows or do not.
func (s *wayStage) patienceWithWindow(name string, server netip.Addr) {
	for _, silent := range []bool{false, true} {
		what := "window closed"
		if silent {
			what = "window closed, then silence"
		}
		a := &atOnce{s: s}
		var rest []net.Conn
		for _, d := range patience {
			s.tune(tuning{userTimeout: d})
			c, peer := s.tcp(server, 85, false)
			rest = append(rest, c, peer)
			a.note(fmt.Sprintf("%suser timeout %v: %s", name, d, what), func() string {
				c.SetWriteDeadline(time.Now().Add(patienceEnds))
				_, err := io.Copy(c, endless{})
				return wrote(0, err)
			})
		}
		if silent {
			time.Sleep(5 * time.Second)
			s.silence(true, true)
		}
		a.all.Wait()
		s.silence(false, false)
		s.tune(tuning{})
		for _, c := range rest {
			c.Close()
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// endless yields bytes without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
