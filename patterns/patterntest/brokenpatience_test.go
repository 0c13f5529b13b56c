package patterntest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// limited executes so many calls at a time; the others wait in a queue. waits says for how long.
func limited(places int, waits func(ctx context.Context) <-chan struct{}) doing {
	var mu sync.Mutex
	slots := map[*deskServer]chan struct{}{}
	return func(d *deskServer, ctx context.Context, data string) (string, error) {
		mu.Lock()
		if slots[d] == nil {
			slots[d] = make(chan struct{}, places)
		}
		slot := slots[d]
		mu.Unlock()
		select {
		case slot <- struct{}{}:
		case <-waits(ctx):
			return "", ctx.Err()
		}
		defer func() { <-slot }()
		return d.app.Do(ctx, data)
	}
}

func untilItsEnd(ctx context.Context) <-chan struct{} { return ctx.Done() }
func forEver(context.Context) <-chan struct{}         { return nil }

// breaker stops asking after three failures in a row, and asks again as pause says.
func breaker(probe func(opened time.Time) bool) asking {
	type state struct {
		failures int
		opened   time.Time
	}
	var mu sync.Mutex
	states := map[*officeClient]*state{}
	return func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		mu.Lock()
		if states[c] == nil {
			states[c] = &state{}
		}
		s := states[c]
		if s.failures >= 3 && !probe(s.opened) {
			mu.Unlock()
			return "", said(errors.New("the breaker is open"), false)
		}
		mu.Unlock()
		answer, err := tryOnce(c, ctx, r)
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			s.failures = 0
		} else if s.failures++; s.failures == 3 {
			s.opened = time.Now()
		}
		return answer, err
	}
}

// deaf is a context that has a deadline and goes on after it.
type deaf struct {
	context.Context
	of context.Context
}

func (d deaf) Deadline() (time.Time, bool) { return d.of.Deadline() }

