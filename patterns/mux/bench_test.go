package mux_test

import (
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/squall-sim/squall/patterns/mux"
)

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func bulk(b *testing.B, w, r net.Conn) {
	go func() {
		buf := make([]byte, 64<<10)
		for {
			if _, err := io.ReadFull(r, buf); err != nil {
				return
			}
		}
	}()
	p := make([]byte, 64<<10)
	b.SetBytes(64 << 10)
	b.ReportAllocs()
	from := cpu()
	n := 0
	for b.Loop() {
		if _, err := w.Write(p); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64((cpu()-from).Microseconds())/(float64(n)/16), "cpu-us/MB")
}

func BenchmarkBulkPipe(b *testing.B) {
	p, q := net.Pipe()
	defer p.Close()
	bulk(b, p, q)
}

func BenchmarkBulk(b *testing.B) {
	client, server := pair(b, mux.Config{})
	w, r := open(b, client, server)
	bulk(b, w, r)
}

func BenchmarkEcho(b *testing.B) {
	client, server := pair(b, mux.Config{})
	w, r := open(b, client, server)
	go io.Copy(r, r)
	b.ReportAllocs()
	var one [1]byte
	for b.Loop() {
		w.Write(one[:])
		w.Read(one[:])
	}
}

func BenchmarkOpen(b *testing.B) {
	client, server := pair(b, mux.Config{})
	go func() {
		for {
			st, err := server.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go func() { io.Copy(io.Discard, st); st.Close() }()
		}
	}()
	b.ReportAllocs()
	for b.Loop() {
		st, err := client.Open(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		st.Write([]byte("x"))
		st.Close()
	}
}
