package stream_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/squall-sim/squall/patterns/stream"
)

// A service publishes, a client listens until it gets "bye".
func Example() {
	ctx := context.Background()
	server := &stream.Server{}
	site := httptest.NewServer(server.Handler())

	server.Publish(ctx, "greetings", []byte("hello"))
	server.Publish(ctx, "other", []byte("not for us"))
	server.Publish(ctx, "greetings", []byte("bye"))

	done := errors.New("done")
	client := stream.Client{
		URL:    site.URL,
		HTTP:   site.Client(),
		Topics: []string{"greetings"},
		OnReset: func(_ context.Context, r stream.Reset) error {
			fmt.Println("events may be missing:", r.Reason)
			return nil
		},
	}
	err := client.Run(ctx, func(_ context.Context, e stream.Event) error {
		fmt.Println(e.Type, e.Data)
		if e.Data == "bye" {
			return done
		}
		return nil // handled: the next connection starts after it
	})
	fmt.Println(err)
	server.Drain(ctx) // open streams would keep site.Close waiting
	site.Close()

	// Output:
	// greetings hello
	// greetings bye
	// done
}

// The format alone, from any reader.
func ExampleDecoder_Events() {
	body := strings.NewReader(": a comment\nid: 7\nevent: add\ndata: YHOO\ndata: +2\n\ndata: half an ev")

	for event, err := range new(stream.Decoder).Events(body) {
		fmt.Printf("%s %s %q %v\n", event.ID, event.Type, event.Data, err)
	}

	// Output:
	// 7 add "YHOO\n+2" <nil>
}
