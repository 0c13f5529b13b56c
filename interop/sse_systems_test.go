package interop

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
	"gopkg.in/cenkalti/backoff.v1"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// Servers and clients of Server-Sent Events, each used as its documentation shows.
// Clients keep the last event's ID, as a program does that stores it.

// The README shows this system as it stands here.
// begin README

// r3labsSSE is both halves of r3labs/sse, with its replay of old events.
func r3labsSSE(n *sim.Network) patterntest.System {
	var server patterntest.Current[*r3labs.Server]
	var ids patterntest.Disk[[]byte]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			s := r3labs.New()
			s.SplitData = true // else a line end in the data is one in the stream
			s.CreateStream("news")
			// A request that outlives its stream leaves a goroutine behind for ever.
			defer func() { time.AfterFunc(time.Minute, s.Close) }()
			defer server.Set(s)()
			return patterntest.ServeHTTP(ctx, h, s)
		},
		Publish: func(data string) error {
			return server.Do(func(s *r3labs.Server) error {
				s.Publish("news", &r3labs.Event{Data: []byte(data)})
				return nil
			})
		},
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			c := r3labs.NewClient("http://server/", r3labs.ClientMaxBufferSize(1<<20))
			c.Connection = h.HTTPClient()
			if id := ids.Load(name); id != nil {
				c.LastEventID.Store(id)
			}
			for {
				// It returns when the server ends the stream, and after 15 min without success.
				c.ReconnectStrategy = backoff.WithContext(backoff.NewExponentialBackOff(), ctx)
				c.SubscribeWithContext(ctx, "news", func(e *r3labs.Event) {
					r.Event(string(e.Data))
					ids.Store(name, e.ID)
				})
				if !sleep(ctx, time.Second) {
					return nil
				}
			}
		},
		Bound: time.Second,
	}
}

// end README

// goSSE is both halves of tmaxmax/go-sse, with a replayer.
func goSSE(replayer func(n *sim.Network) gosse.Replayer) patterntest.NewSystem {
	return func(n *sim.Network) patterntest.System {
		var server patterntest.Current[*gosse.Server]
		var ids patterntest.Disk[string]
		return patterntest.System{
			Serve: func(ctx context.Context, h *sim.Host, folder string) error {
				s := &gosse.Server{Provider: &gosse.Joe{Replayer: replayer(n)}}
				defer s.Shutdown(context.Background())
				defer server.Set(s)()
				return patterntest.ServeHTTP(ctx, h, s)
			},
			Publish: func(data string) error {
				s, up := server.Get()
				if !up {
					return patterntest.ErrDown
				}
				m := &gosse.Message{}
				m.AppendData(data)
				return s.Publish(m)
			},
			Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/", nil)
				if err != nil {
					return err
				}
				if id := ids.Load(name); id != "" {
					req.Header.Set("Last-Event-ID", id)
				}
				c := gosse.Client{HTTPClient: h.HTTPClient(), Backoff: gosse.Backoff{MaxInterval: 30 * time.Second}}
				conn := c.NewConnection(req)
				conn.Buffer(nil, 1<<20)
				conn.SubscribeToAll(func(e gosse.Event) {
					ids.Store(name, e.LastEventID)
					switch e.Type {
					case typeGap:
						r.Gap(e.Data)
					case typePosition:
					default:
						r.Event(e.Data)
					}
				})
				for ctx.Err() == nil {
					if err := conn.Connect(); err != nil && ctx.Err() == nil {
						return fmt.Errorf("go-sse gave up: %w", err)
					}
				}
				return nil
			},
			Bound: time.Second,
		}
	}
}

