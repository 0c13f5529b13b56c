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
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System { return longPolling(n, inMemory) })
}

func TestLongPollingWithStoreDelivers(t *testing.T) {
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := longPolling(n, onDisk)
		s.Durable = true
		return s
	})
}

func TestPushDelivers(t *testing.T) {
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System { return pushing(n, inMemory) })
}

func TestPushWithStoreDelivers(t *testing.T) {
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := pushing(n, onDisk)
		s.Durable = true
		return s
	})
}

func TestShortPollingDelivers(t *testing.T) {
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System { return shortPolling(n, inMemory, time.Second) })
}

func TestShortPollingWithStoreDelivers(t *testing.T) {
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := shortPolling(n, onDisk, time.Second)
		s.Durable = true
		return s
	})
}

func TestPubSubDelivers(t *testing.T) {
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System { return publishing(n, inMemory) })
}

func TestPubSubWithStoreDelivers(t *testing.T) {
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := publishing(n, onDisk)
		s.Durable = true
		return s
	})
}

func TestStreamingDelivers(t *testing.T) {
	for _, e := range []stream.Encoding{stream.SSE, stream.NDJSON, stream.WebSocket} {
		t.Run(e.String(), func(t *testing.T) {
			patterntest.Delivery(t, func(n *sim.Network) patterntest.System { return streamingAs(e)(n, inMemory) })
		})
	}
}

func TestStreamingWithStoreDelivers(t *testing.T) {
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := streaming(n, onDisk)
		s.Durable = true
		return s
	})
}
