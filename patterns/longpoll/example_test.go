package longpoll_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/squall-sim/squall/patterns/longpoll"
)

// A service publishes, a client listens. The handler stops at the event "bye".
func Example() {
	feed := &longpoll.Server{}
	server := httptest.NewServer(feed.Handler())
	defer server.Close()

	feed.Publish(context.Background(), "greetings", []byte("hello"))
	feed.Publish(context.Background(), "other", []byte("not for us"))
	feed.Publish(context.Background(), "greetings", []byte("bye"))

	client := longpoll.Client{URL: server.URL, HTTP: server.Client(), Topics: []string{"greetings"}}
	ctx, cancel := context.WithCancel(context.Background())
	err := client.Run(ctx, func(ctx context.Context, b longpoll.Batch) error {
		if b.Reset != "" {
			fmt.Println("events may be missing:", b.Reset)
		}
		for _, e := range b.Events {
			fmt.Printf("%d %s\n", e.Offset, e.Data)
			if string(e.Data) == "bye" {
				cancel()
			}
		}
		return nil // handled: the next poll starts from b.Cursor
	})
	fmt.Println(err)

	// Output:
	// 1 hello
	// 3 bye
	// context canceled
}
