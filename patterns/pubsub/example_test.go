package pubsub_test

import (
	"context"
	"fmt"
	"net"

	"github.com/squall-sim/squall/patterns/pubsub"
)

// A broker, a publisher, and a durable subscription that two workers could share.
func Example() {
	ctx := context.Background()
	broker := &pubsub.Broker{} // with eventlog.OpenDisk and OpenStore it survives a restart
	defer broker.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go broker.Serve(l)

	worker := &pubsub.Client{ID: "worker-1", Addr: l.Addr().String()}
	defer worker.Close()
	sub, err := worker.Subscribe(ctx, pubsub.SubscribeOptions{Filter: "orders.*", Name: "billing", MaxAttempts: 5})
	if err != nil {
		panic(err)
	}

	shop := &pubsub.Client{ID: "shop", Addr: l.Addr().String()}
	defer shop.Close()
	for _, order := range []string{"a book", "a lamp"} {
		if _, err := shop.Publish(ctx, pubsub.Message{Topic: "orders.eu", Key: "customer 7", Data: []byte(order)}); err != nil {
			panic(err)
		}
	}

	for range 3 {
		d, err := sub.Next(ctx)
		if err != nil {
			panic(err) // after a *Gap, Next could be called again
		}
		fmt.Printf("%s: %s, attempt %d\n", d.Topic, d.Data, d.Attempt)
		if string(d.Data) == "a book" && d.Attempt == 1 {
			d.Nack(0) // deliver it again at once
			continue
		}
		if err := d.AckSync(ctx); err != nil {
			panic(err)
		}
	}

	// Unordered output:
	// orders.eu: a book, attempt 1
	// orders.eu: a lamp, attempt 1
	// orders.eu: a book, attempt 2
}
