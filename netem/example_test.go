package netem_test

import (
	"fmt"
	"time"

	"github.com/squall-sim/squall/netem"
)

// A home uplink with a short queue: of a burst of five packets, one is sent at
// once, two wait and two are dropped.
func ExampleConfig() {
	pipe, err := netem.NewPipe(netem.Config{
		Delay: 20 * time.Millisecond,
		Rate:  12 * netem.Mbit, // 1500 bytes take 1 ms
		Queue: netem.DropTail{Packets: 3},
	})
	if err != nil {
		panic(err)
	}

	draws := netem.NewStream(1, "uplink")
	for range 5 {
		v := pipe.Send(netem.Packet{Size: 1500}, 0, &draws)
		fmt.Println(v.Reason, v.At)
	}
	// Output:
	// delivered 21ms
	// delivered 22ms
	// delivered 23ms
	// queue 0s
	// queue 0s
}

func ExampleConfig_Validate() {
	fmt.Println(netem.Config{Loss: netem.Bernoulli(1.5)}.Validate())
	fmt.Println(netem.Config{Queue: netem.DropTail{Packets: 100}}.Validate())
	// Output:
	// netem: Loss: Bernoulli(1.5): probability must be in [0,1]
	// netem: Queue: DropTail{Packets: 100}: needs a Rate, a Shaper or Slots to wait for
}

func ExampleBitRate() {
	fmt.Println(10*netem.Mbit, netem.BitRate(1_638_400))
	// Output: 10Mbit/s 1.6384Mbit/s
}

// The third packet of the handshake is lost, then the link changes.
func ExamplePipe_Set() {
	pipe, err := netem.NewPipe(netem.Config{Delay: 10 * time.Millisecond, Loss: netem.DropList{3}})
	if err != nil {
		panic(err)
	}
	draws := netem.NewStream(1)
	for range 3 {
		fmt.Println(pipe.Send(netem.Packet{Size: 60}, 0, &draws).Reason)
	}
	if err := pipe.Set(netem.Config{Delay: 200 * time.Millisecond}); err != nil {
		panic(err)
	}
	fmt.Println(pipe.Send(netem.Packet{Size: 60}, time.Second, &draws).At)
	// Output:
	// delivered
	// delivered
	// loss
	// 1.2s
}

// Each client has a random stream of its own, derived from that of the clients.
func ExampleStream() {
	s := netem.NewStream(1, "clients")
	first, second := s.Derive(1), s.Derive(2)
	fmt.Println(first.Uint64()%100, first.Uint64()%100, second.Uint64()%100)
	fmt.Println(first.Count(), s.Count())
	// Output:
	// 90 70 55
	// 2 0
}
