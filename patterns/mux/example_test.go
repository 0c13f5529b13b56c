package mux_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/squall-sim/squall/patterns/mux"
)

func Example() {
	p, q := net.Pipe() // any connection
	client, server := mux.Config{}.Client(p), mux.Config{}.Server(q)
	defer client.Close()

	go func() {
		for {
			st, err := server.AcceptStream(context.Background())
			if err != nil {
				return
			}
			go func() {
				defer st.Close()
				question, _ := io.ReadAll(st)
				fmt.Fprintf(st, "%s to you, stream %d", question, st.ID())
			}()
		}
	}()

	for _, question := range []string{"hello", "good evening"} {
		st, err := client.Open(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		io.WriteString(st, question)
		st.CloseWrite() // the answer can still arrive
		answer, err := io.ReadAll(st)
		fmt.Println(string(answer), err)
		st.Close()
	}
	// Output:
	// hello to you, stream 1 <nil>
	// good evening to you, stream 3 <nil>
}

func ExamplePool() {
	pool := &mux.Pool{
		DialContext: func(context.Context) (net.Conn, error) {
			p, q := net.Pipe()
			go io.Copy(q, q)
			return p, nil
		},
		MaxConns: 2,
	}
	defer pool.Close()

	for range 5 {
		conn, err := pool.Get(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		io.WriteString(conn, "ping")
		io.ReadFull(conn, make([]byte, 4))
		conn.Release()
	}
	stats := pool.Stats()
	fmt.Println(stats.Got, "exchanges,", stats.Dialed, "connection")
	// Output: 5 exchanges, 1 connection
}
