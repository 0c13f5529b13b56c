package faulty

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	yamux1 "github.com/libp2p/go-yamux"
	yamux5 "github.com/libp2p/go-yamux/v5"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/squall-sim/squall/sim"
)

var errStruck = errors.New("the bug struck")

// A bug is one that a library had. run uses the library as its documentation has it, and returns errStruck if the bug struck, unless
// the library then panics, with this text.
type bug struct {
	name, source, what string
	function           any    // of the library
	version            string // that has the bug; that of mended.mod is a later one
	panics             string
	run                func(n *sim.Network) error
}

var bugs = []bug{
	{
		name: "yamux-readers", function: yamux1.Client, version: "v1.2.3", source: "https://github.com/libp2p/go-yamux/issues/7",
		what: "two readers of a stream take its two locks in opposite orders", run: twoReaders,
	},
	{
		name: "yamux-session", function: yamux5.Client, version: "v5.0.0", source: "https://github.com/libp2p/go-yamux/issues/129",
		what: "a session that fails while its queue is full waits for itself", run: sessionFails,
	},
	{
		name: "grpc-stop", function: grpc.NewServer, version: "v1.60.0", source: "https://github.com/grpc/grpc-go/issues/6854",
		what: "Stop closes the channel on which a connection hands a call to a worker", panics: "send on closed channel", run: stopMeetsCalls,
	},
}

// TestTry tries a seed in a process of its own, since a bug may end it, and since libraries keep things in package variables: a seed
// that follows others there has another run.
func TestTry(t *testing.T) {
	name, seed := os.Getenv("FAULTY"), uint64(0)
	if name == "" {
		t.Skip("is run by TestASweepFindsThemAgain")
	}
	_, err := fmt.Sscan(name, &name, &seed)
	require.NoError(t, err)
	for _, b := range bugs {
		if b.name != name {
			continue
		}
		struck := false
		err := sim.Try(t, func(n *sim.Network) error {
			err := b.run(n)
			struck = errors.Is(err, errStruck)
			return err
		}, sim.Seed(seed))
		if struck { // goroutines that it leaves blocked are no other failure
			require.FailNow(t, errStruck.Error())
		}
		require.NoError(t, err)
	}
}

// strikes says whether a bug strikes with a seed.
func (b bug) strikes(t *testing.T, seed uint64) bool {
	timeout := "30s"
	if sim.Exact() { // where nothing hangs, and a busy machine may take its time
		timeout = "5m"
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestTry$", "-test.timeout="+timeout)
	cmd.Env = append(os.Environ(), fmt.Sprintf("FAULTY=%s %d", b.name, seed))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	switch {
	case bytes.Contains(out, []byte("WARNING: DATA RACE")):
	case !sim.Exact() && bytes.Contains(out, []byte("test timed out")): // the clock stands while goroutines wait for locks for good
	default:
		require.Contains(t, string(out), cmp.Or(b.panics, errStruck.Error()), "seed %d", seed)
	}
	return true
}

// With SQUALL_BUGS=1000 the test takes that many seeds of each and prints how many find it, in plain mode too.
func TestASweepFindsThemAgain(t *testing.T) {
	seeds, all := uint64(100), os.Getenv("SQUALL_BUGS") != ""
	if all {
		var err error
		seeds, err = strconv.ParseUint(os.Getenv("SQUALL_BUGS"), 10, 32)
		require.NoError(t, err, "SQUALL_BUGS")
	} else {
		sim.NeedExact(t)
	}
	for _, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			version := version(t, b.function)
			faulty := version == b.version
			found, first := 0, uint64(0)
			for seed := uint64(1); seed <= seeds && (found == 0 || all); seed++ {
				if b.strikes(t, seed) {
					found++
					first = cmp.Or(first, seed)
				}
			}
			t.Logf("%s at %s: %s (%s): %d found it, first seed %d, of %d", b.name, version, b.what, b.source, found, first, seeds)
			require.True(t, faulty || found == 0, "found in a version that has it no more")
			if faulty && sim.Exact() {
				require.NotZero(t, found, "not found")
				for range 5 {
					require.True(t, b.strikes(t, first), "seed %d found it once only", first)
				}
			}
		})
	}
}

// version returns that of the module in whose source the function lies: a test's binary does not say of which modules it is made.
func version(t *testing.T, function any) string {
	file, _ := runtime.FuncForPC(reflect.ValueOf(function).Pointer()).FileLine(reflect.ValueOf(function).Pointer())
	_, v, ok := strings.Cut(file, "@")
	require.True(t, ok, file)
	v, _, _ = strings.Cut(v, "/")
	return v
}
