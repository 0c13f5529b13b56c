package patterntest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// The contract tests your own server and client: here a journal, which sends its events as
// JSON over TCP, and readers, which tell it after which event they want to continue.
func Example() {
	var t *testing.T // of a test function
	patterntest.Delivery(t, journalAndReaders)
	patterntest.Loopback(t, journalAndReaders)
}

// journalAndReaders describes them to the contract.
func journalAndReaders(n *sim.Network) patterntest.System {
	var j journal
	var readers sync.Map // by name; a position survives its reader, as if on disk
	return patterntest.System{
		Serve:   func(ctx context.Context, h *sim.Host, _ string) error { return j.serve(ctx, h, n.Elapsed().String()) },
		Publish: j.publish,
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			at, _ := readers.LoadOrStore(name, new(position))
			for random := n.Rand(name); ctx.Err() == nil; {
				read(ctx, h, at.(*position), r)
				select { // a random delay, so that the readers do not all come back at once
				case <-time.After(time.Second/2 + time.Duration(random.Int64N(int64(time.Second)))):
				case <-ctx.Done():
				}
			}
			return nil
		},
		Bound: 250 * time.Millisecond, // TCP takes two round trips for a large event
	}
}

// journal is the server.
type journal struct {
	mu     sync.Mutex
	life   string // names a run of the server; positions are valid within one life; empty: it is down
	events [][]byte
	more   chan struct{} // closed when the next event is published
}

type position struct {
	Life  string
	After int
}

type message struct {
	Events [][]byte // base64 in JSON, because a string would have to be UTF-8
	Next   position
}

func (j *journal) publish(data string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.life == "" {
		return errors.New("the journal is down")
	}
	j.events = append(j.events, []byte(data))
	close(j.more)
	j.more = make(chan struct{})
	return nil
}

func (j *journal) begin(life string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.life, j.events, j.more = life, nil, make(chan struct{})
}

// after returns the events after a position, and a channel that is closed when there are
// more. For a position of another life it returns all events.
func (j *journal) after(at position) (message, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if at.Life != j.life {
		at.After = 0
	}
	return message{j.events[at.After:], position{j.life, len(j.events)}}, j.more
}

func (j *journal) serve(ctx context.Context, h *sim.Host, life string) error {
	l, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	j.begin(life)
	defer j.begin("")
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil
		}
		go j.send(ctx, conn)
	}
}

func (j *journal) send(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	var at position
	err := json.NewDecoder(conn).Decode(&at)
	for out := json.NewEncoder(conn); err == nil && ctx.Err() == nil; {
		m, more := j.after(at)
		err, at = out.Encode(m), m.Next
		select {
		case <-more:
		case <-ctx.Done():
		}
	}
}

// read is the client, for one connection.
func read(ctx context.Context, h *sim.Host, at *position, r patterntest.Receiver) {
	conn, err := h.DialContext(ctx, "tcp", "server:80")
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()
	json.NewEncoder(conn).Encode(at)
	for in := json.NewDecoder(conn); ; {
		var m message
		if in.Decode(&m) != nil || ctx.Err() != nil {
			return
		}
		if at.Life != "" && at.Life != m.Next.Life {
			r.Gap("the journal began anew")
		}
		for _, data := range m.Events {
			r.Event(string(data))
		}
		*at = m.Next
	}
}
