package timeouts_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/timeouts"
)

const sec = time.Second

func TestCheck(t *testing.T) {
	for _, row := range []struct {
		reason string
		path   timeouts.Path
		want   string
	}{
		{"nothing is on the path", timeouts.Path{}, ""},
		{"what is not set is not checked", timeouts.Path{Heartbeat: sec, Idle: []timeouts.Limit{{Name: "nobody"}}, PollWait: sec}, ""},
		{"heartbeats come in time", timeouts.Path{Heartbeat: 59 * sec, Idle: []timeouts.Limit{{Name: "ALB", Time: 60 * sec}, {Name: "NLB", Time: 350 * sec}}}, ""},
		{"a heartbeat at the instant of the timeout is too late", timeouts.Path{Heartbeat: 60 * sec, Idle: []timeouts.Limit{{Name: "ALB", Time: 60 * sec}, {Name: "NLB", Time: 350 * sec}}},
			"timeouts: Heartbeat is 1m0s: want less than the idle timeout of ALB, 1m0s"},
		{"one that takes its time on the way", timeouts.Path{Slack: sec, Heartbeat: 59 * sec, Idle: []timeouts.Limit{{Name: "ALB", Time: 60 * sec}}},
			"timeouts: Heartbeat is 59s: want less than the idle timeout of ALB, 1m0s by more than Slack, 1s"},
		{"the client closes first", timeouts.Path{Hops: []timeouts.Hop{{Client: timeouts.Limit{Name: "proxy", Time: 60 * sec}, Server: timeouts.Limit{Name: "app", Time: 75 * sec}}}}, ""},
		{"the server closes first", timeouts.Path{Hops: []timeouts.Hop{{Client: timeouts.Limit{Name: "proxy", Time: 60 * sec}, Server: timeouts.Limit{Name: "app", Time: 5 * sec}}}},
			"timeouts: the idle timeout of proxy, which sends requests, is 1m0s: want less than that of app, 5s"},
		{"a poll in a proxy", timeouts.Path{PollWait: 90 * sec, Answer: []timeouts.Limit{{Name: "proxy", Time: 60 * sec}, {Name: "client", Time: 100 * sec}}},
			"timeouts: PollWait is 1m30s: want less than the answer timeout of proxy, 1m0s"},
		{"layers that nest", timeouts.Path{Layers: []timeouts.Layer{
			{Name: "app", Attempts: 2, AttemptTimeout: 10 * sec, Pause: sec, Timeout: 21 * sec}, {Name: "sidecar", Attempts: 3, AttemptTimeout: 3 * sec, Timeout: 9 * sec}}}, ""},
		{"no heartbeats, on a way that takes longer than anyone waits", timeouts.Path{Slack: 2 * sec, Idle: []timeouts.Limit{{Name: "ALB", Time: sec}}}, ""},
		{"attempts that do not fit", timeouts.Path{Layers: []timeouts.Layer{{Name: "app", Attempts: 2, AttemptTimeout: 10 * sec, Pause: sec, Timeout: 20 * sec}}},
			"timeouts: 2 attempts of 10s and pauses of 1s of app are 21s: want at most its Timeout, 20s"},
		{"a layer that goes on when the one above has begun again", timeouts.Path{Layers: []timeouts.Layer{
			{Name: "app", Attempts: 1, AttemptTimeout: 2 * sec}, {Name: "sidecar", Attempts: 2, AttemptTimeout: 4 * sec / 5, Pause: 2 * sec / 5}}},
			"timeouts: the Timeout of sidecar is 2s: want less than the AttemptTimeout of app, 2s"},
		{"a lease that is longer than detection", timeouts.Path{Detections: []timeouts.Detection{{Name: "ping", Interval: 10 * sec, Misses: 3, Timeout: 5 * sec, Lease: 36 * sec}}}, ""},
		{"kubernetes#121793", timeouts.Path{Detections: []timeouts.Detection{{Name: "ping", Interval: 15 * sec, Timeout: 30 * sec, Lease: 40 * sec}}},
			"timeouts: the detection by ping, 1 x 15s + 30s, is 45s: want less than the lease, 40s"},
	} {
		if row.want == "" {
			require.NoError(t, row.path.Check(), row.reason)
		} else {
			require.EqualError(t, row.path.Check(), row.want, row.reason)
		}
	}
}

// All that is wrong is said at once.
func TestCheckSaysAll(t *testing.T) {
	err := timeouts.Path{
		Heartbeat: 60 * sec, Idle: []timeouts.Limit{{Name: "NAT", Time: 30 * sec}, {Name: "ALB", Time: 60 * sec}},
		PollWait: 60 * sec, Answer: []timeouts.Limit{{Name: "proxy", Time: 60 * sec}},
	}.Check()
	require.Len(t, err.(interface{ Unwrap() []error }).Unwrap(), 3)
}
