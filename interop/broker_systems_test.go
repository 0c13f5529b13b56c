package interop

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/alicebob/miniredis/v2"
	paho "github.com/eclipse/paho.mqtt.golang"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/hooks/storage/bolt"
	"github.com/mochi-mqtt/server/v2/listeners"
	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// Brokers and their clients. What publishes is in the broker's process, so that what is
// between it and the broker cannot fail.

// mqtt is mochi's broker and the Paho client, over MQTT 3.1.1. With a quality of service
// of 1 the client has a session that outlives its connections, and with a store the
// sessions outlive the broker.
type mqtt struct {
	qos   byte
	store bool
}

func (m mqtt) on(n *sim.Network) patterntest.System {
	var broker patterntest.Current[*mochi.Server]
	var known patterntest.Disk[bool]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			s := mochi.New(&mochi.Options{InlineClient: true, Logger: slog.New(slog.DiscardHandler)})
			if err := s.AddHook(new(auth.AllowHook), nil); err != nil {
				return err
			}
			if m.store {
				err := s.AddHook(new(bolt.Hook), &bolt.Options{Path: filepath.Join(folder, "broker"), Options: &bbolt.Options{NoSync: true}})
				if err != nil {
					return err
				}
			}
			l, err := h.Listen("tcp", ":1883")
			if err != nil {
				return err
			}
			if err := s.AddListener(listeners.NewNet("tcp", l)); err != nil {
				return err
			}
			if err := s.Serve(); err != nil {
				return err
			}
			defer s.Close()
			defer broker.Set(s)()
			<-ctx.Done()
			return nil
		},
		Publish: func(data string) error {
			s, up := broker.Get()
			if !up {
				return patterntest.ErrDown
			}
			return s.Publish("news", []byte(data), false, m.qos)
		},
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			for random := n.Rand(name); ctx.Err() == nil; {
				m.receive(ctx, h, name, &known, r)
				sleep(ctx, time.Second+time.Duration(random.Int64N(int64(4*time.Second))))
			}
			return nil
		},
		Repeats: m.qos == 1,
		Durable: m.store,
		Bound:   time.Second,
	}
}

// receive connects once.
func (m mqtt) receive(ctx context.Context, h *sim.Host, name string, known *patterntest.Disk[bool], r patterntest.Receiver) {
	lost := make(chan struct{})
	c := paho.NewClient(paho.NewClientOptions().
		AddBroker("tcp://server:1883").
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
			return h.DialContext(ctx, "tcp", "server:1883")
		}).
		SetClientID(name).
		SetCleanSession(m.qos == 0).
		SetAutoReconnect(false). // it does not tell whether the broker still has the session
		SetConnectionLostHandler(func(paho.Client, error) { close(lost) }).
		SetDefaultPublishHandler(func(_ paho.Client, msg paho.Message) { r.Event(string(msg.Payload())) }))
	connected := c.Connect().(*paho.ConnectToken)
	if connected.Wait(); connected.Error() != nil {
		return
	}
	defer c.Disconnect(0)
	if !connected.SessionPresent() {
		subscribed := c.Subscribe("news", m.qos, nil)
		select {
		case <-subscribed.Done():
		case <-lost:
			return
		}
		if subscribed.Error() != nil {
			return
		}
		if m.qos == 1 && known.Load(name) {
			r.Gap("the broker has no session any more")
		}
		known.Store(name, true)
	}
	select {
	case <-lost:
	case <-ctx.Done():
	}
}

