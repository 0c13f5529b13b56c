package systems

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/pubsub"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// PubSub is a publish/subscribe broker and its clients, each with its own durable subscription. log is the broker's log, in memory or on
// disk. With a log on disk the clients keep their positions on disk; otherwise the broker keeps them.
func PubSub(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	system, _ := pubSub(n, log, nil)
	return system
}

// PubSubByName is PubSub with a broker that lets each client see the events for everybody and its own. These are two subscriptions.
func PubSubByName(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System {
	system, publish := pubSub(n, log, func(_ context.Context, h pubsub.Hello) (access.Identity, error) { return only(h.Client), nil })
	system.PublishTo = func(name, data string) error { return publish(forOne(name), data) }
	return system
}

func pubSub(n *sim.Network, log func(folder string) (eventlog.Log, error), authenticate func(context.Context, pubsub.Hello) (access.Identity, error)) (patterntest.System, publisher) {
	var s service[*pubsub.Broker]
	publish := func(topic, data string) error {
		return s.Do(func(b *pubsub.Broker) error {
			_, err := b.Publish(context.Background(), pubsub.Message{Topic: topic, Data: []byte(data)})
			return err
		})
	}
	receive := func(ctx context.Context, c *pubsub.Client, filter, name string, gap func(why string), r patterntest.Receiver) error {
		// The position says where to begin if the broker has forgotten the subscription: at first, where the subscription began.
		at := s.Load(name)
		token := strings.ReplaceAll(name, ".", "_") // a subscription's name has no dots
		sub, err := c.Subscribe(ctx, pubsub.SubscribeOptions{Filter: filter, Name: token, From: at})
		if err == nil && at.IsZero() {
			s.Store(name, sub.From())
		}
		for err == nil {
			var d *pubsub.Delivery
			d, err = sub.Next(ctx)
			if lost := (*pubsub.Gap)(nil); errors.As(err, &lost) {
				gap(string(lost.Reason))
				s.Store(name, lost.Cursor)
				err = nil
			} else if err == nil {
				r.Event(string(d.Data))
				s.Store(name, d.Cursor)
				d.Ack()
			}
		}
		if errors.Is(err, pubsub.ErrFenced) {
			return nil // another client has taken its name, so this one is done
		}
		return err
	}
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			l, err := log(folder)
			if err != nil {
				return err
			}
			defer l.Close()
			var store *pubsub.Store
			if _, disk := l.(*eventlog.Disk); disk {
				if store, err = pubsub.OpenStore(filepath.Join(folder, "subscriptions")); err != nil {
					return err
				}
				defer store.Close()
			}
			b := &pubsub.Broker{Log: l, Store: store, Authenticate: authenticate}
			defer s.Set(b)()
			return ServeBroker(ctx, h, b)
		},
		Publish: func(data string) error { return publish("news", data) },
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			c := &pubsub.Client{ID: name, Addr: "server:4222", DialContext: h.DialContext, Jitter: retry.Seeded(n.Rand(name).Uint64())}
			defer c.Close()
			if authenticate != nil {
				// A broker that has forgotten reports this to both subscriptions, but it is one gap.
				var own sync.WaitGroup
				defer own.Wait()
				own.Go(func() {
					time.Sleep(time.Nanosecond) // the second subscription follows the first
					receive(ctx, c, forOne(name), name+"-only", func(string) {}, r)
				})
			}
			return receive(ctx, c, "news", name, r.Gap, r)
		},
		PublishKey: func(key, data string) error {
			return s.Do(func(b *pubsub.Broker) error {
				_, err := b.Publish(context.Background(), pubsub.Message{Topic: "news", Key: key, Data: []byte(data)})
				return err
			})
		},
		Fences: true,
		Publishers: &patterntest.Publishers{
			Run: func(ctx context.Context, h *sim.Host, name string, o patterntest.Outbox) error {
				c := &pubsub.Client{ID: name, Addr: "server:4222", DialContext: h.DialContext, Jitter: retry.Seeded(n.Rand(name).Uint64())}
				defer c.Close()
				for {
					id, data, err := o.Next(ctx)
					if err == nil {
						_, err = c.Publish(ctx, pubsub.Message{Topic: "news", ID: name + "/" + id, Data: []byte(data)})
					}
					if err != nil {
						return err
					}
					o.Accepted(id)
				}
			},
			Remembers: 2 * time.Minute,
		},
		Work: &patterntest.Work{
			Receive: func(ctx context.Context, h *sim.Host, name, group string, w patterntest.Worker) error {
				c := &pubsub.Client{ID: name, Addr: "server:4222", DialContext: h.DialContext, Jitter: retry.Seeded(n.Rand(name).Uint64())}
				defer c.Close()
				return work(ctx, c, group, &s.Disk, w)
			},
			Groups:      true,
			AckWait:     ackWait,
			MaxAttempts: maxAttempts,
			Dead: func() (letters int) {
				s.Do(func(b *pubsub.Broker) error {
					for _, sub := range b.Subscriptions() {
						letters += int(sub.DeadLetters)
					}
					return nil
				})
				return letters
			},
		},
		Held: func() (bytes int) {
			s.Do(func(b *pubsub.Broker) error { bytes = int(b.Stats().HeldBytes); return nil })
			return bytes
		},
		Repeats: true,
		Bound:   3*40*time.Millisecond + 10*time.Millisecond,
	}, publish
}

// How workers subscribe.
const (
	ackWait     = 20 * time.Second
	maxAttempts = 10 // lost connections use up some attempts
)

// work makes a client receive messages of a group's subscription until ctx is done.
func work(ctx context.Context, c *pubsub.Client, group string, positions *patterntest.Disk[eventlog.Cursor], w patterntest.Worker) error {
	at := positions.Load(group)
	sub, err := c.Subscribe(ctx, pubsub.SubscribeOptions{
		Filter: "news", Name: group, From: at, FromNow: at.IsZero(), AckWait: ackWait, MaxAttempts: maxAttempts, MaxInFlight: 16,
	})
	if err == nil && at.IsZero() {
		positions.Store(group, sub.From())
	}
	for err == nil {
		var d *pubsub.Delivery
		d, err = sub.Next(ctx)
		switch gap := (*pubsub.Gap)(nil); {
		case errors.As(err, &gap):
			w.Gap(string(gap.Reason))
			positions.Store(group, gap.Cursor)
			err = nil
		case err == nil && w.Handle(ctx, string(d.Data)) == nil:
			d.Ack()
		case err == nil:
			d.Nack(time.Second)
		}
	}
	return err
}

// ServeBroker serves b on port 4222 of h until ctx is done.
func ServeBroker(ctx context.Context, h *sim.Host, b *pubsub.Broker) error {
	l, err := h.Listen("tcp", ":4222")
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { b.Close() })
	defer stop()
	defer b.Close() // Close also waits for the other goroutine
	if err := b.Serve(l); !errors.Is(err, pubsub.ErrClosed) && ctx.Err() == nil {
		return err
	}
	return nil
}
