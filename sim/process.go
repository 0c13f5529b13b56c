package sim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A process is a program of a host.
type process struct {
	host   *Host
	name   string
	f      func(ctx context.Context, h *Host) error
	cancel context.CancelFunc
	ended  chan struct{} // closed when the run has ended; nil before the first
	once   chan struct{} // its end, if it runs only once

	// The engine makes the program start and stop it, and looks at nothing but these.
	by          moment // when one of them was called last
	start, stop func()
}

// Run starts a process on h: f runs on a goroutine of its own until it returns. [Host.Crash] and
// [Host.PowerOff] cancel ctx and fail the host's calls on the network. [Host.Restart] runs f again, so what f
// keeps in its own variables starts empty, as memory does. The new run begins when f has returned from the
// previous one, so f must heed ctx. ctx is also cancelled at the end of the test. In exact mode f is on the
// host, like the function of [Host.Go].
//
// An error that f returns before ctx is cancelled fails the test. So does [runtime.Goexit], by which
// t.FailNow ends: return an error instead. A panic fails the test and ends the network. (A panic on a
// goroutine that f starts ends the process, as in any Go program: nothing can recover it.)
func (h *Host) Run(name string, f func(ctx context.Context, h *Host) error) {
	h.must("Run")
	if f == nil {
		panic(fmt.Sprintf("sim: host %s: Run(%q): the function must not be nil", h.name, name))
	}
	h.n.do(func() { h.addProcess(name, f) })
}

// addProcess is Run, with the lock held.
func (h *Host) addProcess(name string, f func(ctx context.Context, h *Host) error) *process {
	p := newProcess(h, name, f, nil)
	h.startProcess(p)
	return p
}

func (h *Host) startProcess(p *process) {
	if len(h.processes) >= 2*h.running {
		h.forgetEnded()
	}
	h.processes = append(h.processes, p)
	if !h.dead && !h.n.closed {
		p.call(p.start)
	}
}

// forgetEnded removes processes that do not run again.
func (h *Host) forgetEnded() {
	h.processes = slices.DeleteFunc(h.processes, func(p *process) bool {
		if p.once == nil {
			return false
		}
		select {
		case <-p.once:
			return true
		default:
			return false
		}
	})
	h.running = max(len(h.processes), 4)
}

// hasRun reports whether a process that runs only once has run. The program's side writes what it reads.
//
//go:norace
func (p *process) hasRun() bool { return p.once != nil && p.ended != nil }

//go:norace
func newProcess(h *Host, name string, f func(ctx context.Context, h *Host) error, once chan struct{}) *process {
	p := &process{host: h, name: name, f: f, once: once, cancel: func() {}, by: h.n.moment()}
	p.start, p.stop = p.startNow, func() { p.cancel() }
	return p
}

// call starts or stops the process. The lock is held.
func (p *process) call(startOrStop func()) {
	n := p.host.n
	n.asProgram(p.by, startOrStop)
	p.by = n.moment()
}

func (p *process) String() string {
	if p.once != nil {
		return fmt.Sprintf("a goroutine of host %q", p.host.name)
	}
	return fmt.Sprintf("process %q on host %q", p.name, p.host.name)
}

// startNow runs the process, once its previous run has ended.
func (p *process) startNow() {
	ctx, cancel := context.WithCancel(context.Background())
	before, ended, who := p.ended, p.once, p.host.identity()
	if ended == nil {
		ended = make(chan struct{})
	}
	p.cancel, p.ended = cancel, ended
	go func() {
		who.assume()
		defer close(ended)
		defer cancel()
		if before != nil {
			<-before
		}
		if ctx.Err() != nil {
			return
		}
		p.host.n.guard(p.String, func() bool { return ctx.Err() != nil }, func() {
			if err := p.f(ctx, p.host); err != nil && ctx.Err() == nil {
				p.host.n.failed(fmt.Sprintf("%v ended: %v", p, err))
			}
		})
	}()
}

