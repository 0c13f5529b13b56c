package async_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async/outbox"
	"github.com/squall-sim/squall/patterns/async/saga"
	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// A database with an outbox on the host "app", which publishes to the host "consumer".
var outboxes = []scenario.Row{
	{Name: "SA-10 a crash between the commit and the publication, without an outbox", Reason: "counter-example: without an outbox the event is lost (opendefender/OpenRisk#344)",
		Story: func(t *testing.T, n *sim.Network) {
			d, c := &database{}, consume(n)
			app := n.Host("app")
			app.Run("app", func(ctx context.Context, h *sim.Host) error {
				if d.size() == 0 {
					d.begin("order 7").commit()
					if retry.Sleep(ctx, time.Second) != nil { // the crash comes here
						return nil
					}
					return publishTo(h)(ctx, outbox.Row{ID: "order 7"})
				}
				return nil
			})
			n.After(500*time.Millisecond, app.Restart)
			time.Sleep(time.Minute)
			require.Equal(t, 1, d.size(), "it is committed")
			require.Empty(t, c.effects())
		}},
	{Name: "SA-11 the same with an outbox", Reason: "the row is committed together with the state, and published after the restart",
		Story: func(t *testing.T, n *sim.Network) {
			d, c := &database{}, consume(n)
			app := relayOn(n, d)
			d.begin("order 7").commit()
			n.After(500*time.Millisecond, app.Crash)
			n.After(time.Minute, app.Restart)
			d.begin("order 8") // and its transaction never commits
			time.Sleep(2 * time.Minute)
			require.Equal(t, map[string]int{"order 7": 1}, c.effects())
		}},
	{Name: "SA-12 a crash between the publication and the mark", Reason: "the row is published again, and the consumer recognises it by its id",
		Story: func(t *testing.T, n *sim.Network) {
			d, c := &database{}, consume(n)
			app := relayOn(n, d)
			time.Sleep(100 * time.Millisecond)
			d.begin("order 7").commit()
			// The relay asks at 1 s, the row is with the consumer after 120 ms, and its answer 40 ms later.
			n.After(1140*time.Millisecond-100*time.Millisecond, app.Restart)
			time.Sleep(time.Minute)
			require.Equal(t, map[string]int{"order 7": 1}, c.effects())
			require.Equal(t, 2, c.seen("order 7"))
		}},
	{Name: "SA-13 a transaction commits after a later one was relayed", Reason: "the relay keeps no position that could already be past it (kamu-data/kamu-cli#1398)",
		Story: func(t *testing.T, n *sim.Network) {
			d, c := &database{}, consume(n)
			relayOn(n, d)
			lateCommit(d)
			require.Equal(t, map[string]int{"row 100": 1, "row 101": 1, "row 102": 1}, c.effects())
		}},
	{Name: "SA-13 the same with a relay that goes by sequence numbers", Reason: "counter-example: it never publishes the row",
		Story: func(t *testing.T, n *sim.Network) {
			d, c := &database{}, consume(n)
			n.Link(n.Host("app"), n.Host("consumer"), scenario.Good)
			n.Host("app").Run("relay", func(ctx context.Context, h *sim.Host) error {
				for last := 0; retry.Sleep(ctx, time.Second) == nil; {
					for _, row := range d.after(last) {
						if publishTo(h)(ctx, row.Row) == nil {
							last = row.seq
						}
					}
				}
				return nil
			})
			lateCommit(d)
			require.Equal(t, map[string]int{"row 100": 1, "row 102": 1}, c.effects())
		}},
}

// lateCommit has transaction 101 commit five seconds after 102.
func lateCommit(d *database) {
	d.begin("row 100").commit()
	late := d.begin("row 101")
	d.begin("row 102").commit()
	time.Sleep(5 * time.Second)
	late.commit()
	time.Sleep(time.Minute)
}

// A database gives out sequence numbers when a row is inserted, and shows the row when its transaction
// commits, as PostgreSQL does.
type database struct {
	mu   sync.Mutex
	seq  int
	rows []*insertion
}

type insertion struct {
	outbox.Row
	of              *database
	seq             int
	committed, sent bool
}

func (d *database) begin(id string) *insertion {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seq++
	return &insertion{Row: outbox.Row{ID: id, Key: id, Payload: []byte(id)}, of: d, seq: d.seq}
}

func (i *insertion) commit() {
	i.of.mu.Lock()
	defer i.of.mu.Unlock()
	i.committed = true
	i.of.rows = append(i.of.rows, i)
	slices.SortFunc(i.of.rows, func(a, b *insertion) int { return a.seq - b.seq })
}

func (d *database) size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.rows)
}

func (d *database) after(seq int) (all []insertion) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		if r.seq > seq {
			all = append(all, *r)
		}
	}
	return all
}

func (d *database) Unsent(_ context.Context, limit int, except []string) (rows []outbox.Row, err error) {
	for _, r := range d.after(0) {
		if !r.sent && len(rows) < limit && !slices.Contains(except, r.Key) {
			rows = append(rows, r.Row)
		}
	}
	return rows, nil
}

func (d *database) Sent(_ context.Context, ids []string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		r.sent = r.sent || slices.Contains(ids, r.ID)
	}
	return nil
}

