package squall_test

import (
	"testing"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

// The contract of delivery, kept by each pattern that this project has.

func TestLongPollingDelivers(t *testing.T) {
	t.Parallel()
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System { return longPolling(n, inMemory) })
}

func TestLongPollingWithStoreDelivers(t *testing.T) {
	t.Parallel()
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := longPolling(n, onDisk)
		s.Durable = true
		return s
	})
}

func TestPushDelivers(t *testing.T) {
	t.Parallel()
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System { return pushing(n, inMemory) })
}

func TestPushWithStoreDelivers(t *testing.T) {
	t.Parallel()
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := pushing(n, onDisk)
		s.Durable = true
		return s
	})
}

func TestShortPollingDelivers(t *testing.T) {
	t.Parallel()
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System { return shortPolling(n, inMemory, time.Second) })
}

func TestShortPollingWithStoreDelivers(t *testing.T) {
	t.Parallel()
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := shortPolling(n, onDisk, time.Second)
		s.Durable = true
		return s
	})
}

func TestPubSubDelivers(t *testing.T) {
	t.Parallel()
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System { return publishing(n, inMemory) })
}

func TestPubSubWithStoreDelivers(t *testing.T) {
	t.Parallel()
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := publishing(n, onDisk)
		s.Durable = true
		return s
	})
}

func TestStreamingDelivers(t *testing.T) {
	t.Parallel()
	for _, e := range []stream.Encoding{stream.SSE, stream.NDJSON, stream.WebSocket} {
		t.Run(e.String(), func(t *testing.T) {
			patterntest.Delivery(t, func(n *sim.Network) patterntest.System { return streamingAs(e)(n, inMemory) })
		})
	}
}

func TestStreamingWithStoreDelivers(t *testing.T) {
	t.Parallel()
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := streaming(n, onDisk)
		s.Durable = true
		return s
	})
}

// The same systems over TCP of the machine, without the simulator.
func TestPatternsDeliverOnLoopback(t *testing.T) {
	for name, system := range map[string]patterntest.NewSystem{
		"long polling":            func(n *sim.Network) patterntest.System { return longPolling(n, inMemory) },
		"long polling with store": func(n *sim.Network) patterntest.System { return durable(longPolling(n, onDisk)) },
		"short polling":           func(n *sim.Network) patterntest.System { return shortPolling(n, inMemory, 100*time.Millisecond) },
		"short polling with store": func(n *sim.Network) patterntest.System {
			return durable(shortPolling(n, onDisk, 100*time.Millisecond))
		},
		"streaming":         func(n *sim.Network) patterntest.System { return streaming(n, inMemory) },
		"push":              func(n *sim.Network) patterntest.System { return pushing(n, inMemory) },
		"publish/subscribe": func(n *sim.Network) patterntest.System { return publishing(n, inMemory) },
		"push with store":   func(n *sim.Network) patterntest.System { return durable(pushing(n, onDisk)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			patterntest.Loopback(t, system)
		})
	}
}
