package patterntest_test

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// A depot is a fourth sound system: queues of parcels, of which several workers may take. What it keeps
// survives the server. The zero value is sound; a test replaces one part.
type depot struct {
	claims patterntest.System
	work   patterntest.Work // what it says of that; the zero value: the truth

	begin   func(s *depotServer)                                     // when a server starts
	choose  func(s *depotServer, q *queue, p *parcel) []*depotWorker // who gets a parcel; nobody: it waits
	spares  func(q *queue, p *parcel) bool                           // whether a parcel that nobody has is left out
	joined  func(s *depotServer, q *queue)                           // when a worker has come
	gone    func(s *depotServer, p *parcel)                          // when the worker has gone that had it
	failed  func(s *depotServer, p *parcel)                          // when its worker says so
	ackWait time.Duration                                            // negative: for ever
	dead    func(all int) int                                        // how many it says were given up
}

// A parcel is an event in a queue.
type parcel struct {
	id        int
	data, key string
	attempts  int
	with      *depotWorker // who has it
	since     time.Time
	notBefore time.Time
	done      bool
	gaveUp    bool
}

// A queue is what a group gets.
type queue struct {
	parcels []*parcel
	first   int // those before are done
}

type depotServer struct {
	depot
	*depotDisk
	workers []*depotWorker // in the order in which they came
}

// A depotDisk is what outlives a server.
type depotDisk struct {
	mu     sync.Mutex
	queues map[string]*queue
	names  []string // of the queues, in the order of their creation
}

// A depotWorker is a worker's connection.
type depotWorker struct {
	net.Conn
	group string
	out   chan depotMessage
	has   int
	hangs bool // it has let a parcel's time pass, and said nothing since
}

// A depotMessage is all that is ever said.
type depotMessage struct {
	Group string `json:",omitempty"` // of a worker that comes
	ID    int    `json:",omitempty"` // 0: a sign of life
	Data  []byte `json:",omitempty"`
	OK    bool   `json:",omitempty"`
}

const (
	depotWindow   = 4 // parcels that a worker has at once
	depotAttempts = 3
	depotAckWait  = 20 * time.Second
)

func (d depot) on(n *sim.Network) patterntest.System {
	d = d.whole()
	var current patterntest.Current[*depotServer]
	disk := &depotDisk{queues: map[string]*queue{}}

	s := d.claims
	s.Durable, s.Repeats, s.KeysOnly = true, true, true
	s.Bound = cmp.Or(s.Bound, 250*time.Millisecond) // what is large takes TCP two round trips
	s.Serve = func(ctx context.Context, h *sim.Host, _ string) error {
		server := &depotServer{depot: d, depotDisk: disk}
		for _, name := range disk.names {
			for _, p := range disk.queues[name].parcels {
				p.with = nil
			}
		}
		d.begin(server)
		listener, err := h.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		defer current.Set(server)()
		return server.serve(ctx, listener)
	}
	publish := func(key, data string) error {
		return current.Do(func(s *depotServer) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, name := range s.names {
				q := s.queues[name]
				q.parcels = append(q.parcels, &parcel{id: len(q.parcels) + 1, data: data, key: key})
				s.dispatch(q)
			}
			return nil
		})
	}
	s.Publish = func(data string) error { return publish("", data) }
	s.PublishKey = publish
	s.Receive = func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
		return d.receive(ctx, h, n, "the client "+name, func(data string) error { r.Event(data); return nil })
	}
	work := d.work
	work.Receive = func(ctx context.Context, h *sim.Host, _, group string, w patterntest.Worker) error {
		return d.receive(ctx, h, n, group, func(data string) error { return w.Handle(ctx, data) })
	}
	work.Groups = true
	work.AckWait = cmp.Or(work.AckWait, depotAckWait)
	work.MaxAttempts = cmp.Or(work.MaxAttempts, depotAttempts)
	work.Dead = func() (all int) {
		disk.mu.Lock()
		defer disk.mu.Unlock()
		for _, q := range disk.queues {
			for _, p := range q.parcels {
				if p.gaveUp {
					all++
				}
			}
		}
		return d.dead(all)
	}
	s.Work = &work
	return s
}

func (d depot) whole() depot {
	if d.begin == nil {
		d.begin = func(*depotServer) {}
	}
	if d.choose == nil {
		d.choose = inTurn
	}
	if d.spares == nil {
		d.spares = func(*queue, *parcel) bool { return false }
	}
	if d.joined == nil {
		d.joined = func(*depotServer, *queue) {}
	}
	if d.gone == nil {
		d.gone = func(_ *depotServer, p *parcel) { p.with = nil }
	}
	if d.failed == nil {
		d.failed = tryAgain
	}
	if d.dead == nil {
		d.dead = func(all int) int { return all }
	}
	d.ackWait = cmp.Or(d.ackWait, depotAckWait)
	return d
}

// inTurn gives a parcel to the worker that has the least, unless one before it with its key is not done.
func inTurn(s *depotServer, q *queue, p *parcel) []*depotWorker {
	for _, before := range q.parcels[q.first : p.id-1] {
		if !before.done && before.key == p.key && p.key != "" {
			return nil
		}
	}
	return s.leastBusy(q)
}

func (s *depotServer) leastBusy(q *queue) []*depotWorker {
	var least *depotWorker
	for _, w := range s.of(q) {
		if w.has < depotWindow && !w.hangs && (least == nil || w.has < least.has) {
			least = w
		}
	}
	if least == nil {
		return nil
	}
	return []*depotWorker{least}
}

