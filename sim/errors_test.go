package sim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// An outcome is what a call returned in one situation.
type outcome struct {
	Situation string
	Note      string
	ElapsedMS float64 `json:"elapsed_ms"`
	N         int
	Error     *errorRecord

	err error
}

// An errorRecord is everything that a program can learn from an error.
type errorRecord struct {
	Text      string
	Chain     []link
	Net       bool `json:"implements_net_error"`
	Timeout   bool
	Temporary bool
	Is        map[string]bool
}

type link struct {
	Type, Text string
	Fields     map[string]any
}

var isTargets = map[string]error{
	"net.ErrClosed": net.ErrClosed, "io.EOF": io.EOF, "io.ErrUnexpectedEOF": io.ErrUnexpectedEOF,
	"os.ErrDeadlineExceeded": os.ErrDeadlineExceeded, "context.DeadlineExceeded": context.DeadlineExceeded,
	"context.Canceled": context.Canceled, "os.ErrClosed": os.ErrClosed,
	"ECONNRESET": syscall.ECONNRESET, "EPIPE": syscall.EPIPE, "ECONNREFUSED": syscall.ECONNREFUSED,
	"ETIMEDOUT": syscall.ETIMEDOUT, "EHOSTUNREACH": syscall.EHOSTUNREACH, "ENETUNREACH": syscall.ENETUNREACH,
	"EADDRINUSE": syscall.EADDRINUSE, "EADDRNOTAVAIL": syscall.EADDRNOTAVAIL, "EMSGSIZE": syscall.EMSGSIZE,
	"ENOTCONN": syscall.ENOTCONN, "EINVAL": syscall.EINVAL, "ECONNABORTED": syscall.ECONNABORTED,
}

// kernel returns a real kernel's outcomes, by situation.
func kernel(t *testing.T) map[string]outcome {
	t.Helper()
	data, err := os.ReadFile("testdata/errors.json")
	require.NoError(t, err)
	var file struct {
		IsTested   []string `json:"is_tested"`
		Situations []outcome
	}
	require.NoError(t, json.Unmarshal(data, &file))
	for _, name := range file.IsTested {
		require.Contains(t, isTargets, name)
	}
	m := map[string]outcome{}
	for _, o := range file.Situations {
		m[o.Situation] = o
	}
	require.Len(t, m, len(file.Situations))
	return m
}

// Situations whose outcome can be compared, but not the time that it took.
var untimed = map[string]string{
	"dns_timeout": "the number of name servers in /etc/resolv.conf counts",
}

// In each situation that was observed on a real network, the simulated network returns the same: the same chain of errors with the same
// fields, and the same number of bytes, after the same time.
func TestErrorsAreThoseOfTheKernel(t *testing.T) {
	want := kernel(t)
	got := situations(t)
	for name, w := range want {
		g, made := got[name]
		t.Run(name, func(t *testing.T) {
			require.True(t, made, "the situation was not made")
			if w.N > 100_000 { // what both buffers took: the kernel's depends on its bookkeeping of each packet
				require.InEpsilon(t, w.N, g.N, 0.03, "bytes")
			} else {
				require.Equal(t, w.N, g.N, "bytes")
			}
			if untimed[name] == "" {
				// The kernel's long timers round up.
				require.InDelta(t, w.ElapsedMS, g.ElapsedMS, math.Max(4, 0.03*w.ElapsedMS), "milliseconds")
			}
			if w.Error == nil {
				require.NoError(t, g.err)
				return
			}
			require.Error(t, g.err)
			require.Equal(t, comparable(*w.Error), comparable(recordOf(g.err)))
		})
	}
	for name := range got {
		require.Contains(t, want, name, "a situation that was not measured")
	}
}

