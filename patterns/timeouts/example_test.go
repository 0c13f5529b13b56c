package timeouts_test

import (
	"fmt"
	"time"

	"github.com/squall-sim/squall/patterns/timeouts"
)

func Example() {
	err := timeouts.Path{
		Heartbeat: 45 * time.Second,
		Idle:      []timeouts.Limit{{Name: "the load balancer", Time: 60 * time.Second}},
		Hops: []timeouts.Hop{{
			Client: timeouts.Limit{Name: "the load balancer", Time: 60 * time.Second},
			Server: timeouts.Limit{Name: "the app", Time: 5 * time.Second},
		}},
	}.Check()
	fmt.Println(err)
	// Output:
	// timeouts: the idle timeout of the load balancer, which sends requests, is 1m0s: want less than that of the app, 5s
}