// relayOn runs a relay on the host "app", whose database survives its crashes.
func relayOn(n *sim.Network, d *database) *sim.Host {
	app := n.Host("app")
	n.Link(app, n.Host("consumer"), scenario.Good)
	app.Run("relay", func(ctx context.Context, h *sim.Host) error {
		r := &outbox.Relay{Store: d, Publish: publishTo(h), Jitter: retry.NoJitter}
		_ = r.Run(ctx)
		return nil
	})
	time.Sleep(1) // the relay has found nothing, and looks again in a second
	return app
}

func publishTo(h *sim.Host) func(context.Context, outbox.Row) error {
	client := h.HTTPClient()
	return func(ctx context.Context, row outbox.Row) error {
		req, err := http.NewRequestWithContext(ctx, "POST", "http://consumer/"+strings.ReplaceAll(row.ID, " ", "-"), nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != 204 {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	}
}

// A consumer has one effect for each id.
type consumer struct {
	mu       sync.Mutex
	arrivals map[string]int
}

func consume(n *sim.Network) *consumer {
	c := &consumer{arrivals: map[string]int{}}
	n.Host("consumer").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.arrivals[strings.ReplaceAll(r.URL.Path[1:], "-", " ")]++
		w.WriteHeader(204)
	}))
	return c
}

func (c *consumer) seen(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arrivals[id]
}

func (c *consumer) effects() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string]int{}
	for id := range c.arrivals {
		all[id] = 1
	}
	return all
}

// A saga of five steps in the hands of workers that crash.
var sagas = []scenario.Row{
	{Name: "SA-14 the third of five steps fails for good", Reason: "the two completed steps are undone, the last one first",
		Story: func(t *testing.T, n *sim.Network) {
			calls, s := playSaga(t, n, func(call string, _ int) error {
				if call == "do 3" {
					return workqueue.Final{Err: errors.New("sold out")}
				}
				return nil
			})
			require.Equal(t, []string{"do 1", "do 2", "undo 2", "undo 1"}, calls)
			require.Equal(t, workqueue.Failed, s.State)
			require.Equal(t, `saga: undone after step "3": sold out`, s.Error)
		}},
	{Name: "SA-15 a compensation fails twice", Reason: "it is retried until it succeeds",
		Story: func(t *testing.T, n *sim.Network) {
			calls, s := playSaga(t, n, func(call string, nth int) error {
				switch {
				case call == "do 3":
					return workqueue.Final{Err: errors.New("sold out")}
				case call == "undo 2" && nth <= 2:
					return errors.New("out of order")
				}
				return nil
			})
			require.Equal(t, []string{"do 1", "do 2", "undo 2", "undo 1"}, calls)
			require.Equal(t, workqueue.Failed, s.State)
		}},
	{Name: "SA-14 the worker crashes amid the way forward", Reason: "another worker continues where the journal ends, and repeats one step",
		Story: func(t *testing.T, n *sim.Network) {
			n.After(3000*time.Millisecond, n.Host("first").PowerOff) // step 3 has been begun
			calls, s := playSaga(t, n, nil)
			require.Equal(t, []string{"do 1", "do 2", "do 3", "do 3", "do 4", "do 5"}, calls)
			require.Equal(t, workqueue.Done, s.State)
		}},
	{Name: "SA-14 the worker crashes amid the way back", Reason: "the journal records that the saga is being undone",
		Story: func(t *testing.T, n *sim.Network) {
			n.After(4200*time.Millisecond, n.Host("first").PowerOff) // the way back has begun
			calls, s := playSaga(t, n, func(call string, _ int) error {
				if call == "do 4" {
					return workqueue.Final{Err: errors.New("sold out")}
				}
				return nil
			})
			require.Equal(t, []string{"do 1", "do 2", "do 3"}, calls[:3])
			require.Equal(t, []string{"undo 3", "undo 2", "undo 1"}, slices.Compact(calls[3:]))
			require.Equal(t, workqueue.Failed, s.State)
		}},
}

// playSaga has two workers at a queue do a saga whose steps have their effect at once, and answer after a
// second. It returns the effects.
func playSaga(t *testing.T, n *sim.Network, fail func(call string, nth int) error) (calls []string, s workqueue.Status) {
	serveQueue(t, n, nil)
	var mu sync.Mutex
	count := map[string]int{}
	do := func(ctx context.Context, call string) error {
		mu.Lock()
		count[call]++
		var err error
		if fail != nil {
			err = fail(call, count[call])
		}
		if err == nil {
			calls = append(calls, call)
		}
		mu.Unlock()
		if err != nil {
			return err
		}
		return retry.Sleep(ctx, time.Second)
	}
	var steps []saga.Step
	for i := range 5 {
		name := fmt.Sprint(i + 1)
		steps = append(steps, saga.Step{Name: name,
			Do:   func(ctx context.Context, _ saga.Call) ([]byte, error) { return nil, do(ctx, "do "+name) },
			Undo: func(ctx context.Context, _ saga.Call) error { return do(ctx, "undo "+name) },
		})
	}
	c := submitter(n)
	for _, name := range []string{"first", "second"} {
		source, _ := queueClient(n, name)
		n.Host(name).Run("worker", func(ctx context.Context, h *sim.Host) error {
			sg := &saga.Saga{Steps: steps, Jitter: retry.NoJitter}
			_ = (&workqueue.Worker{Source: source, Jitter: retry.NoJitter}).Run(ctx, sg.Handle)
			return nil
		})
		time.Sleep(100 * time.Millisecond) // the first one waits first
	}
	added(t, c, "saga")
	s = ended(t, c, "saga")
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(calls), s
}
