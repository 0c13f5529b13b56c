package faulty

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	yamux1 "github.com/libp2p/go-yamux"
	yamux5 "github.com/libp2p/go-yamux/v5"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// pair is a connection between two hosts.
func pair(n *sim.Network, link netem.Config) (client, server net.Conn, err error) {
	a, b := n.Host("client"), n.Host("server")
	n.Link(a, b, link)
	l, err := b.Listen("tcp", ":1")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	if client, err = a.Dial("tcp", "server:1"); err != nil {
		return nil, nil, err
	}
	server, err = l.Accept()
	return client, server, err
}

// ends says whether all functions, on goroutines of their own, return within a minute of the test's time.
func ends(fs ...func()) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		var all sync.WaitGroup
		for _, f := range fs {
			all.Go(f)
		}
		all.Wait()
	}()
	select {
	case <-done:
		return true
	case <-time.After(time.Minute):
		return false
	}
}

// Two goroutines read what a peer sends before it closes the stream.
func twoReaders(n *sim.Network) error {
	client, server, err := pair(n, netem.Config{Delay: time.Millisecond})
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	config := yamux1.DefaultConfig()
	config.LogOutput = io.Discard
	there, err := yamux1.Server(server, config)
	if err != nil {
		return err
	}
	here, err := yamux1.Client(client, config)
	if err != nil {
		return err
	}
	go func() {
		if s, err := there.AcceptStream(); err == nil {
			fmt.Fprint(s, "some bytes that the readers share")
			s.Close()
		}
	}()
	s, err := here.OpenStream()
	if err != nil {
		return err
	}
	read := func() {
		for {
			if _, err := s.Read(make([]byte, 4)); err != nil {
				return
			}
		}
	}
	if !ends(read, read) {
		return errStruck
	}
	here.Close()
	there.Close()
	return nil
}

// Many streams write, both ways, and the server's host crashes.
func sessionFails(n *sim.Network) error {
	client, server, err := pair(n, netem.Config{Delay: time.Millisecond, Rate: 10 * netem.Mbit})
	if err != nil {
		return err
	}
	config := yamux5.DefaultConfig()
	config.LogOutput = io.Discard
	there, err := yamux5.Server(server, config, nil)
	if err != nil {
		return err
	}
	here, err := yamux5.Client(client, config, nil)
	if err != nil {
		return err
	}
	write := func(s io.Writer) {
		for {
			if _, err := s.Write(make([]byte, 1000)); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			s, err := there.AcceptStream()
			if err != nil {
				return
			}
			go io.Copy(io.Discard, s)
			go write(s)
		}
	}()
	for range 70 { // more than its queue has room for
		s, err := here.OpenStream(context.Background())
		if err != nil {
			return err
		}
		go io.Copy(io.Discard, s)
		go write(s)
	}
	time.Sleep(100*time.Millisecond + time.Duration(n.Rand("crash").IntN(10_000))*time.Microsecond)
	n.Host("server").Crash()
	if !ends(func() { <-here.CloseChan() }, func() { <-there.CloseChan() }) { // the server's fails, too, since its host is off
		return errStruck
	}
	here.Close()
	return nil
}
