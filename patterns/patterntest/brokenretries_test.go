package patterntest_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// retrying asks again what was refused, as often as may says, after the delay that wait makes of what the server said.
func retrying(may func(c *officeClient) bool, wait func(after time.Duration) time.Duration) asking {
	return func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		for {
			answer, err := c.attempt(ctx, r)
			var failed errAttempt
			if err == nil || !errors.As(err, &failed) || failed.sent {
				if err != nil {
					err = said(err, true)
				}
				return answer, err
			}
			if !may(c) {
				return "", said(err, false)
			}
			select {
			case <-time.After(wait(failed.after)):
			case <-ctx.Done():
				return "", said(ctx.Err(), false)
			}
		}
	}
}

func always(*officeClient) bool                { return true }
func asSaid(after time.Duration) time.Duration { return max(after, 200*time.Millisecond) }
func asItLikes(time.Duration) time.Duration    { return 300 * time.Millisecond }
func perClient[T any](make func() T) func(c *officeClient) T {
	var mu sync.Mutex
	all := map[*officeClient]T{}
	return func(c *officeClient) T {
		mu.Lock()
		defer mu.Unlock()
		if _, there := all[c]; !there {
			all[c] = make()
		}
		return all[c]
	}
}

// Broken retries.
var brokenRetries = []callFlaw{
	{"the client has no budget", office{asks: retrying(always, asSaid)}.on,
		"everything is refused for a minute", patterntest.Thrifty, "phone1 asked again * times within * from * on, for * calls; the budget allows *"},
	{"each call may be repeated three times", office{asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		left := 3
		return retrying(func(*officeClient) bool { left--; return left >= 0 }, asSaid)(c, ctx, r)
	}}.on, "three tiers, of which the last refuses", patterntest.Thrifty, "* asked again * times within * from * on, for * calls; the budget allows *"},
	{"the budget is a fifth of what runs, and three", office{asks: func() asking {
		running := perClient(func() *atomic.Int64 { return new(atomic.Int64) })
		return func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
			running(c).Add(1)
			defer running(c).Add(-1)
			left := max(3, int(running(c).Load())/5)
			return retrying(func(*officeClient) bool { left--; return left >= 0 }, asSaid)(c, ctx, r)
		}
	}()}.on, "one caller alone is refused", patterntest.Thrifty, "phone asked again * times within * from * on, for * calls; the budget allows *"},
	{"the budget is full again each second", office{asks: func() asking {
		filled := perClient(func() *atomic.Int64 { return new(atomic.Int64) })
		return func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
			second := int64(time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) / time.Second)
			if filled(c).Swap(second) != second {
				c.mu.Lock()
				c.tokens = officeBurst * 100
				c.mu.Unlock()
			}
			return retrying((*officeClient).mayRetry, asSaid)(c, ctx, r)
		}
	}()}.on, "everything is refused for a minute", patterntest.Thrifty, "phone1 asked again * times within * from * on, for * calls; the budget allows *"},
	{"the client asks again when it likes", office{asks: retrying((*officeClient).mayRetry, asItLikes)}.on,
		"a refusal that says until when", patterntest.Patient, "c51 was refused at * for 1s, but asked again at * (and * more)"},
	{"the client takes seconds for milliseconds", office{asks: retrying((*officeClient).mayRetry, func(after time.Duration) time.Duration { return max(after/1000, 50*time.Millisecond) })}.on,
		"a refusal that says until when", patterntest.Patient, "c51 was refused at * for 1s, but asked again at * (and * more)"},
	{"the client waits for a second at most", office{asks: retrying((*officeClient).mayRetry, func(after time.Duration) time.Duration { return min(max(after, 200*time.Millisecond), time.Second) })}.on,
		"a refusal that says until when", patterntest.Patient, "* was refused at * for 3s, but asked again at * (and * more)"},
	{"the client gives up when it is told to wait", office{asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := c.attempt(ctx, r)
		if failed := (errAttempt{}); errors.As(err, &failed) && failed.after > 0 {
			return "", said(err, false)
		} else if err != nil {
			return c.ask(ctx, r)
		}
		return answer, nil
	}}.on, "a refusal that says until when", patterntest.Patient, "c51 was refused at * for 1s, and not asked again, although phone waits until * (and * more)"},
	{"the client sleeps as long as it is told", office{asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := c.attempt(ctx, r)
		failed := errAttempt{}
		for errors.As(err, &failed) && failed.after > 0 && c.mayRetry() {
			time.Sleep(min(failed.after, time.Hour)) // else the story lasts for a day
			answer, err = c.attempt(ctx, r)
			failed = errAttempt{}
		}
		if err != nil {
			err = said(err, true)
		}
		return answer, err
	}}.on, "a refusal that says until when", patterntest.Truthful, "*, asked by phone at *, * although it waits only until *"},
	{"the client dials again at once", office{asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := tryOnce(c, ctx, r)
		for errors.Is(err, patterntest.ErrNotExecuted) && ctx.Err() == nil {
			time.Sleep(7 * time.Millisecond)
			answer, err = tryOnce(c, ctx, r)
		}
		return answer, err
	}, claims: noRetries}.on, "a link that turns away", patterntest.Gentle, "phone tried to connect * times within the second from * on; 20 are enough"},
	{"the clients ask again in step", clerk{inStep: true}.on, "twenty callers lose the server at one instant", patterntest.Gentle,
		"20 of 20 clients tried to connect within the 100ms from * on, after all had lost the server; at most 10 may"},
	{"what was given up keeps its place", office{claims: func(s *patterntest.Service) { s.Cancels, s.Deadlines, s.Retries = false, false, nil }, asks: func() asking {
		places := perClient(func() chan struct{} { return make(chan struct{}, 3) })
		return func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
			if r.Into != nil {
				return tryOnce(c, ctx, r) // a stream would go on into what its caller has left
			}
			mine := places(c)
			select {
			case mine <- struct{}{}:
			case <-ctx.Done():
				return "", said(ctx.Err(), false)
			}
			type result struct {
				answer string
				err    error
			}
			ended := make(chan result, 1)
			go func() {
				answer, err := tryOnce(c, context.WithoutCancel(ctx), r)
				<-mine
				ended <- result{answer, err}
			}()
			select {
			case x := <-ended:
				return x.answer, x.err
			case <-ctx.Done():
				return "", said(ctx.Err(), true)
			}
		}
	}()}.on, "the server comes back and hangs for two minutes", patterntest.Answering, "no call of phone was done within 3m0s after all faults were over"},
	{"a connection of HTTP/2 is believed in for ever", office{client: func(c *officeClient) {
		c.http.Transport.(*http.Transport).Protocols = onlyHTTP2()
	}, protocols: onlyHTTP2()}.on, "connections go silent", patterntest.Wary, "c3, asked by phone at *, was unknown, since it used a connection that was silent since * and on which a call had failed at * (and * more)"},
}

func onlyHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// three is an office of three.
func three(o office) office {
	o.replicas = 3
	claims := o.claims
	o.claims = func(s *patterntest.Service) {
		s.Keys = nil
		if claims != nil {
			claims(s)
		}
	}
	return o
}

// Broken ways to choose among replicas.
var brokenReplicas = []callFlaw{
	{"the replicas do not know each other's keys", office{replicas: 3}.on, "a key that was used", patterntest.Single, "c1 took effect at * and again at *"},
	{"the client takes replicas by turns", three(office{client: func(c *officeClient) { c.eject = 0 }}).on,
		"one replica loses power", patterntest.Isolated, "*, was *, although of the replicas server alone was sick, for 10s*"},
	{"the client takes replicas by turns, and asks no second one", three(office{client: func(c *officeClient) { c.eject = 0 }, asks: tryOnce, claims: noRetries}).on,
		"one replica crashes", patterntest.Isolated, "*, was not executed, although of the replicas server alone was sick, for 10s*"},
	{"the client avoids only replicas that do not take connections", three(office{asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := c.ask(ctx, r)
		if err != nil && !errors.Is(err, patterntest.ErrNotExecuted) {
			c.mu.Lock()
			clear(c.out)
			c.mu.Unlock()
		}
		return answer, err
	}}).on, "one replica is frozen", patterntest.Isolated, "*, was unknown, although of the replicas server alone was sick, for 10s*"},
	{"the client avoids no replica for being slow", three(office{once: func(c *officeClient, ctx context.Context, server string, r patterntest.Request) (string, error) {
		answer, err := c.once(ctx, server, r)
		if ctx.Err() != nil {
			return "", errAttempt{errors.New("slow"), time.Nanosecond, true} // which, as one that says when to come back, is not held against the server
		}
		return answer, err
	}, claims: noRetries}).on, "one replica is slow", patterntest.Isolated, "*, was *, although of the replicas server alone was sick, for 10s*"},
}