// natsCore is NATS without JetStream. If tells is true each reconnection is a gap, which
// is all that a client can know.
func natsCore(tells bool) patterntest.NewSystem {
	return func(n *sim.Network) patterntest.System {
		var publisher patterntest.Current[*nats.Conn]
		var known patterntest.Disk[bool]
		return patterntest.System{
			Forgets: tells,
			Serve: func(ctx context.Context, h *sim.Host, folder string) error {
				s, err := natsd.NewServer(&natsd.Options{DontListen: true, NoSigs: true, NoLog: true})
				if err != nil {
					return err
				}
				s.Start()
				defer s.WaitForShutdown()
				defer s.Shutdown()
				l, err := h.Listen("tcp", ":4222")
				if err != nil {
					return err
				}
				go bridge(l, s.InProcessConn)
				p, err := nats.Connect("", nats.InProcessServer(s), nats.NoReconnect())
				if err != nil {
					return err
				}
				defer p.Close()
				defer publisher.Set(p)()
				<-ctx.Done()
				return nil
			},
			Publish: func(data string) error {
				p, up := publisher.Get()
				if !up {
					return patterntest.ErrDown
				}
				if err := p.Publish("news", []byte(data)); err != nil {
					return err
				}
				return p.Flush()
			},
			Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
				back := func(c *nats.Conn) {
					if c.Flush(); tells && known.Load(name) { // it is subscribed again when Flush returns
						r.Gap("nobody knows what was published before the subscription")
					}
					known.Store(name, true)
				}
				random := n.Rand(name)
				var c *nats.Conn
				for {
					var err error
					c, err = nats.Connect("nats://server:4222", nats.SetCustomDialer(natsDialer{ctx, h}),
						nats.SkipHostLookup(), // else it asks the operating system's resolver
						nats.MaxReconnects(-1), nats.CustomReconnectDelay(withJitter(random)), nats.ReconnectHandler(back))
					if err == nil {
						break
					}
					if !sleep(ctx, withJitter(random)(0)) {
						return nil
					}
				}
				defer c.Close()
				if _, err := c.Subscribe("news", func(m *nats.Msg) { r.Event(string(m.Data)) }); err != nil {
					return err
				}
				back(c)
				<-ctx.Done()
				return nil
			},
			Bound: time.Second,
		}
	}
}

func withJitter(random *rand.Rand) func(int) time.Duration {
	return func(int) time.Duration { return time.Second + time.Duration(random.Int64N(int64(4*time.Second))) }
}

type natsDialer struct {
	ctx context.Context
	h   *sim.Host
}

// Dial implements [nats.CustomDialer].
func (d natsDialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.ctx, 5*time.Second)
	defer cancel()
	return d.h.DialContext(ctx, network, address)
}

// bridge joins the connections of l to a server that takes none from a listener.
func bridge(l net.Listener, server func() (net.Conn, error)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s, err := server()
		if err != nil {
			c.Close()
			continue
		}
		pipe := func(to, from net.Conn) {
			io.Copy(to, from)
			to.Close()
			from.Close()
		}
		go pipe(c, s)
		go pipe(s, c)
	}
}

// redisPubSub is miniredis and the Pub/Sub of go-redis.
func redisPubSub(n *sim.Network) patterntest.System {
	var server patterntest.Current[*miniredis.Miniredis]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			m := miniredis.NewMiniRedis()
			first, err := m.Dial() // starts it without a listener
			if err != nil {
				return err
			}
			defer m.Close()
			defer first.Close()
			l, err := h.Listen("tcp", ":6379")
			if err != nil {
				return err
			}
			defer server.Set(m)()
			defer context.AfterFunc(ctx, func() { l.Close() })()
			for {
				c, err := l.Accept()
				if err != nil {
					return nil
				}
				m.Server().ServeConn(c)
			}
		},
		Publish: func(data string) error {
			return server.Do(func(m *miniredis.Miniredis) error {
				m.Publish("news", data)
				return nil
			})
		},
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			c := redis.NewClient(&redis.Options{Addr: "server:6379", Dialer: h.DialContext,
				// Else it asks the operating system's resolver what kind of host the server is.
				MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
			defer c.Close()
			random := n.Rand(name)
			for ctx.Err() == nil {
				s := c.Subscribe(ctx, "news")
				stop := context.AfterFunc(ctx, func() { s.Close() })
				// Channel, its usual way, holds a mutex while it reconnects and stops virtual time.
				for ctx.Err() == nil {
					m, err := s.ReceiveMessage(ctx)
					if err != nil {
						sleep(ctx, time.Second+time.Duration(random.Int64N(int64(4*time.Second))))
						continue
					}
					r.Event(m.Payload)
				}
				stop()
				s.Close()
			}
			return nil
		},
		Bound: time.Second,
	}
}
