package sidecar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/patterns/timeouts"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// Settings that contradict each other, which no run need find out.
var settings = []scenario.Row{
	{Name: "SC-22 a ping every 15 s with a timeout of 30 s, and a lease of 40 s", Reason: "every node was declared dead before its connection was (kubernetes/kubernetes#121793)",
		Story: func(t *testing.T, n *sim.Network) {
			ping := timeouts.Detection{Name: "HTTP/2 ping", Interval: 15 * sec, Timeout: 30 * sec, Lease: 40 * sec}
			require.ErrorContains(t, timeouts.Path{Detections: []timeouts.Detection{ping}}.Check(), "is 45s: want less than the lease, 40s")
			ping.Timeout = 15 * sec
			require.NoError(t, timeouts.Path{Detections: []timeouts.Detection{ping}}.Check())

			// And it is so: a node that goes silent just after a ping is noticed 45 s later.
			w := start(t, n, 2, func(up *sidecar.Upstream) { up.Health = sidecar.Health{Interval: 40 * sec, Timeout: 5 * sec, Down: 1} })
			down := n.Elapsed() + sec
			n.After(sec, w.replicas[0].link.Down)
			for w.up.Replicas()[0].Healthy {
				time.Sleep(100 * ms)
			}
			detection := timeouts.Detection{Interval: 40 * sec, Timeout: 5 * sec}
			took := n.Elapsed() - down
			require.LessOrEqual(t, took, detection.Takes())
			require.Greater(t, took, detection.Takes()-2*sec)
		}},
	{Name: "SC-23 an attempt that is longer than the whole", Reason: "such an attempt could never be repeated",
		Story: func(t *testing.T, n *sim.Network) {
			up := &sidecar.Upstream{Name: "x", Addrs: []string{"x:80"}, Timeout: sec, AttemptTimeout: 2 * sec}
			require.EqualError(t, up.Check(), "sidecar: Upstream.AttemptTimeout is 2s: want at most Timeout, 1s")
		}},
	{Name: "X-08 the defaults of all patterns and what is on the way", Reason: "each timeout is sensible on its own; together they must fit",
		Story: func(t *testing.T, n *sim.Network) {
			path := timeouts.Path{
				Slack:     sec,
				Heartbeat: 15 * sec, // stream.Server
				Idle:      []timeouts.Limit{{Name: "the sidecar (StreamTimeout)", Time: time.Hour}, alb, {Name: "AWS NLB", Time: 350 * sec}},
				Hops: []timeouts.Hop{
					{Client: timeouts.Limit{Name: "net/http", Time: 90 * sec}, Server: timeouts.Limit{Name: "the sidecar (Proxy.IdleTimeout)", Time: 3 * time.Minute}},
					{Client: timeouts.Limit{Name: "the sidecar (Upstream.IdleTimeout)", Time: 60 * sec}, Server: timeouts.Limit{Name: "net/http without IdleTimeout"}},
				},
				PollWait: 30*sec + 30*sec/16, // longpoll.Client
				Answer:   []timeouts.Limit{{Name: "the sidecar (Timeout)", Time: 60 * sec}, alb, {Name: "longpoll.Client", Time: 41875 * ms}},
				Detections: []timeouts.Detection{
					{Name: "pubsub's pings", Interval: 10 * sec, Timeout: 10 * sec, Lease: 30 * sec},
				},
			}
			require.NoError(t, path.Check())

			path.PollWait = 60 * sec
			require.ErrorContains(t, path.Check(), "PollWait is 1m0s: want less than the answer timeout of the sidecar (Timeout), 1m0s by more than Slack, 1s")
			path.Heartbeat = 60 * sec
			require.ErrorContains(t, path.Check(), "Heartbeat is 1m0s: want less than the idle timeout of an ALB")
		}},
	{Name: "X-08 a proxy that closes its connections after those who send on them", Reason: "each such pair makes a request fail once in a while (zalando-incubator/kubernetes-on-aws#5003)",
		Story: func(t *testing.T, n *sim.Network) {
			bad := timeouts.Path{Hops: []timeouts.Hop{{Client: alb, Server: timeouts.Limit{Name: "the app", Time: 5 * sec}}}}
			require.ErrorContains(t, bad.Check(), "the idle timeout of an ALB, which sends requests, is 1m0s: want less than that of the app, 5s")
		}},
}

var alb = timeouts.Limit{Name: "an ALB", Time: 60 * sec}
