package eventlog_test

import (
	"fmt"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// A reader leaves with a cursor and comes back: once in time, once too late.
func Example() {
	log := eventlog.NewMemory(eventlog.Options{Epoch: 0xca5e, MaxEntries: 3})
	defer log.Close()
	entry := func(text string) eventlog.Entry { return eventlog.Entry{Topic: "orders", Data: []byte(text)} }

	cursor, _ := log.Append(entry("one"))
	log.Append(entry("two"), entry("three"))
	page, _ := log.After(cursor, eventlog.Query{})
	for _, e := range page.Entries {
		fmt.Printf("%d %s\n", e.Offset, e.Data)
	}
	fmt.Println(page.Status, page.Next)

	log.Append(entry("four"), entry("five"))
	page, _ = log.After(cursor, eventlog.Query{})
	fmt.Println(page.Status, "- start again from", page.Next)

	// Output:
	// 2 two
	// 3 three
	// complete ca5e-3
	// compacted - start again from ca5e-2
}