// Go starts a goroutine of the program on h, and returns a channel that is closed when f has returned.
//
// In exact mode f is on the host, with all goroutines that it starts and the functions of their timers. There
// net.Dial and net.Listen, http.Get and http.ListenAndServe, net.LookupHost, os.Hostname and time.Now work on
// the simulated network and with [Host.Clock], whether the program or a library calls them. The same holds
// for the function of [Host.Run]. docs/unchanged.md says what else works, and what is refused. In ordinary
// runs all these calls use the operating system, as on any goroutine.
//
// A crash of the host fails the network calls of f, even those made after [Host.Restart]: f must return on
// errors. Unlike the function of Run, f does not run a second time. If h is down, f starts with Restart. A
// panic of f fails the test and ends the network, and so does [runtime.Goexit], by which t.FailNow ends.
func (h *Host) Go(f func()) (returned <-chan struct{}) {
	h.must("Go")
	if f == nil {
		panic("sim: host " + h.name + ": Go(nil): the function must not be nil")
	}
	return get(h.n, func() <-chan struct{} {
		p := newProcess(h, "", func(context.Context, *Host) error { f(); return nil }, make(chan struct{}))
		if h.n.closed {
			close(p.once)
		} else {
			h.startProcess(p)
		}
		return p.once
	})
}

// HTTPClient returns a new client whose connections start at h. Its transport has the defaults of
// [http.DefaultTransport], without a proxy: it speaks HTTP/1.1, and HTTP/2 over TLS with a server that offers
// it. A dial may take 30 s, name lookup included, and the first keep-alive probe follows 30 s of silence.
// HTTP/2 without TLS needs SetUnencryptedHTTP2(true) in the Protocols of the transport and of the server.
func (h *Host) HTTPClient() *http.Client {
	h.must("HTTPClient")
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	d := h.Dialer()
	d.Timeout, d.KeepAlive = 30*time.Second, 30*time.Second // hidden in DefaultTransport's own DialContext
	t.DialContext = d.DialContext
	return &http.Client{Transport: t}
}

// ServeHTTP serves HTTP/1.1 on an address of h, and HTTP/2 without TLS for clients that begin with it (h2c).
// The server is a process of the host: a crash ends it, and after [Host.Restart] it serves again with the
// same handler, unless the program has closed it. ServeHTTP panics if it cannot listen on addr.
//
// Do not call it in the function of [Host.Run], which a restart runs again anyway. There, serve with package
// http on a listener of [Host.Listen].
func (h *Host) ServeHTTP(addr string, handler http.Handler) *http.Server {
	h.must("ServeHTTP")
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Addr: addr, Handler: handler, Protocols: &protocols}
	boots := h.boots()
	first, err := h.Listen("tcp", addr)
	if err != nil {
		panic(fmt.Sprintf("sim: host %s: ServeHTTP: %v", h.name, servesTwice(addr, err, boots)))
	}
	h.Run("http "+addr, func(ctx context.Context, h *Host) error {
		if ctx.Err() != nil {
			return nil // crashed before it began
		}
		var l net.Listener = first
		if h.boots() != boots {
			l = &laterListener{addr: first.Addr(), listen: func() (net.Listener, error) { return h.Listen("tcp", addr) }}
		}
		err := srv.Serve(l)
		if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
			return nil // the program closed the server or its listener
		}
		return servesTwice(addr, err, h.boots())
	})
	return srv
}

// servesTwice adds the usual cause to the error that an address is in use on a restarted host.
func servesTwice(addr string, err error, boots int) error {
	if boots == 0 || !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return fmt.Errorf("%w (after a restart ServeHTTP serves again by itself, and Run calls its function again: "+
		"in that function use Listen(\"tcp\", %q) and http.Serve)", err, addr)
}

// A laterListener listens when it is first asked for a connection. [http.Server.Serve] does not ask if the
// server is closed: so a server that will not serve does not take its port from another one, not even for an
// instant.
type laterListener struct {
	addr   net.Addr
	listen func() (net.Listener, error)

	mu     sync.Mutex
	l      net.Listener
	closed bool
}

func (l *laterListener) Addr() net.Addr { return l.addr }

func (l *laterListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	inner, closed := l.l, l.closed
	l.mu.Unlock()
	if closed {
		return nil, net.ErrClosed
	}
	if inner == nil { // Accept is called by one goroutine
		var err error
		if inner, err = l.listen(); err != nil {
			return nil, err
		}
		l.mu.Lock()
		l.l, closed = inner, l.closed
		l.mu.Unlock()
		if closed {
			inner.Close()
		}
	}
	return inner.Accept()
}

func (l *laterListener) Close() error {
	l.mu.Lock()
	inner := l.l
	l.closed = true
	l.mu.Unlock()
	if inner == nil {
		return nil
	}
	return inner.Close()
}
