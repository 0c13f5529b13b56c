package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/async/outbox"
)

// Orders and the events to publish about them are in one database: a refused order publishes nothing.
func Example() {
	dir, err := os.MkdirTemp("", "orders")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := bbolt.Open(filepath.Join(dir, "orders.db"), 0o600, nil)
	if err != nil {
		panic(err)
	}
	defer db.Close()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	box := &outbox.Bolt{DB: db, Bucket: "outbox"}
	relay := &outbox.Relay{Store: box, Publish: func(_ context.Context, r outbox.Row) error {
		fmt.Printf("%s: %s\n", r.ID, r.Payload) // to a broker, whose receivers drop an ID that they have seen
		if r.ID == "order-9-placed" {
			cancel() // enough for an example
		}
		return nil
	}}

	place := func(id string, order []byte) error {
		err := db.Update(func(tx *bbolt.Tx) error {
			orders, err := tx.CreateBucketIfNotExists([]byte("orders"))
			if err != nil {
				return err
			}
			if err := orders.Put([]byte(id), order); err != nil {
				return err
			}
			if err := box.Add(tx, outbox.Row{ID: "order-" + id + "-placed", Key: id, Payload: order}); err != nil {
				return err
			}
			if string(order) == "an elephant" {
				return errors.New("out of stock") // then neither the order nor the row is stored
			}
			return nil
		})
		if err == nil {
			relay.Wake() // or it is published within Relay.Interval
		}
		return err
	}
	fmt.Println(place("7", []byte("two chairs")))
	fmt.Println(place("8", []byte("an elephant")))
	fmt.Println(place("9", []byte("a table")))
	fmt.Println(relay.Run(ctx))

	// Output:
	// <nil>
	// out of stock
	// <nil>
	// order-7-placed: two chairs
	// order-9-placed: a table
	// context canceled
}