// of returns the workers of a queue.
func (s *depotServer) of(q *queue) (all []*depotWorker) {
	for _, w := range s.workers {
		if s.queues[w.group] == q {
			all = append(all, w)
		}
	}
	return all
}

// tryAgain lets a parcel wait for a second, or gives it up.
func tryAgain(_ *depotServer, p *parcel) {
	p.with, p.notBefore = nil, time.Now().Add(time.Second)
	if p.attempts >= depotAttempts {
		p.done, p.gaveUp = true, true
	}
}

// dispatch hands out what can be handed out. The depot is locked.
func (s *depotServer) dispatch(q *queue) {
	now := time.Now()
	for q.first < len(q.parcels) && q.parcels[q.first].done {
		q.first++
	}
	for _, p := range q.parcels[q.first:] {
		if p.with != nil && s.ackWait > 0 && now.Sub(p.since) > s.ackWait {
			p.with.has--
			p.with.hangs, p.with = true, nil
		}
		if p.done || p.with != nil || now.Before(p.notBefore) {
			continue
		}
		if p.done = s.spares(q, p); p.done {
			continue
		}
		for _, w := range s.choose(s, q, p) {
			p.attempts++
			p.with, p.since = w, now
			w.has++
			w.out <- depotMessage{ID: p.id, Data: []byte(p.data)}
		}
	}
}

func (s *depotServer) serve(ctx context.Context, l net.Listener) error {
	var running sync.WaitGroup
	defer running.Wait()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	running.Go(func() {
		for ctx.Err() == nil { // what is over, nobody says
			sleep(ctx, 503*time.Millisecond)
			s.mu.Lock()
			for _, name := range s.names {
				s.dispatch(s.queues[name])
			}
			s.mu.Unlock()
		}
	})
	for {
		conn, err := l.Accept()
		if err != nil {
			return nil
		}
		running.Go(func() { s.session(ctx, &running, conn) })
	}
}

// session serves a worker's connection.
func (s *depotServer) session(ctx context.Context, running *sync.WaitGroup, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := json.NewDecoder(conn)
	var hello depotMessage
	if in.Decode(&hello) != nil {
		return
	}
	w := &depotWorker{Conn: conn, group: hello.Group, out: make(chan depotMessage, 1000)}
	running.Go(func() {
		for out := json.NewEncoder(conn); ; {
			select {
			case m, open := <-w.out:
				if !open || out.Encode(m) != nil {
					return
				}
			case <-time.After(10 * time.Second):
				if out.Encode(depotMessage{}) != nil {
					return
				}
			}
		}
	})
	q := s.come(w)
	defer s.leave(q, w)
	for {
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		var m depotMessage
		if in.Decode(&m) != nil {
			return
		}
		if m.ID > 0 {
			s.settle(q, w, m)
		}
	}
}

func (s *depotServer) come(w *depotWorker) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[w.group] == nil {
		s.queues[w.group] = &queue{}
		s.names = append(s.names, w.group)
	}
	s.workers = append(s.workers, w)
	q := s.queues[w.group]
	s.joined(s, q)
	s.dispatch(q)
	return q
}

func (s *depotServer) leave(q *queue, w *depotWorker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workers = slices.DeleteFunc(s.workers, func(x *depotWorker) bool { return x == w })
	close(w.out)
	for _, p := range q.parcels[q.first:] {
		if p.with == w {
			s.gone(s, p)
		}
	}
	s.dispatch(q)
}

// settle notes what a worker says of a parcel, if that is still its own.
func (s *depotServer) settle(q *queue, w *depotWorker, m depotMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.hangs = false
	if p := q.parcels[m.ID-1]; p.with == w && !p.done {
		w.has--
		if p.with = nil; m.OK {
			p.done = true
		} else {
			s.failed(s, p)
		}
	}
	s.dispatch(q)
}

// receive is a worker, over as many connections as it takes.
func (d depot) receive(ctx context.Context, h *sim.Host, n *sim.Network, group string, handle func(data string) error) error {
	wait := spread(500*time.Millisecond, 10*time.Second)(n.Rand(h.Name()))
	for nth := 1; ctx.Err() == nil; nth++ {
		d.connection(ctx, h, group, handle, func() { nth = 0 })
		sleep(ctx, wait(nth, nil))
	}
	return nil
}

func (d depot) connection(ctx context.Context, h *sim.Host, group string, handle func(data string) error, success func()) {
	conn, err := h.DialContext(ctx, "tcp", "server:80")
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	out := make(chan depotMessage)
	gone := make(chan struct{})
	defer close(gone)
	go func() { // one writes, lest two goroutines do at one instant
		for enc := json.NewEncoder(conn); ; {
			select {
			case m := <-out:
				enc.Encode(m)
			case <-time.After(10 * time.Second):
				enc.Encode(depotMessage{})
			case <-gone:
				return
			}
		}
	}()
	say := func(m depotMessage) {
		select {
		case out <- m:
		case <-ctx.Done():
		}
	}
	say(depotMessage{Group: group})
	for in := json.NewDecoder(conn); ; {
		conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		var m depotMessage
		if in.Decode(&m) != nil || ctx.Err() != nil {
			return
		}
		success()
		if m.ID > 0 {
			say(depotMessage{ID: m.ID, OK: handle(string(m.Data)) == nil})
		}
	}
}