// Broken patience: of callers, and of servers with calls that nobody waits for.
var brokenPatience = []callFlaw{
	{"the server looks for calls each second", office{do: func(d *deskServer, ctx context.Context, data string) (string, error) {
		time.Sleep(time.Second - time.Duration(time.Now().UnixNano())%time.Second)
		return d.app.Do(ctx, data)
	}}.on, "a quiet day of calls", patterntest.Answering, "c1, asked by phone at 1ms, took * over a good network; 240ms is promised (and * more)"},
	{"the server executes one call at a time", office{do: limited(1, untilItsEnd)}.on,
		"calls at a time", patterntest.Answering, "c2, asked by phone at *, took * over a good network; * is promised (and * more)"},
	{"the client has one connection", office{client: func(c *officeClient) { c.http.Transport.(*http.Transport).MaxConnsPerHost = 1 }, claims: func(s *patterntest.Service) { s.Deadlines = false }}.on,
		"calls at a time", patterntest.Answering, "c2, asked by phone at *, took * over a good network; * is promised (and * more)"},
	{"the server executes three calls at a time, of whomever", office{do: limited(3, untilItsEnd)}.on,
		"ten callers at a time", patterntest.Answering, "*, took * over a good network; * is promised (and * more)"},
	{"the client stops asking for good after three failures", office{asks: breaker(func(time.Time) bool { return false }), claims: noRetries}.on,
		"the server is gone for ten minutes, amid calls", patterntest.Answering, "no call of phone was done within 3m0s after all faults were over"},
	{"the client asks no sooner than in ten minutes after three failures", office{asks: breaker(func(opened time.Time) bool { return time.Since(opened) > 10*time.Minute }), claims: noRetries}.on,
		"no way for five minutes", patterntest.Answering, "no call of phone was done within 3m0s after all faults were over"},
	{"the server executes two calls at a time, also of those who have gone", office{do: func() doing {
		queue := limited(2, forEver)
		return func(d *deskServer, ctx context.Context, data string) (string, error) {
			return queue(d, context.WithoutCancel(ctx), data)
		}
	}(), claims: func(s *patterntest.Service) { s.Cancels, s.Deadlines = false, false }}.on, "a caller crashes and leaves while it waits", patterntest.Answering, "*, asked by other at *"},
	{"what was given up keeps its place", office{do: func() doing {
		var mu sync.Mutex
		slots := map[*deskServer]chan struct{}{}
		return func(d *deskServer, ctx context.Context, data string) (string, error) {
			mu.Lock()
			if slots[d] == nil {
				slots[d] = make(chan struct{}, 20)
			}
			slot := slots[d]
			mu.Unlock()
			select {
			case slot <- struct{}{}:
			case <-ctx.Done():
				return "", ctx.Err()
			}
			answer, err := d.app.Do(ctx, data)
			if err == nil {
				<-slot
			}
			return answer, err
		}
	}()}.on, "calls come and go", patterntest.Answering, "no call of phone was done within 3m0s after all faults were over"},
	{"the server forgets a goroutine for each call that was given up", office{do: func(d *deskServer, ctx context.Context, data string) (string, error) {
		answer, err := d.app.Do(ctx, data)
		if err != nil {
			go func() { <-d.over }()
		}
		return answer, err
	}}.on, "calls come and go", patterntest.Bounded, "server had * goroutines at * and * at *, with the same clients*"},
	{"the client keeps a connection for each call", office{once: func(c *officeClient, ctx context.Context, server string, r patterntest.Request) (string, error) {
		own := c.http.Transport.(*http.Transport).Clone()
		own.IdleConnTimeout = 0
		fresh := &officeClient{http: &http.Client{Transport: own}}
		return fresh.once(ctx, server, r)
	}}.on, "calls come and go", patterntest.Bounded, "* had * goroutines at * and * at *, with the same clients*"},
	{"the server does not say when its caller goes", office{do: func(d *deskServer, ctx context.Context, data string) (string, error) {
		if deadline, ok := ctx.Deadline(); ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(context.WithoutCancel(ctx), deadline)
			defer cancel()
		}
		return d.app.Do(ctx, data)
	}}.on, "calls are given up", patterntest.Cancelled, "c2 was given up by phone at *, but server worked on it until * (and * more)"},
	{"the server leaves a byte of each question unread", office{once: func(c *officeClient, ctx context.Context, server string, r patterntest.Request) (string, error) {
		r.Data += "\n"
		return c.once(ctx, server, r)
	}, handle: func(d *deskServer, w http.ResponseWriter, r *http.Request) {
		data := make([]byte, r.ContentLength-1)
		if _, err := io.ReadFull(r.Body, data); err == nil {
			d.reply(w, r.Context(), r.Header.Get("Idempotency-Key"), "", string(data))
		}
	}, claims: func(s *patterntest.Service) { s.Deadlines = false }}.on, "calls with much data are given up", patterntest.Cancelled, "* was given up by phone at *, but server worked on it until * (and * more)"},
	{"a server in between waits for the end of what nobody waits for", office{asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		if c.servers[0] == "server" {
			return c.ask(ctx, r)
		}
		return c.ask(context.WithoutCancel(ctx), r)
	}, claims: func(s *patterntest.Service) { s.Deadlines = false }}.on, "calls are given up over three tiers", patterntest.Cancelled, "* was given up by phone at *, but * worked on it until * (and * more)"},
	{"nobody says how long it waits", office{handle: func(d *deskServer, w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Time-Left")
		d.handle(w, r)
	}}.on, "deadlines over three tiers", patterntest.Timely, "c1, asked by phone at *, had no deadline on server (and * more)"},
	{"each server gives the next ten seconds", office{asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		if c.servers[0] != "server" {
			fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			defer context.AfterFunc(ctx, cancel)()
			ctx = fresh
		}
		return c.ask(ctx, r)
	}}.on, "deadlines over three tiers", patterntest.Timely, "*, had until * on tier2, but its caller waits only until * (and * more)"},
	{"who comes to the head of the queue is not asked whether it still waits", office{do: func() doing {
		queue := limited(2, forEver)
		return func(d *deskServer, ctx context.Context, data string) (string, error) {
			return queue(d, deaf{context.WithoutCancel(ctx), ctx}, data)
		}
	}(), claims: func(s *patterntest.Service) { s.Cancels = false }}.on, "more calls than places", patterntest.Timely, "*, began on server at *, but its time was over at * (and * more)"},
	{"what nobody waits for is done nevertheless, and asked again", office{do: heedless, claims: func(s *patterntest.Service) { s.Deadlines = false }}.on, "an overload of five seconds", patterntest.Healed, "*, although an overload was over for 10s (and * more)"},
	{"the server hangs up when it is asked to stop", office{stops: func(context.Context, *deskServer, *http.Server) {}}.on,
		"the server is redeployed while it works", patterntest.Drained, "* was unknown, since server was asked to stop at * (and * more)"},
	{"the server waits for 500 ms when it is asked to stop", office{stops: func(context.Context, *deskServer, *http.Server) { time.Sleep(500 * time.Millisecond) }}.on,
		"the server is redeployed while it works", patterntest.Drained, "* was unknown, since server was asked to stop at * (and * more)"},
	{"the server hangs up when it is asked to stop, and the client asks again", office{stops: func(context.Context, *deskServer, *http.Server) {}, asks: asksThrice, claims: noRetries}.on,
		"the server is redeployed while it works", patterntest.Drained, "* was broken off at *, since server was asked to stop at * (and * more)"},
	{"the server waits for 500 ms when it is asked to stop, and the client asks again", office{stops: func(context.Context, *deskServer, *http.Server) { time.Sleep(500 * time.Millisecond) }, asks: asksThrice, claims: noRetries}.on,
		"the server is redeployed while it works", patterntest.Drained, "* was broken off at *, since server was asked to stop at * (and * more)"},
	{"the server hangs up when it is asked to stop, and does what it has begun nevertheless", office{claims: forNobody, do: heedless, stops: dropsAll(0)}.on,
		"the server is redeployed while it works", patterntest.Drained, "* was unknown, since server was asked to stop at * (and * more)"},
	{"the server hangs up 500 ms after it was asked to stop, and does what it has begun nevertheless", office{claims: forNobody, do: heedless, stops: dropsAll(500 * time.Millisecond)}.on,
		"the server is redeployed while it works", patterntest.Drained, "* was unknown, since server was asked to stop at * (and * more)"},
	{"the server breaks off what it has begun 500 ms after it was asked to stop", office{do: func(d *deskServer, ctx context.Context, data string) (string, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-d.over:
				time.Sleep(500 * time.Millisecond)
				cancel()
			case <-ctx.Done():
			}
		}()
		return d.app.Do(ctx, data)
	}}.on, "the server is redeployed while it works", patterntest.Drained, "* was unknown, since server was asked to stop at * (and * more)"},
	{"the server keeps to itself what it has done since it was asked to stop", office{do: func(d *deskServer, ctx context.Context, data string) (string, error) {
		answer, err := d.app.Do(ctx, data)
		select {
		case <-d.over:
			time.Sleep(300 * time.Millisecond)
			return "", errors.New("the server is about to stop")
		default:
			return answer, err
		}
	}}.on, "the server is redeployed while it works", patterntest.Drained, "* was unknown, since server was asked to stop at * (and * more)"},
	{"the server does not stop while it has connections", office{stops: func(ctx context.Context, d *deskServer, srv *http.Server) { time.Sleep(30 * time.Second) }, claims: noRetries}.on,
		"the server is redeployed ten times, amid calls", patterntest.Obedient, "the server had not stopped 10s after it was asked to at * (and * more)"},
}

// heedless executes a call to its end, whoever has gone meanwhile; forNobody says so.
func heedless(d *deskServer, ctx context.Context, data string) (string, error) {
	return d.app.Do(context.WithoutCancel(ctx), data)
}

// dropsAll has a server that is to stop end its connections after a time, and itself when all is done that it has begun.
func dropsAll(after time.Duration) func(context.Context, *deskServer, *http.Server) {
	return func(_ context.Context, d *deskServer, srv *http.Server) {
		time.Sleep(after)
		srv.Close()
		for d.works(0) > 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func forNobody(s *patterntest.Service) { s.Cancels, s.Deadlines = false, false }

// asksThrice asks up to three times, whatever became of the attempt before.
func asksThrice(c *officeClient, ctx context.Context, r patterntest.Request) (answer string, err error) {
	for range 3 {
		if answer, err = tryOnce(c, ctx, r); err == nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	return answer, err
}
