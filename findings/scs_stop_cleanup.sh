#!/usr/bin/env bash
# alexedwards/scs v2.9.0: memstore.New starts a goroutine that cleans up, and StopCleanup ends it, as its
# documentation recommends for tests. scs.New makes such a store, which a program that sets another store never uses.
#
# Guessed: StopCleanup right after New ends the goroutine. Seen: it does nothing then, and the goroutine never ends.
# StopCleanup works only once the goroutine has begun to run: the goroutine itself makes the channel by which it is
# told to stop, and StopCleanup checks whether there is one.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
at once: 1 goroutine left
after a millisecond: 0 goroutines left
scs.New, with another store: 1 goroutine left
END
cat >go.mod <<'END'
module finding

go 1.26

require github.com/alexedwards/scs/v2 v2.9.0
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
)

func left(what string, f func()) {
	before := runtime.NumGoroutine()
	f()
	time.Sleep(50 * time.Millisecond)
	switch n := runtime.NumGoroutine() - before; n {
	case 1:
		fmt.Printf("%s: 1 goroutine left\n", what)
	default:
		fmt.Printf("%s: %d goroutines left\n", what, n)
	}
}

func main() {
	runtime.GOMAXPROCS(1) // so that the goroutine has surely not begun
	left("at once", func() { memstore.New().StopCleanup() })
	left("after a millisecond", func() {
		s := memstore.New()
		time.Sleep(time.Millisecond)
		s.StopCleanup()
	})
	left("scs.New, with another store", func() {
		m := scs.New()
		m.Store.(*memstore.MemStore).StopCleanup()
		m.Store = memstore.NewWithCleanupInterval(0)
	})
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . >got
diff want got
cat got