// launchDarklySSE is both halves of launchdarkly/eventsource, with its repository.
func launchDarklySSE(n *sim.Network) patterntest.System {
	type running struct {
		*eventsource.Server
		*eventsource.SliceRepository
		next int
	}
	var server patterntest.Current[*running]
	var ids patterntest.Disk[string]
	return patterntest.System{
		Serve: func(ctx context.Context, h *sim.Host, folder string) error {
			s := &running{eventsource.NewServer(), eventsource.NewSliceRepository(), 0}
			s.Register("news", s.SliceRepository)
			defer s.Server.Close()
			defer time.Sleep(ms) // its handlers talk to it when they end
			defer server.Set(s)()
			return patterntest.ServeHTTP(ctx, h, s.Handler("news"))
		},
		Publish: func(data string) error {
			s, up := server.Get()
			if !up {
				return patterntest.ErrDown
			}
			s.next++
			e := numbered{fmt.Sprintf("%09d", s.next), data} // its repository compares IDs as text
			s.Add("news", e)
			<-s.PublishWithAcknowledgment([]string{"news"}, e)
			return nil
		},
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			for ctx.Err() == nil {
				receiveLaunchDarkly(ctx, h, &ids, name, r)
				sleep(ctx, time.Second)
			}
			return nil
		},
		Bound: time.Second,
	}
}

func receiveLaunchDarkly(ctx context.Context, h *sim.Host, ids *patterntest.Disk[string], name string, r patterntest.Receiver) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/", nil)
	if err != nil {
		return err
	}
	s, err := eventsource.SubscribeWithRequestAndOptions(req, eventsource.StreamOptionHTTPClient(h.HTTPClient()),
		eventsource.StreamOptionLastEventID(ids.Load(name)),
		eventsource.StreamOptionUseBackoff(30*time.Second), eventsource.StreamOptionUseJitter(0.5),
		eventsource.StreamOptionErrorHandler(func(error) eventsource.StreamErrorHandlerResult {
			return eventsource.StreamErrorHandlerResult{CloseNow: ctx.Err() != nil}
		}))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, s.Close)()
	for e := range s.Events {
		r.Event(e.Data())
		ids.Store(name, e.Id())
	}
	return nil
}

type numbered struct{ id, data string }

func (n numbered) Id() string    { return n.id }
func (n numbered) Event() string { return "" }
func (n numbered) Data() string  { return n.data }

// The types of events that tellsOfGaps adds.
const (
	typePosition = "position" // gives a client that has none an ID to come back with
	typeGap      = "gap"      // events are missing before the next
)

// tellsOfGaps is a Replayer for go-sse that keeps the last events and, unlike those
// that come with it, says so when it no longer has what follows a client's ID.
type tellsOfGaps struct {
	life   string // IDs of another mean nothing
	keep   int    // this many events
	events []*gosse.Message
	put    int // so many since the beginning; they are the ID, from 1
}

func (k *tellsOfGaps) id(number int) gosse.EventID {
	return gosse.ID(fmt.Sprintf("%s/%d", k.life, number))
}

// Put implements [gosse.Replayer].
func (k *tellsOfGaps) Put(m *gosse.Message, topics []string) (*gosse.Message, error) {
	k.put++
	m = m.Clone()
	m.ID = k.id(k.put)
	k.events = append(k.events, m)
	k.events = k.events[max(0, len(k.events)-k.keep):]
	return m, nil
}

// Replay implements [gosse.Replayer].
func (k *tellsOfGaps) Replay(s gosse.Subscription) error {
	dropped := k.put - len(k.events)
	life, number, _ := strings.Cut(s.LastEventID.String(), "/")
	seen, err := strconv.Atoi(number)
	first := &gosse.Message{}
	switch {
	case !s.LastEventID.IsSet():
		seen = k.put
		first.Type = gosse.Type(typePosition)
		first.AppendData("here")
	case err != nil || life != k.life || seen < dropped:
		seen = dropped
		first.Type = gosse.Type(typeGap)
		first.AppendData("what follows " + s.LastEventID.String() + " is gone")
	}
	first.ID = k.id(seen)
	send := k.events[seen-dropped:]
	if first.Type.IsSet() {
		send = slices.Insert(slices.Clone(send), 0, first)
	}
	for _, m := range send {
		if err := s.Client.Send(m); err != nil {
			return err
		}
	}
	return s.Client.Flush()
}
