package patterntest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// ExampleDelivery puts a server and a client of one's own through the contract: a board
// on which events are numbered, and a reader that asks for those after a number.
func ExampleDelivery() {
	var t *testing.T // of a test function
	patterntest.Delivery(t, boardAndReaders)
}

// boardAndReaders tells the contract how to run them.
func boardAndReaders(n *sim.Network) patterntest.System {
	b := &board{changed: make(chan struct{})}
	readers := map[string]*reader{} // what they know outlives them, as if on disk
	var mu sync.Mutex
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			b.begin(n.Elapsed().String())
			defer b.begin("")
			return serveHTTP(ctx, h, b)
		},
		Publish: b.publish,
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			mu.Lock()
			one := readers[name]
			if one == nil {
				one = &reader{rand: n.Rand(name)}
				readers[name] = one
			}
			mu.Unlock()
			for web := h.HTTPClient(); ctx.Err() == nil; {
				if err := one.read(ctx, web, r); err != nil {
					// Apart from each other, or all come back at once.
					sleep(ctx, time.Second/2+time.Duration(one.rand.Int64N(int64(time.Second))))
				}
			}
			return nil
		},
		Bound: 250 * time.Millisecond, // a large answer takes TCP two round trips
	}
}

// board is the server.
type board struct {
	mu      sync.Mutex
	life    string // numbers mean nothing in another; empty: it is down
	events  []string
	changed chan struct{} // closed by the next event
}

// begin begins another life, with nothing.
func (b *board) begin(life string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.life, b.events = life, nil
}

func (b *board) publish(data string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.life == "" {
		return errDown
	}
	b.events = append(b.events, data)
	close(b.changed)
	b.changed = make(chan struct{})
	return nil
}

// position is where a reader stands.
type position struct {
	Life  string
	After int
}

// after returns the events after a position, and what tells of more. In another life it
// returns all.
func (b *board) after(p position) (position, []string, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Life != b.life {
		p = position{Life: b.life}
	}
	events := b.events[p.After:]
	p.After = len(b.events)
	return p, events, b.changed
}

type answer struct {
	position
	Events []string
}

func (b *board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := position{Life: r.FormValue("life")}
	fmt.Sscan(r.FormValue("after"), &asked.After)
	wait := time.NewTimer(30 * time.Second)
	defer wait.Stop()
	for {
		now, events, more := b.after(asked)
		if len(events) > 0 || now.Life != asked.Life {
			json.NewEncoder(w).Encode(answer{now, events})
			return
		}
		select {
		case <-more:
		case <-wait.C:
			json.NewEncoder(w).Encode(answer{now, nil})
			return
		case <-r.Context().Done():
			return
		}
	}
}

// reader is the client.
type reader struct {
	at   position
	rand *rand.Rand
}

// read asks once.
func (c *reader) read(ctx context.Context, h *http.Client, r patterntest.Receiver) error {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second) // a dead connection says nothing
	defer cancel()
	url := fmt.Sprintf("http://server/?life=%s&after=%d", c.at.Life, c.at.After)
	// A POST: net/http repeats a GET at once when its connection breaks.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	resp, err := h.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return err
	}
	if c.at.Life != "" && c.at.Life != a.Life {
		r.Gap("the board began anew")
	}
	for _, data := range a.Events {
		r.Event(data)
	}
	c.at = a.position
	return nil
}
