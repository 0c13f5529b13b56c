package unchanged

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A member is one of three replicas. Its log outlives a crash, as a disk does.
type member struct {
	host  *sim.Host
	store *raft.InmemStore
	snaps *raft.InmemSnapshotStore
	raft  atomic.Pointer[raft.Raft] // while it runs

	mu   sync.Mutex
	kept []string // what was applied since its start
}

func (m *member) Apply(l *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = append(m.kept, string(l.Data))
	return nil
}

func (m *member) has() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprint(m.kept)
}

func (m *member) Snapshot() (raft.FSMSnapshot, error) { return nil, errors.New("no snapshots") }
func (m *member) Restore(r io.ReadCloser) error       { return r.Close() }
func (m *member) server() raft.Server {
	return raft.Server{ID: raft.ServerID(m.host.Name()), Address: raft.ServerAddress(m.host.Name() + ":7000")}
}

func (m *member) run(ctx context.Context, all []*member) error {
	addr, err := net.ResolveTCPAddr("tcp", m.host.Name()+":7000")
	if err != nil {
		return err
	}
	quiet := hclog.NewNullLogger()
	tr, err := raft.NewTCPTransportWithLogger(":7000", addr, 2, time.Second, quiet)
	if err != nil {
		return err
	}
	conf := raft.DefaultConfig()
	conf.LocalID, conf.Logger = m.server().ID, quiet
	var servers []raft.Server
	for _, other := range all {
		servers = append(servers, other.server())
	}
	m.mu.Lock()
	m.kept = nil
	m.mu.Unlock()
	if err := raft.BootstrapCluster(conf, m.store, m.store, m.snaps, tr, raft.Configuration{Servers: servers}); err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		return err
	}
	r, err := raft.NewRaft(conf, m, m.store, m.store, m.snaps, tr)
	if err != nil {
		return err
	}
	m.raft.Store(r)
	<-ctx.Done()
	m.raft.Store(nil)
	err = r.Shutdown().Error()
	tr.Close()
	return err
}

func leader(all []*member) *member {
	for _, m := range all {
		if r := m.raft.Load(); r != nil && r.State() == raft.Leader && r.VerifyLeader().Error() == nil {
			return m
		}
	}
	return nil
}

func TestRaft(t *testing.T) {
	alike(t, func(n *sim.Network) (string, error) {
		var all []*member
		var hosts []*sim.Host
		for _, name := range []string{"a", "b", "c"} {
			all = append(all, &member{host: n.Host(name), store: raft.NewInmemStore(), snaps: raft.NewInmemSnapshotStore()})
			hosts = append(hosts, n.Host(name))
		}
		for i, h := range hosts {
			n.Link(h, hosts[(i+1)%3], netem.Config{Delay: time.Duration(i+2) * time.Millisecond})
		}
		for _, m := range all {
			m.host.Run("raft", func(ctx context.Context, _ *sim.Host) error { return m.run(ctx, all) })
		}
		put := func(text string) (*member, error) {
			for range 30 {
				time.Sleep(time.Second)
				if l := leader(all); l != nil {
					if r := l.raft.Load(); r != nil && r.Apply([]byte(text), time.Second).Error() == nil {
						return l, nil
					}
				}
			}
			return nil, fmt.Errorf("no leader took %q within 30 s", text)
		}
		first, err := put("one")
		if err != nil {
			return "", err
		}
		others := slices.DeleteFunc(slices.Clone(hosts), func(h *sim.Host) bool { return h == first.host })
		n.Partition([]*sim.Host{first.host}, others)
		second, err := put("two")
		if err != nil {
			return "", err
		}
		n.Heal()
		time.Sleep(10 * time.Second)
		second.host.Crash()
		third, err := put("three")
		if err != nil {
			return "", err
		}
		second.host.Restart()
		time.Sleep(20 * time.Second)
		outcome := fmt.Sprintf("leaders %s, %s, %s", first.host.Name(), second.host.Name(), third.host.Name())
		for _, m := range all {
			if got := m.has(); got != "[one two three]" {
				return outcome, fmt.Errorf("%s has %s", m.host.Name(), got)
			}
		}
		if first == second || second == third {
			return outcome, errors.New("a leader that was cut off or crashed still leads")
		}
		return outcome, nil
	})
}
