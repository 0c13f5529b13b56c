package unchanged

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// clusterNames are the hosts of a cluster of NATS.
var clusterNames = []string{"nats1", "nats2", "nats3"}

// Three servers, of which one is cut off and another crashes, and a subscriber at each: what is published every second reaches all whose server
// is in touch with the publisher's.
func TestNATSCluster(t *testing.T) {
	alikeButPayloads(t, func(n *sim.Network) (string, error) {
		n.Link(n.Host(clusterNames[0]), n.Host(clusterNames[1]), netem.Config{Delay: 5 * time.Millisecond})
		n.Link(n.Host(clusterNames[0]), n.Host(clusterNames[2]), netem.Config{Delay: 10 * time.Millisecond})
		n.Link(n.Host(clusterNames[1]), n.Host(clusterNames[2]), netem.Config{Delay: 15 * time.Millisecond})
		for _, name := range clusterNames {
			n.Host(name).Run("nats-server", serveInCluster)
		}
		n.After(5500*time.Millisecond, func() {
			n.Partition([]*sim.Host{n.Host("nats3")}, []*sim.Host{n.Host("nats1"), n.Host("nats2")})
		})
		n.After(10500*time.Millisecond, n.Heal)
		n.After(15500*time.Millisecond, n.Host("nats2").Crash)
		n.After(18500*time.Millisecond, n.Host("nats2").Restart)

		got := make([][]byte, len(clusterNames)) // a letter for each second
		var mu sync.Mutex
		var failed error
		var conns []*nats.Conn
		for i, name := range clusterNames {
			got[i] = []byte(strings.Repeat("-", 40))
			<-n.Host("reader-" + name).Go(func() {
				time.Sleep(time.Second - n.Elapsed())
				c, err := nats.Connect("nats://"+name+":4222", nats.MaxReconnects(-1), nats.ReconnectWait(500*time.Millisecond), nats.DontRandomize(), nats.IgnoreDiscoveredServers())
				if err == nil {
					_, err = c.Subscribe("news", func(m *nats.Msg) {
						mu.Lock()
						defer mu.Unlock()
						got[i][n.Elapsed()/time.Second] = 'y'
					})
				}
				failed = errors.Join(failed, err)
				conns = append(conns, c)
			})
		}
		if failed != nil {
			return "", failed
		}
		for n.Elapsed() < 38*time.Second {
			time.Sleep(time.Second - n.Elapsed()%time.Second)
			conns[0].Publish("news", []byte("x"))
			conns[0].Flush()
		}
		for i, name := range clusterNames {
			<-n.Host("reader-" + name).Go(conns[i].Close)
		}
		time.Sleep(time.Second)
		mu.Lock()
		defer mu.Unlock()
		outcome := fmt.Sprintf("%s", got)
		switch {
		case string(got[0][3:38]) != strings.Repeat("y", 35):
			return outcome, errors.New("the publisher's own server must deliver each second: " + outcome)
		case string(got[1][3:15]) != strings.Repeat("y", 12), strings.Contains(string(got[1][16:18]), "y"), string(got[1][30:38]) != strings.Repeat("y", 8):
			return outcome, errors.New("the second is down from 15.5 to 18.5 s: " + outcome)
		case string(got[2][3:5]) != "yy", strings.Contains(string(got[2][6:10]), "y"), string(got[2][30:38]) != strings.Repeat("y", 8):
			return outcome, errors.New("the third is cut off from 5.5 to 10.5 s: " + outcome)
		}
		return outcome, nil
	})
}

func serveInCluster(ctx context.Context, h *sim.Host) error {
	var routes []string
	for _, name := range clusterNames {
		if name != h.Name() {
			routes = append(routes, "nats://"+name+":6222")
		}
	}
	s, err := natsd.NewServer(&natsd.Options{
		ServerName: h.Name(), Host: "0.0.0.0", Port: 4222, NoSigs: true, NoLog: true, NoSystemAccount: true, PingInterval: time.Second, MaxPingsOut: 2,
		Cluster: natsd.ClusterOpts{Name: "three", Host: "0.0.0.0", Port: 6222, PoolSize: -1}, Routes: natsd.RoutesFromStr(strings.Join(routes, ",")),
	})
	if err != nil {
		return err
	}
	go s.Start()
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}
