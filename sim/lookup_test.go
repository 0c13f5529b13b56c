package sim_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/squall-sim/squall/sim"
)

// Lookups at one instant, of two questions each, send the same packets in every run: their ports and IDs depend only
// on the question.
func TestLookupsReplay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var want string
	var hash uint64
	for i := range 40 {
		runtime.GOMAXPROCS([]int{1, 2, 4}[i%3])
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			phone := n.Host("phone")
			r := phone.Resolver()
			var all sync.WaitGroup
			for k := range 10 {
				n.Host(fmt.Sprint("server", k))
				all.Go(func() {
					addrs, err := r.LookupHost(t.Context(), fmt.Sprintf("server%d.", k))
					require.NoError(t, err)
					require.Equal(t, []string{fmt.Sprint("10.0.0.", 2+k)}, addrs)
				})
			}
			all.Wait()
			require.Zero(t, n.Elapsed().Truncate(time.Microsecond))
			if i == 0 {
				want, hash = n.Trace().String(), n.Trace().Hash()
				require.Equal(t, 40, strings.Count(want, " sent "))
			}
			require.Equal(t, want, n.Trace().String())
			require.Equal(t, hash, n.Trace().Hash())
		})
	}
}

// The socket of a lookup is a UDP socket. It ends with its context, with its host, or when it is closed, and then its
// port is free again.
func TestLookupsEnd(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		phone := n.Host("phone")
		r := phone.Resolver()
		for range 3 {
			_, err := r.LookupHost(t.Context(), "phone.")
			require.NoError(t, err)
		}
		require.NotContains(t, phone.Netstat(), "udp")

		done, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := r.LookupHost(done, "phone.")
		require.ErrorIs(t, err, context.Canceled)

		c, err := r.Dial(t.Context(), "udp", "127.0.0.53:53")
		require.NoError(t, err)
		_, err = c.Write([]byte("short"))
		require.ErrorIs(t, err, syscall.EINVAL, "what is no question has no port to go from")
		require.NoError(t, c.Close())
		_, err = c.Write(make([]byte, 12))
		require.ErrorIs(t, err, net.ErrClosed)

		c, err = r.Dial(t.Context(), "udp", "127.0.0.53:53")
		require.NoError(t, err)
		n.After(time.Second, phone.Crash)
		_, err = c.Read(make([]byte, 512))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = r.Dial(t.Context(), "udp", "127.0.0.53:53")
		require.ErrorContains(t, err, "network is down")
	})
}

// machineFiles replaces the operating system's resolv.conf and hosts files with those of another machine.
func machineFiles(t *testing.T, resolv, hosts string) {
	file := func(name, text string) string {
		name = filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	t.Cleanup(sim.MachineFiles(file("resolv.conf", resolv), file("hosts", hosts)))
}

// The names that Go's resolver builds from a short name and the operating system's search domains never reach the
// network. The packets are those of a machine without search domains.
func TestLookupsDoNotSearchTheMachinesDomains(t *testing.T) {
	machineFiles(t, "# made by hand\nnameserver 192.0.2.1\ndomain nowhere.example\nsearch Corp.example. lab.example\n", "")
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("printer.lab.example")
		r := n.Host("phone").Resolver()
		ask := func(name string) (dnsmessage.RCode, int) {
			c, err := r.Dial(t.Context(), "udp", "")
			require.NoError(t, err)
			defer c.Close()
			q := dnsmessage.Message{
				Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
				Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
			}
			b, err := q.Pack()
			require.NoError(t, err)
			before := n.Trace().Len()
			c.Write(b)
			p := make([]byte, 512)
			k, err := c.Read(p)
			require.NoError(t, err)
			var m dnsmessage.Message
			require.NoError(t, m.Unpack(p[:k]))
			require.EqualValues(t, 7, m.ID)
			require.True(t, m.Response)
			require.Equal(t, q.Questions, m.Questions)
			return m.RCode, n.Trace().Len() - before
		}
		for _, name := range []string{"phone.corp.example.", "phone.lab.EXAMPLE."} {
			code, events := ask(name)
			require.Equal(t, dnsmessage.RCodeNameError, code, name)
			require.Zero(t, events, name)
		}
		for _, row := range []struct {
			name string
			want dnsmessage.RCode
		}{
			{"phone.", dnsmessage.RCodeSuccess},
			{"printer.lab.example.", dnsmessage.RCodeSuccess},
			{"phone.nowhere.example.", dnsmessage.RCodeNameError}, // a later line counts
			{"corp.example.", dnsmessage.RCodeNameError},
		} {
			code, events := ask(row.name)
			require.Equal(t, row.want, code, row.name)
			require.Equal(t, 4, events, row.name)
		}
	})
}

// TestVictimHosts uses host names that the operating system's hosts file also contains.
func TestVictimHosts(t *testing.T) {
	victim(t)
	machineFiles(t, "", "127.0.0.1 localhost\n127.0.1.1\tbuilder Server. # not third\n10.0.0.3 elsewhere\nnonsense phone\n")
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("server")
		n.Host("phone").Resolver()
		n.Host("third")
	})
	sim.Test(t, func(t *testing.T, n *sim.Network) { n.Host("builder") }) // nobody looks
}

func TestMachinesHostsAreTold(t *testing.T) {
	out, failed := outputOf(t, "TestVictimHosts")
	require.True(t, failed)
	requireInOrder(t, out, `has an entry for "server", a host of the network`, "Host.DialContext", `has an entry for "10.0.0.3", a host of the network`)
	require.Equal(t, 2, strings.Count(out, "has an entry for"))
}
