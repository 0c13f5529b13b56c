package sim_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/squall-sim/squall/sim"
)

func (s *stream) String() string { return fmt.Sprintf("stream %d", s.number) }

func (s *stream) port() string { return fmt.Sprintf(":%d", 7000+s.number) }

// start runs both sides as processes.
func (s *stream) start() {
	s.server.Run("server", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", s.port())
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, syscall.ENETDOWN) {
				return nil
			}
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			go s.talk(c, 1)
		}
	})
	s.client.Run("client", func(ctx context.Context, h *sim.Host) error {
		j := s.p.journal("%v client", s)
		for ctx.Err() == nil && !s.isDone() {
			c, err := h.DialContext(ctx, "tcp", s.server.Name()+s.port())
			s.p.log(j, "dial: %v", err)
			if err == nil {
				err = s.talk(c, 0)
			}
			if err == nil {
				s.p.mu.Lock()
				s.done = true
				s.p.mu.Unlock()
			}
			time.Sleep(500 * ms)
		}
		return nil
	})
}

func (s *stream) isDone() bool {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.done
}

// fail records an error that has no explanation.
func (s *stream) fail(format string, args ...any) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.errors = append(s.errors, fmt.Errorf("%v at %v: %w", s, s.p.n.Elapsed(), fmt.Errorf(format, args...)))
}

// byteAt returns the byte that an end writes at an offset.
func (e *end) byteAt(i int) byte { return byte(e.seed>>(8*(uint(i)%8))) ^ byte(i>>3) ^ byte(i>>11) }

// talk plays an end's part on a connection, and returns why it ended early.
func (s *stream) talk(c net.Conn, which int) error {
	p := s.p
	me, peer := &s.ends[which], &s.ends[1-which]
	p.mu.Lock()
	s.open++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		s.open--
		p.mu.Unlock()
	}()
	if which == 1 {
		p.seen(s, c)
	}
	tcp := c.(*sim.TCPConn)
	tcp.SetNoDelay(!me.nagle)
	if me.sendBuffer > 0 {
		tcp.SetWriteBuffer(me.sendBuffer)
	}
	if me.receiveBuffer > 0 {
		tcp.SetReadBuffer(me.receiveBuffer)
	}
	if me.linger > 0 {
		tcp.SetLinger(me.linger)
	}
	var both sync.WaitGroup
	var readErr, writeErr error
	both.Go(func() { writeErr = s.write(tcp, which) })
	both.Go(func() { readErr = s.read(tcp, which, peer) })
	both.Wait()
	err := cmp.Or(readErr, writeErr)
	closeErr := c.Close()
	if err == nil {
		err = closeErr
	}
	if err != nil && !p.crashes {
		s.fail("end %d: %w", which, err)
	}
	return err
}

func (s *stream) write(c *sim.TCPConn, which int) error {
	p, me := s.p, &s.ends[which]
	j := p.journal("%v %d %v writes", s, which, c.LocalAddr())
	r := rand.New(rand.NewPCG(me.seed, 1))
	buf := make([]byte, me.size)
	for i := range buf {
		buf[i] = me.byteAt(i)
	}
	for len(buf) > 0 {
		if me.deadlines {
			c.SetWriteDeadline(time.Now().Add(10*ms + steps(r, 60)))
		}
		piece := buf[:min(len(buf), 1+r.IntN(me.pieces))]
		k, err := c.Write(piece)
		p.log(j, "%d of %d, %v", k, len(piece), err)
		buf = buf[k:]
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if me.pause > 0 {
			time.Sleep(steps(r, int(me.pause/(5*ms))))
		}
	}
	c.SetWriteDeadline(time.Time{})
	if me.halfClose || !s.exact {
		err := c.CloseWrite()
		p.log(j, "CloseWrite: %v", err)
		return err
	}
	return nil
}

func (s *stream) read(c *sim.TCPConn, which int, peer *end) error {
	p, me := s.p, &s.ends[which]
	j := p.journal("%v %d %v reads", s, which, c.LocalAddr())
	r := rand.New(rand.NewPCG(me.seed, 2))
	time.Sleep(me.late)
	buf := make([]byte, me.reads)
	for got := 0; ; {
		if s.exact && got == peer.size {
			return nil
		}
		if me.deadlines {
			c.SetReadDeadline(time.Now().Add(10*ms + steps(r, 60)))
		}
		k, err := c.Read(buf)
		p.log(j, "%d, %v", k, err)
		for i, b := range buf[:k] {
			if got+i >= peer.size || b != peer.byteAt(got+i) {
				s.fail("end %d read a wrong byte at %d of %d", which, got+i, peer.size)
				return errors.New("wrong byte")
			}
		}
		got += k
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
		case err == io.EOF && got == peer.size:
			return nil
		case err == io.EOF && p.crashes:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			s.fail("end %d read the end after %d of %d", which, got, peer.size)
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
		if me.slow > 0 {
			time.Sleep(steps(r, int(me.slow/(5*ms))))
		}
	}
}
