package patterntest_test

import (
	"context"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// pushing is a WebSocket server and its clients.
type pushing struct {
	durable   bool
	mailboxes bool // events go to the mailbox of each client, where the server counts them
	claims    patterntest.System

	server  func(*push.Server) // its settings
	publish func(s *push.Server, topic string, ttl time.Duration, data string) error
	account func(s push.ServerStats) patterntest.Account
	client  func(c *push.Client)
	event   func(ctx context.Context, e push.Event, r patterntest.Receiver)
	reset   func(reset push.Reset, r patterntest.Receiver)
	gap     func(g push.Gap, r patterntest.Receiver)
	receive func(ctx context.Context, newClient func() *pushClient) error
}

// pushClient is a client with its handler.
type pushClient struct {
	push.Client
	handle func(context.Context, push.Event) error
}

func (c *pushClient) run(ctx context.Context) error { return c.Run(ctx, c.handle) }

func (p pushing) on(n *sim.Network) patterntest.System {
	p = p.whole()
	var life running[push.Server]
	positions := newStore()
	var members subscribers[string]
	log := inMemory
	if p.durable {
		log = onDisk
	}

	s := p.claims
	s.Durable = s.Durable || p.durable
	s.Serve = func(ctx context.Context, h *sim.Host, folder string) error {
		l, err := log(folder)
		if err != nil {
			return err
		}
		defer l.Close()
		server := &push.Server{Log: l, Authenticate: trustEverybody}
		p.server(server)
		defer server.Close()
		life.set(server)
		defer life.set(nil)
		return patterntest.ServeHTTP(ctx, h, server.Handler())
	}
	s.PublishFor = func(data string, ttl time.Duration) error {
		server := life.get()
		if server == nil {
			return errDown
		}
		if !p.mailboxes {
			return p.publish(server, "news", ttl, data)
		}
		for _, name := range members.now() {
			if err := p.publish(server, push.Mailbox(name), ttl, data); err != nil {
				return err
			}
		}
		return nil
	}
	s.Publish = func(data string) error { return s.PublishFor(data, 0) }
	if p.mailboxes {
		s.Account = func() patterntest.Account {
			if server := life.get(); server != nil {
				return p.account(server.Stats())
			}
			return patterntest.Account{}
		}
	}
	s.Held = func() int {
		if server := life.get(); server != nil {
			return int(server.Stats().QueuedBytes)
		}
		return 0
	}
	s.Receive = func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
		members.add(name)
		newClient := func() *pushClient {
			c := &pushClient{handle: func(ctx context.Context, e push.Event) error {
				p.event(ctx, e, r)
				positions.set(name, e.Cursor)
				return nil
			}}
			c.Client = push.Client{
				URL: "ws://server/", ID: name, HTTP: h.HTTPClient(), From: positions.get(name), Jitter: retry.Seeded(n.Rand(name).Uint64()),
				OnReset: func(_ context.Context, reset push.Reset) error {
					p.reset(reset, r)
					positions.set(name, reset.Cursor)
					return nil
				},
				OnGap: func(_ context.Context, g push.Gap) error {
					p.gap(g, r)
					positions.set(name, g.Cursor)
					return nil
				},
			}
			p.client(&c.Client)
			return c
		}
		return p.receive(ctx, newClient)
	}
	return s
}

func (p pushing) whole() pushing {
	if p.server == nil {
		p.server = func(*push.Server) {}
	}
	if p.publish == nil {
		p.publish = send
	}
	if p.account == nil {
		p.account = account
	}
	if p.client == nil {
		p.client = func(*push.Client) {}
	}
	if p.event == nil {
		p.event = func(_ context.Context, e push.Event, r patterntest.Receiver) { r.Event(string(e.Data)) }
	}
	if p.reset == nil {
		p.reset = func(reset push.Reset, r patterntest.Receiver) {
			if reset.Reason != push.ReasonNew {
				r.Gap(string(reset.Reason))
			}
		}
	}
	if p.gap == nil {
		p.gap = func(_ push.Gap, r patterntest.Receiver) { r.Gap("slow") }
	}
	if p.receive == nil {
		p.receive = func(ctx context.Context, newClient func() *pushClient) error { return newClient().run(ctx) }
	}
	return p
}

func trustEverybody(r *http.Request) (access.Identity, error) {
	return access.Identity{Client: r.URL.Query().Get("client"), Topics: []string{"news"}}, nil
}

func account(s push.ServerStats) patterntest.Account {
	return patterntest.Account{
		Expired: int(s.Expired),
		Dropped: int(s.DroppedOldest + s.DroppedNewest + s.Coalesced),
		Pending: int(s.Queued),
	}
}

func send(s *push.Server, topic string, ttl time.Duration, data string) error {
	_, err := s.Publish(context.Background(), push.Message{Topic: topic, TTL: ttl, Data: []byte(data)})
	return err
}
