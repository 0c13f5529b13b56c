package sim_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// A program that asks the operating system's network for a simulated host is told so. The test fails even if it
// expects an error.
func TestDefaultTransportInATest(t *testing.T) {
	for _, url := range []string{"http://SERVER/", "http://10.0.0.1/"} {
		err := sim.Try(t, func(n *sim.Network) error {
			n.Host("server").ServeHTTP(":80", http.NotFoundHandler())
			_, err := http.Get(url)
			require.ErrorContains(t, err, "sim: this host is on the simulated network, but the operating system's own network was asked for it")
			return nil
		})
		require.Error(t, err)
		requireInOrder(t, err.Error(), `sim: http.DefaultTransport was asked for "`, `" by http.Get at `, "outside_test.go:2",
			", a host of the simulated network, but the call uses the operating system's own.\n", "Use instead:\n  net/http: host.HTTPClient()",
			"sim: at 0s of virtual time", "To repeat it:")
	}
}

// A name or address that belongs to no simulated host is passed on to the operating system's network and noted.
func TestTheMachinesNetworkIsNoted(t *testing.T) {
	var remarks string
	answer := make(chan string, 1)
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		n.Host("server")
		s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { answer <- "asked" }))
		r, err := http.Get(s.URL)
		if err == nil {
			r.Body.Close()
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		s.Close()
		remarks = n.Remarks()
		return err
	}))
	require.Equal(t, "asked", <-answer)
	requireInOrder(t, remarks, "The test used the operating system's own network", `http.DefaultTransport was asked for "127.0.0.1" by http.Get at `, "outside_test.go:")
}

func TestVictimNames(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("server").ServeHTTP(":80", http.NotFoundHandler())
		_, err := net.LookupHost("server.") // the dot: no search domain of the operating system is appended
		t.Log("LookupHost returns:", err)
		_, err = net.Dial("tcp", "server.:80")
		t.Log("Dial returns:", err)
	})
}

func TestTheMachinesResolverIsNotAskedForHosts(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimNames", "SQUALL_CHECK=0", "GODEBUG=netdns=go")
	require.True(t, failed)
	requireInOrder(t, out, "LookupHost returns: lookup server.", "sim: this host is on the simulated network",
		"Dial returns: dial tcp: lookup server.", "sim: this host is on the simulated network",
		`sim: net.DefaultResolver was asked for "server" by net.LookupHost at `, "outside_test.go:", "host.Resolver() for names",
		`sim: net.DefaultResolver was asked for "server" by net.Dial at `, "outside_test.go:", "To repeat it:")
}

// A test that waits for the operating system's network fails, and the next test runs.
func TestVictimOutside(t *testing.T) {
	victim(t)
	sim.SetOutsidePatience(time.Second)
	t.Run("listener", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			s := httptest.NewServer(http.NotFoundHandler())
			defer s.Close()
			_, err := n.Host("phone").HTTPClient().Get(s.URL)
			t.Log(err)
		})
	})
	t.Run("next", func(t *testing.T) {
		sim.Test(t, func(t *testing.T, n *sim.Network) { time.Sleep(time.Hour) })
	})
}

func TestWaitingForTheMachinesNetworkFailsTheTest(t *testing.T) {
	t.Parallel()
	out, failed := outputOf(t, "TestVictimOutside")
	require.True(t, failed)
	requireInOrder(t, out,
		"sim: virtual time stands still: the test waits for the operating system's own network instead of the simulated one:\n",
		"IO wait", "httptest.(*Server).goServe",
		"Other goroutines of the test:", "TestVictimOutside.func1.1", "outside_test.go:",
		`net/http/httptest: host.ServeHTTP(":80", handler)`, "sim: at 0s of virtual time", "To repeat it:", "-run '^TestVictimOutside$/^listener$'",
		"--- PASS: TestVictimOutside/next")
	if !sim.Exact() {
		require.Contains(t, out, "run the test in exact mode with squall test; see docs/unchanged.md")
	}
	require.NotContains(t, out, "panic:")
	require.NotContains(t, out, "mutex")
}

// A test is not reported as waiting for the operating system's network while one of its goroutines runs, because it
// may still do something.
func TestWhoWaitsForTheMachinesNetwork(t *testing.T) {
	require.True(t, sim.WaitsForTheMachine("select (durable)", "IO wait", "sync.Mutex.Lock"))
	for _, state := range []string{"running", "runnable", "syscall", "GC assist wait"} {
		require.False(t, sim.WaitsForTheMachine("IO wait", state), state)
	}
	require.False(t, sim.WaitsForTheMachine("select (durable)", "sync.Mutex.Lock"))
}

// Libraries are recognised by their functions in a stack. A specific library takes precedence over a general one.
func TestKnownLibraries(t *testing.T) {
	grpc := "goroutine 7 [select, synctest bubble 1]:\nnet.(*Resolver).LookupHost(0x1)\n\t/go/src/net/lookup.go:200 +0x1\n" +
		"google.golang.org/grpc/internal/resolver/dns.(*dnsResolver).watcher(0x1)\n\t/mod/dns.go:10 +0x1\n" +
		"created by google.golang.org/grpc/internal/resolver/dns.(*dnsBuilder).Build in goroutine 1\n\t/mod/dns.go:20 +0x1"
	require.Contains(t, sim.Instead(grpc), `Use instead:`+"\n"+`  google.golang.org/grpc: grpc.NewClient("passthrough:///server:50051", `)
	require.NotContains(t, sim.Instead(grpc), "  net: ")
	nats := "goroutine 7 [IO wait, synctest bubble 1]:\nnet.(*conn).Read(0x1)\n\t/go/src/net/net.go:200 +0x1\n" +
		"github.com/nats-io/nats%2ego.(*Conn).readLoop(0x1)\n\t/mod/nats.go:10 +0x1"
	require.Contains(t, sim.Instead(nats), "\n  github.com/nats-io/nats.go: nats.SetCustomDialer(host), ")
	other := "goroutine 7 [IO wait, synctest bubble 1]:\nnet.(*conn).Read(0x1)\n\t/go/src/net/net.go:200 +0x1\n" +
		"github.com/nats-io/nats%2egolang.(*Conn).readLoop(0x1)\n\t/mod/nats.go:10 +0x1"
	require.Contains(t, sim.Instead(other), "\n  net: host.Dial, ")
	kcp := "goroutine 7 [select, synctest bubble 1]:\ngithub.com/xtaci/kcp-go/v5.(*UDPSession).Read(0x1)\n\t/mod/sess.go:200 +0x1"
	require.Contains(t, sim.Instead(kcp), "\ngithub.com/xtaci/kcp-go: its timers")
}

// The tables in interop's README are those from which the messages are made.
func TestInteropReadmeHasTheHooks(t *testing.T) {
	readme, err := os.ReadFile("../interop/README.md")
	require.NoError(t, err)
	table := func(heading string) []string {
		_, rest, found := strings.Cut(string(readme), "\n## "+heading+"\n")
		require.True(t, found)
		_, rest, found = strings.Cut(rest, "\n|---|---|\n")
		require.True(t, found)
		rows, _, _ := strings.Cut(rest, "\n\n")
		return strings.Split(rows, "\n")
	}
	hooks, troubles := sim.KnownLibraries()
	require.Equal(t, hooks, table("Hooks"))
	require.Equal(t, troubles, table("What cannot run in a bubble as it is"))
}
