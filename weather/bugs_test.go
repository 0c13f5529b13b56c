package weather_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The parts of the planted bugs: servers that answer lines and lose their memory whenever their
// process starts, clients that ask, and facts that several goroutines know.

const port = ":7"

// serve makes a host answer lines over TCP. start is called when its process starts, and returns
// the function that answers. An empty answer is not sent.
func serve(h *sim.Host, start func() func(line string) string) {
	h.Run("server", func(ctx context.Context, h *sim.Host) error {
		answer := start()
		l, err := h.Listen("tcp", port)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			go func() {
				defer c.Close()
				for in := bufio.NewScanner(c); in.Scan(); {
					if text := answer(in.Text()); text != "" {
						fmt.Fprintln(c, text)
					}
				}
			}()
		}
	})
}

// alone serializes a function of answers that remembers something: each connection has its own
// goroutine.
func alone(answer func(line string) string) func(line string) string {
	var mu sync.Mutex
	return func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		return answer(line)
	}
}

// ask asks a server on a connection of its own, and waits for the answer up to a timeout.
func ask(h *sim.Host, server, question string, patience time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := h.DialContext(ctx, "tcp", server+port)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintln(c, question); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if errors.Is(err, io.EOF) && line == "" {
		return "", io.ErrUnexpectedEOF
	}
	return strings.TrimSpace(line), err
}

// listen makes a host receive datagrams.
func listen(h *sim.Host, take func(text string)) {
	h.Run("receiver", func(ctx context.Context, h *sim.Host) error {
		c, err := h.ListenPacket("udp", port)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { c.Close() })
		buf := make([]byte, 1500)
		for {
			k, _, err := c.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
				return nil
			}
			if err == nil {
				take(string(buf[:k]))
			}
		}
	})
}

// send sends a datagram.
func send(h *sim.Host, to, text string) {
	if c, err := h.Dial("udp", to+port); err == nil {
		io.WriteString(c, text)
		c.Close()
	}
}

// Facts are numbers that both the program and its judge know.
type facts struct {
	mu sync.Mutex
	of map[string]int
}

func (f *facts) add(name string, by int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[string]int{}
	}
	f.of[name] += by
	return f.of[name]
}

func (f *facts) get(name string) int { return f.add(name, 0) }

// most demands that no fact whose name has a prefix exceeds a number.
func (f *facts) most(prefix string, limit int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, k := range f.of {
		if strings.HasPrefix(name, prefix) && k > limit {
			return fmt.Errorf("%s is more than %d", prefix, limit)
		}
	}
	return nil
}

// star links hosts to the first of them, with 10 ms each way.
func star(n *sim.Network, names ...string) []*sim.Host {
	var all []*sim.Host
	for i, name := range names {
		all = append(all, n.Host(name))
		if i > 0 {
			n.Link(all[i], all[0], netem.Config{Delay: 10 * time.Millisecond})
		}
	}
	return all
}

// every calls f a number of times at an interval, with the number of the call from 1.
func every(interval time.Duration, times int, f func(i int)) {
	for i := range times {
		time.Sleep(interval)
		f(i + 1)
	}
}

// fails fails the test for an error.
func fails(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}
