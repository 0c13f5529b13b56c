package reporttest

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The tests named TestVictim run in a process of their own, which leaves folders.
func victim(t *testing.T) {
	if os.Getenv("REPORTTEST_VICTIM") == "" {
		t.Skip("run by the other tests")
	}
}

// left runs a victim and returns the folders that it leaves, one for each seed.
func left(t *testing.T, name, seeds string) []string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^"+name+"$")
	cmd.Env = append(os.Environ(), "REPORTTEST_VICTIM=1", "SQUALL_SEEDS="+seeds, "SQUALL_ARTIFACTS="+dir, "SQUALL_ARTIFACTS_ALL=1", "SQUALL_CHECK=0")
	out, _ := cmd.CombinedOutput() // some fail on purpose
	var folders []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "result.json" {
			folders = append(folders, filepath.Dir(path))
		}
		return err
	}))
	require.NotEmpty(t, folders, "%s", out)
	return folders
}

func download(t *testing.T, n *sim.Network, bytes int, cfg netem.Config) {
	server, phone := n.Host("server"), n.Host("phone")
	n.Link(phone, server, cfg)
	server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, bytes)) }))
	resp, err := phone.HTTPClient().Get("http://server/")
	require.NoError(t, err)
	defer resp.Body.Close()
	got, err := io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.Equal(t, int64(bytes), got)
}

func TestVictimDownload(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		download(t, n, 1_000_000, netem.Config{Delay: 20 * time.Millisecond, Loss: netem.Bernoulli(0.02), Rate: 20 * netem.Mbit})
	})
}

// About 100,000 packets: 96 MB in segments of 1448 bytes, and the acknowledgements.
func TestVictimHundredThousand(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		download(t, n, 96_000_000, netem.Config{Delay: 20 * time.Millisecond, Loss: netem.Bernoulli(0.0005), Rate: 200 * netem.Mbit})
		t.Error("the download took too long")
	})
}

func TestVictimOutage(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond})
		server.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(2 * time.Second) }))
		n.Inject(time.Second, time.Minute, sim.Down(link))
		resp, err := phone.HTTPClient().Get("http://server/")
		require.NoError(t, err)
		resp.Body.Close()
		t.Errorf("the answer came at %v, later than a second after the outage", n.Elapsed())
	})
}

// Every kind of packet that a capture can have: both families, datagrams whole and in fragments, ICMP of several types, marks, what a
// NAT rewrites.
func TestVictimKinds(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Delay: time.Millisecond, MTU: 1400, Duplicate: 0.2, ECN: true, Loss: netem.Bernoulli(0.1)})
		for _, addr := range b.Addrs() {
			address := net.JoinHostPort(addr.String(), "")
			conn, err := b.ListenPacket("udp", ":5300")
			require.NoError(t, err)
			c, err := a.Dial("udp", address+"5300")
			require.NoError(t, err)
			for _, size := range []int{0, 1, 100, 5001, 30_000} {
				c.Write(make([]byte, size))
				conn.SetReadDeadline(time.Now().Add(time.Second))
				conn.ReadFrom(make([]byte, 65536))
			}
			refused, err := a.Dial("udp", address+"99")
			require.NoError(t, err)
			refused.Write([]byte("nobody is there"))
			l, err := b.Listen("tcp", ":80")
			require.NoError(t, err)
			s, err := a.Dial("tcp", address+"80")
			require.NoError(t, err)
			s.Write(make([]byte, 50_001))
			peer, err := l.Accept()
			require.NoError(t, err)
			go io.Copy(io.Discard, peer)
			time.Sleep(time.Second)
			s.(interface{ SetLinger(int) error }).SetLinger(0)
			for _, c := range []io.Closer{s, peer, l, c, conn, refused} {
				c.Close()
			}
			a.Dial("tcp", address+"81")
		}
		unreachable := n.Link(n.Host("c"), b, netem.Config{})
		unreachable.RejectWith(sim.ICMPAdminProhibited)
		for _, addr := range b.Addrs() {
			n.Host("c").Dial("tcp", net.JoinHostPort(addr.String(), "80"))
		}
	}, sim.IPv6(), sim.WithTCP(sim.TCPConfig{ECN: true}))
}