// recordOf takes an error apart.
func recordOf(err error) errorRecord {
	r := errorRecord{Text: err.Error(), Is: map[string]bool{}}
	for e := err; e != nil; e = errors.Unwrap(e) {
		r.Chain = append(r.Chain, link{Type: fmt.Sprintf("%T", e), Text: e.Error(), Fields: fieldsOf(e)})
	}
	var ne net.Error
	if ne, r.Net = err.(net.Error); r.Net {
		r.Timeout, r.Temporary = ne.Timeout(), ne.Temporary()
	}
	for name, target := range isTargets {
		if errors.Is(err, target) {
			r.Is[name] = true
		}
	}
	return r
}

func fieldsOf(e error) map[string]any {
	switch e := e.(type) {
	case *net.OpError:
		return map[string]any{"Op": e.Op, "Net": e.Net, "Source": addrText(e.Source), "Addr": addrText(e.Addr)}
	case *os.SyscallError:
		return map[string]any{"Syscall": e.Syscall}
	case syscall.Errno:
		return map[string]any{"errno": float64(e), "name": errnoName(e)}
	case *net.AddrError:
		return map[string]any{"Addr": e.Addr, "Err": e.Err}
	case *net.DNSError:
		return map[string]any{"Err": e.Err, "Name": e.Name, "Server": e.Server, "IsNotFound": e.IsNotFound,
			"IsTimeout": e.IsTimeout, "IsTemporary": e.IsTemporary}
	}
	return nil
}

func addrText(a net.Addr) any {
	if a == nil {
		return nil
	}
	return fmt.Sprintf("%T %v", a, a)
}

func errnoName(e syscall.Errno) string {
	if e == syscall.ENOPROTOOPT { // the data names it, though it was not among the targets
		return "ENOPROTOOPT"
	}
	for name, target := range isTargets {
		if target == e {
			return name
		}
	}
	return e.Error()
}

var (
	addresses = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+(:\d+)?|\[[0-9a-f:]+\]:\d+`)
	// Types that no program can name. The tests compare their texts and the answers of their methods.
	hidden = strings.NewReplacer(
		"*net.timeoutError", "(hidden)", "sim.timeoutError", "(hidden)",
		"net.canceledError", "(hidden)", "sim.canceledError", "(hidden)",
	)
)

// comparable replaces addresses, which differ between two networks.
func comparable(r errorRecord) errorRecord {
	mask := func(s string) string { return addresses.ReplaceAllString(s, "ADDR") }
	r.Text = mask(r.Text)
	chain := make([]link, len(r.Chain))
	for i, l := range r.Chain {
		chain[i] = link{Type: hidden.Replace(l.Type), Text: mask(l.Text), Fields: map[string]any{}}
		for name, v := range l.Fields {
			if s, ok := v.(string); ok {
				v = mask(s)
			}
			chain[i].Fields[name] = v
		}
	}
	r.Chain = chain
	if r.Is == nil {
		r.Is = map[string]bool{}
	}
	return r
}

// Errors name the network that the program gave to Dial. Those of an accepted connection name its listener's.
func TestErrorsNameTheNetwork(t *testing.T) {
	for dialled, listened := range map[string]string{"tcp": "tcp4", "tcp4": "tcp"} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			server := n.Host("server")
			l, err := server.Listen(listened, ":7")
			require.NoError(t, err)
			c, err := n.Host("phone").Dial(dialled, "server:7")
			require.NoError(t, err)
			peer, err := l.Accept()
			require.NoError(t, err)
			for conn, network := range map[net.Conn]string{c: dialled, peer: listened} {
				conn.Close()
				var op *net.OpError
				require.ErrorAs(t, conn.Close(), &op)
				require.Equal(t, network, op.Net)
			}
		})
	}
}

// The errors of package net that no program can name must stay the same. This fails when a Go release changes them.
func TestHiddenErrorsOfPackageNet(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err := new(net.Dialer).DialContext(ctx, "tcp4", "127.0.0.1:9")
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, "*net.timeoutError", reflect.TypeOf(op.Err).String())

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = new(net.Dialer).DialContext(ctx, "tcp4", "127.0.0.1:9")
	require.ErrorAs(t, err, &op)
	require.Equal(t, "net.canceledError", reflect.TypeOf(op.Err).String())
}
