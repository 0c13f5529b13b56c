package eventlog_test

import (
	"context"
	"fmt"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// A reader leaves with a cursor and returns, once in time and once too late.
func Example() {
	log := eventlog.NewMemory(eventlog.Options{Epoch: 0xca5e, MaxEntries: 3})
	defer log.Close()
	entry := func(text string) eventlog.Entry { return eventlog.Entry{Topic: "orders", Data: []byte(text)} }

	cursor, _ := log.Append(context.Background(), entry("one"))
	log.Append(context.Background(), entry("two"), entry("three"))
	page, _ := log.After(cursor, eventlog.Query{})
	for _, e := range page.Entries {
		fmt.Printf("%d %s\n", e.Offset, e.Data)
	}
	fmt.Println(page.Next)

	log.Append(context.Background(), entry("four"), entry("five"))
	page, _ = log.After(cursor, eventlog.Query{})
	fmt.Println(page.Reset, "- start again from", page.Next)

	// Output:
	// 2 two
	// 3 three
	// ca5e-3
	// compacted - start again from ca5e-2
}
