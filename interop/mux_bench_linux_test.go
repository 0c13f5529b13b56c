package interop

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// What multiplexing costs over net.Pipe, beside the bare pipe. Compare the rows of one run.
//
//	go test -run '^$' -bench Mux -count 5 .
func BenchmarkMux(b *testing.B) {
	b.Run("bulk/pipe", func(b *testing.B) {
		p, q := net.Pipe()
		defer p.Close()
		muxBulk(b, p, q)
	})
	for _, m := range muxers {
		b.Run("bulk/"+m.name, func(b *testing.B) {
			client, server, stop := muxPair(m.start)
			defer stop()
			w, r := muxStream(b, client, server)
			muxBulk(b, w, r)
		})
	}
	for _, m := range muxers {
		b.Run("echo/"+m.name, func(b *testing.B) {
			client, server, stop := muxPair(m.start)
			defer stop()
			w, r := muxStream(b, client, server)
			go io.Copy(r, r)
			var one [1]byte
			b.ReportAllocs()
			for b.Loop() {
				w.Write(one[:])
				if _, err := w.Read(one[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, m := range muxers {
		b.Run("open/"+m.name, func(b *testing.B) {
			client, server, stop := muxPair(m.start)
			defer stop()
			go func() {
				for {
					st, err := server.accept()
					if err != nil {
						return
					}
					go func() {
						io.Copy(io.Discard, st)
						st.Close()
					}()
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				st, err := client.open()
				if err != nil {
					b.Fatal(err)
				}
				st.Write([]byte("x"))
				st.Close()
			}
		})
	}
	for _, m := range muxers {
		b.Run("idle/"+m.name, func(b *testing.B) {
			const streams = 1000
			client, server, stop := muxPair(m.start)
			defer stop()
			muxStream(b, client, server)
			var before, after runtime.MemStats
			var keep []net.Conn
			runtime.GC()
			runtime.ReadMemStats(&before)
			goroutines := runtime.NumGoroutine()
			for range streams - 1 {
				w, r := muxStream(b, client, server)
				keep = append(keep, w, r)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			for b.Loop() {
				runtime.KeepAlive(keep)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(streams-1), "B/pair")
			b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/(streams-1), "goroutines/pair")
		})
	}
}

func muxPair(start func(net.Conn, bool) multiplexer) (client, server multiplexer, stop func()) {
	p, q := net.Pipe()
	client, server = start(p, true), start(q, false)
	return client, server, func() {
		client.Close()
		server.Close()
	}
}

// muxStream is a stream that both sides know: a byte has gone over it.
func muxStream(b *testing.B, client, server multiplexer) (w, r net.Conn) {
	w, err := client.open()
	if err != nil {
		b.Fatal(err)
	}
	if r, err = server.accept(); err != nil {
		b.Fatal(err)
	}
	go w.Write([]byte{1})
	if _, err := r.Read(make([]byte, 1)); err != nil {
		b.Fatal(err)
	}
	return w, r
}

// muxBulk writes 64 KiB at a time, and reports the processor time of the process for each MB.
func muxBulk(b *testing.B, w, r net.Conn) {
	go func() {
		buf := make([]byte, 64<<10)
		for {
			if _, err := io.ReadFull(r, buf); err != nil {
				return
			}
		}
	}()
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	from, n := processorTime(), 0
	for b.Loop() {
		if _, err := w.Write(p); err != nil {
			b.Fatal(err)
		}
		n++
	}
	mb := float64(n) * float64(len(p)) / 1e6
	b.ReportMetric(float64((processorTime()-from).Microseconds())/mb, "cpu-us/MB")
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(fmt.Sprint("getrusage: ", err))
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
