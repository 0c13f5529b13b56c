package weather_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/weather"
)

// A sensor retries until its readings are stored, and none may be lost in any weather.
func testReadings(t *testing.T) {
	weather.Test(t, weather.Config{Up: []string{"sensor"}}, func(t testing.TB, n *sim.Network, s *weather.Storm) {
		store, sensor := n.Host("store"), n.Host("sensor")
		n.Link(sensor, store, netem.Config{Delay: 20 * time.Millisecond})
		var readings atomic.Int64 // on the store's disk
		store.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { readings.Add(1) }))
		client := sensor.HTTPClient()
		client.Timeout = 2 * time.Second

		s.Begin()
		for range 20 {
			for {
				resp, err := client.Post("http://store/", "text/plain", nil)
				if err == nil {
					resp.Body.Close()
					break
				}
				s.Sometimes("a reading is sent again", true)
				time.Sleep(time.Second)
			}
			time.Sleep(2 * time.Second)
		}
		s.Settle()

		if got := readings.Load(); got < 20 {
			t.Errorf("%d of 20 readings are stored", got)
		}
	})
}

// A test in random weather. In a test file, testReadings would be called TestReadings.
func ExampleTest() {
	if t := (*testing.T)(nil); t != nil { // go test passes t to a test, but not to an example
		testReadings(t)
	}
}
