package sim

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// opError wraps err as package net does. source and addr may be nil interfaces.
func opError(op, network string, source, addr net.Addr, err error) error {
	return &net.OpError{Op: op, Net: network, Source: source, Addr: addr, Err: err}
}

// sysError is err as the system call of that name returns it.
//
//go:norace
func sysError(call string, err syscall.Errno) error {
	return &os.SyscallError{Syscall: call, Err: err}
}

// errnoOf returns the error number of a connection's failure.
func errnoOf(c tcp.Code) syscall.Errno {
	switch c {
	case tcp.Refused:
		return syscall.ECONNREFUSED
	case tcp.Reset:
		return syscall.ECONNRESET
	case tcp.BrokenPipe:
		return syscall.EPIPE
	case tcp.TimedOut:
		return syscall.ETIMEDOUT
	case tcp.HostUnreachable:
		return syscall.EHOSTUNREACH
	case tcp.NetUnreachable:
		return syscall.ENETUNREACH
	case tcp.NoProtocol:
		return syscall.ENOPROTOOPT
	case tcp.NotSupported:
		return syscall.EOPNOTSUPP
	case tcp.HostDown:
		return syscall.EHOSTDOWN
	case tcp.NoNetwork:
		return errNoNet
	case tcp.Prohibited:
		return syscall.EACCES
	case tcp.ProtocolError:
		return syscall.EPROTO
	default:
		panic("sim: no error number for a connection that is well")
	}
}

// contextError returns a context's error as a dial of package net reports it: a deadline is a timeout, with
// the text of one.
func contextError(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return timeoutError{}
	case errors.Is(err, context.Canceled):
		return canceledError{}
	default:
		return err
	}
}

type timeoutError struct{}

func (timeoutError) Error() string        { return "i/o timeout" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

type canceledError struct{}

func (canceledError) Error() string        { return "operation was canceled" }
func (canceledError) Is(target error) bool { return target == context.Canceled }
