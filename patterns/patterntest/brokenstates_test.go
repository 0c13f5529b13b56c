package patterntest_test

import (
	"context"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// stale changes an object as it was before the work, and has keep decide what is stored by what is there then.
func stale(keep func(before, now, next string) string) func(d *deskServer, ctx context.Context, object, data string) (string, error) {
	return func(d *deskServer, ctx context.Context, object, data string) (string, error) {
		d.mu.Lock()
		before := d.objects[object]
		d.mu.Unlock()
		change, err := d.app.Change(ctx, data)
		if err != nil {
			return "", err
		}
		next, answer := change(before)
		d.mu.Lock()
		defer d.mu.Unlock()
		if next != before {
			d.put(object, keep(before, d.objects[object], next))
		}
		return answer, nil
	}
}

func withState(s *patterntest.Service) { s.State = &patterntest.State{} }

// Broken states: the answers about an object fit into no order.
var brokenStates = []callFlaw{
	{"what was read before the work is stored after it", office{durable: true, change: stale(func(_, _, next string) string { return next })}.on,
		"an object that several change at a time", patterntest.Linearizable, "* was told at * of * that cart is [*], which no order of the calls until then explains*"},
	{"an answer tells what was there before the work", office{durable: true, change: stale(func(before, now, next string) string { return now + strings.TrimPrefix(next, before) })}.on,
		"an object that several change at a time", patterntest.Linearizable, "* was told at * of * that cart is [*], which no order of the calls until then explains*"},
	{"the client sends a change again when its answer is late", office{durable: true, claims: noRetries, asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		if r.Object == "" {
			return tryOnce(c, ctx, r)
		}
		for {
			try, cancel := context.WithTimeout(ctx, time.Second)
			answer, err := tryOnce(c, try, r)
			cancel()
			if err == nil || ctx.Err() != nil {
				return answer, err
			}
		}
	}}.on, "an object, and answers are lost", patterntest.Linearizable, "* was told at * of * that cart is [*], which no order of the calls until then explains*"},
	{"objects are in memory", office{claims: withState}.on, "an object, and the server restarts", patterntest.Linearizable,
		"* was told at * of * that cart is [*], which no order of the calls until then explains*"},
	{"a change that began before brings back what was cleared", office{durable: true, change: stale(func(before, now, next string) string {
		if entry, adds := strings.CutPrefix(next, before); adds && strings.HasPrefix(now, before) {
			return now + entry
		}
		return next
	})}.on, "an object is cleared while others change it", patterntest.Linearizable, "phone was told at * of * that cart is [*], which no order of the calls until then explains*"},
}
