package mux_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/mux"
)

// Whatever a peer sends, in whatever pieces: a session neither panics nor hangs, holds no more unread than it may, and gives
// no stream more than the peer sent.
func FuzzFrames(f *testing.F) {
	for _, row := range conduct {
		f.Add(join(row.send), uint16(7))
		f.Add(join(row.send), uint16(1000))
	}
	f.Add(join([][]byte{with(syn, 1, "one"), with(syn, 3, "two"), with(fin, 1, "three"), frame(window, rst, 3, 5)}), uint16(5))
	f.Fuzz(func(t *testing.T, sent []byte, piece uint16) {
		p, q := net.Pipe()
		s := mux.Config{MaxStreams: 4, AcceptBacklog: 4, MaxResets: 3, Window: 256 << 10, MaxReceiveBytes: 256 << 10, KeepAlive: -1, GoAwayTimeout: time.Millisecond}.Server(q)
		go io.Copy(io.Discard, p)
		read := make(chan int)
		go func() {
			total, open := 0, 0
			each := make(chan int)
			for {
				st, err := s.AcceptStream(context.Background())
				if err != nil {
					break
				}
				open++
				go func() {
					n, _ := io.Copy(io.Discard, st)
					st.Close()
					each <- int(n)
				}()
			}
			for range open {
				total += <-each
			}
			read <- total
		}()
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), int(piece)+1)
			if _, err := p.Write(rest[:n]); err != nil {
				break
			}
			rest = rest[n:]
			require.LessOrEqual(t, s.Stats().UnreadBytes, int64(256<<10))
			require.LessOrEqual(t, s.Stats().Streams, int64(4))
		}
		p.Close()
		<-s.Done()
		require.LessOrEqual(t, <-read, len(sent))
		s.Close()
	})
}
