package unchanged

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A gossiper is a host that gossips who is alive, over UDP and TCP.
type gossiper struct {
	host *sim.Host

	mu   sync.Mutex
	list *memberlist.Memberlist // while it runs
	left []string               // whom it has taken for dead, or seen leave
}

func (g *gossiper) NotifyJoin(*memberlist.Node)   {}
func (g *gossiper) NotifyUpdate(*memberlist.Node) {}
func (g *gossiper) NotifyLeave(n *memberlist.Node) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.left = append(g.left, n.Name)
}

// run gossips until the host crashes. seeds are the hosts that it asks first.
func (g *gossiper) run(ctx context.Context, seeds []string) error {
	conf := memberlist.DefaultLANConfig()
	conf.Name, conf.BindAddr, conf.AdvertiseAddr = g.host.Name(), g.host.Addr().String(), g.host.Addr().String()
	conf.Logger, conf.Events = log.New(io.Discard, "", 0), g
	list, err := memberlist.Create(conf)
	if err != nil {
		return err
	}
	defer list.Shutdown()
	for ctx.Err() == nil {
		if _, err := list.Join(seeds); err == nil {
			break
		}
		time.Sleep(time.Second)
	}
	g.mu.Lock()
	g.list = list
	g.mu.Unlock()
	<-ctx.Done()
	return nil
}

// alive returns who is alive as far as g knows.
func (g *gossiper) alive() string {
	g.mu.Lock()
	list := g.list
	g.mu.Unlock() // memberlist calls NotifyLeave with the lock of Members held
	if list == nil {
		return ""
	}
	var names []string
	for _, m := range list.Members() {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// gossiping makes five hosts that gossip over such links, and waits until each knows all.
func gossiping(n *sim.Network, link netem.Config) ([]*gossiper, error) {
	var all []*gossiper
	for i := range 5 {
		g := &gossiper{host: n.Host(fmt.Sprintf("n%d", i))}
		for _, other := range all {
			n.Link(g.host, other.host, link)
		}
		all = append(all, g)
	}
	seeds := []string{all[0].host.Addr().String(), all[1].host.Addr().String()}
	for _, g := range all {
		g.host.Run("gossip", func(ctx context.Context, _ *sim.Host) error { return g.run(ctx, seeds) })
	}
	for _, g := range all {
		if _, err := knows(n, g, "n0 n1 n2 n3 n4"); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// knows waits until a host takes exactly these for alive, and returns how long that took.
func knows(n *sim.Network, g *gossiper, want string) (time.Duration, error) {
	began := n.Elapsed()
	for g.alive() != want {
		if n.Elapsed()-began > 2*time.Minute {
			return 0, fmt.Errorf("after two minutes %s takes these for alive: %s, and not %s", g.host.Name(), g.alive(), want)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n.Elapsed() - began, nil
}

// A host that loses its power is taken for dead at the latest after a round of probes (5 s), the probe itself (1 s), and 24 s of suspicion: six
// times 4 probe intervals. A host that starts again is known at once. After a partition one member of one half joins one of the other, and all
// know each other again.
func TestMemberlistFindsOutWhoIsDead(t *testing.T) {
	alike(t, func(n *sim.Network) (outcome string, err error) {
		all, err := gossiping(n, netem.Config{Delay: 5 * time.Millisecond})
		if err != nil {
			return "", err
		}
		all[4].host.PowerOff()
		dead, err := knows(n, all[0], "n0 n1 n2 n3")
		if err != nil {
			return "", err
		}
		if dead > 30*time.Second {
			return "", fmt.Errorf("the dead host is known after %v", dead)
		}
		all[4].host.Restart()
		back, err := knows(n, all[0], "n0 n1 n2 n3 n4")
		if err != nil {
			return "", err
		}
		n.Partition([]*sim.Host{all[0].host, all[1].host}, []*sim.Host{all[2].host, all[3].host, all[4].host})
		cut, err := knows(n, all[0], "n0 n1")
		if err != nil {
			return "", err
		}
		n.Heal()
		<-all[0].host.Go(func() { _, err = all[0].list.Join([]string{all[2].host.Addr().String()}) })
		if err != nil {
			return "", err
		}
		healed, err := knows(n, all[0], "n0 n1 n2 n3 n4")
		return fmt.Sprintf("dead after %v, back after %v, cut after %v, healed after %v", dead, back, cut, healed), err
	})
}

// While a tenth of all packets is lost, probes fail, but then others probe in its place and over TCP: in three minutes nobody who lives is
// taken for dead.
func TestMemberlistTakesNobodyForDeadWhoLives(t *testing.T) {
	alike(t, func(n *sim.Network) (outcome string, err error) {
		all, err := gossiping(n, netem.Config{Delay: 5 * time.Millisecond, Loss: netem.Bernoulli(0.1)})
		if err != nil {
			return "", err
		}
		time.Sleep(3 * time.Minute)
		for _, g := range all {
			g.mu.Lock()
			if len(g.left) > 0 {
				err = errors.Join(err, fmt.Errorf("%s took these for dead: %v", g.host.Name(), g.left))
			}
			g.mu.Unlock()
		}
		return fmt.Sprint(n.Trace().Len(), " events"), err
	})
}
