package sim

import (
	"bytes"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"time"
)

// Libraries keep timers and channels in package-level pools: nats.go, yamux and go-redis do. If one comes out
// of a sync.Pool in another bubble than the one in which it was made, using it ends the process. Two garbage
// collections empty all pools, but they cost more than most tests. They are omitted where they are not
// needed: before the first bubble, when the collector has run by itself meanwhile, and when nothing that is
// linked into the process keeps such a pool. Finding that out takes as long as some ten collections, so it is
// done once the collections have taken as long.
type poolKeeper struct {
	mu    sync.Mutex
	dirty bool          // a bubble has ended since the pools were emptied
	ended uint64        // how often the collector had run at that time
	spent time.Duration // real time spent in these collections
	look  sync.Once
	none  bool // nothing linked keeps such a pool
}

var pools poolKeeper

// lookAfter is how long the collections of a process must take before it looks at its sources.
const lookAfter = 40 * time.Millisecond

// beforeBubble empties the pools if they may hold something that an earlier bubble made.
func (k *poolKeeper) beforeBubble() {
	k.mu.Lock()
	defer k.mu.Unlock()
	// The collection that empties pools does so as it begins, first of what is in use and then of the rest.
	// One that was in progress when the bubble ended does not count.
	if !k.dirty || collections() >= k.ended+3 {
		k.dirty = false
		return
	}
	if k.spent >= lookAfter {
		k.look.Do(func() { k.none = !keepsPools(linkedPackages()) })
		if k.none {
			return
		}
	}
	start := time.Now()
	runtime.GC()
	runtime.GC()
	k.spent += time.Since(start)
	k.dirty = false
}

func (k *poolKeeper) afterBubble() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dirty, k.ended = true, collections()
}

// collections returns how often the collector has finished a cycle.
func collections() uint64 {
	s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// buffersOnly are packages whose pools hold neither timers nor channels, or end with what a bubble made.
// Those of the standard library do not hold any either, except for net/http's pool of error channels, which
// only an HTTP/2 server that net/http has not configured uses.
var buffersOnly = map[string]bool{
	"codeberg.org/go-pdf/fpdf":                      true,
	"github.com/coder/websocket":                    true,
	"github.com/coder/websocket/internal/bpool":     true,
	"github.com/squall-sim/squall/patterns/pubsub":  true, // its clients have a pool of channels each
	"github.com/squall-sim/squall/patterns/push":    true,
	"github.com/squall-sim/squall/patterns/sidecar": true,
	"go.etcd.io/bbolt":                              true,
	"golang.org/x/image/draw":                       true,
}

// keepsPools reports whether one of the given packages may keep a pool with timers or channels: whether its
// source, in the folder given for it, has a sync.Pool or cannot be found.
func keepsPools(packages map[string]string) bool {
	for dir, path := range packages {
		if buffersOnly[path] {
			continue
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			return true
		}
		for _, file := range files {
			// A package's tests are linked only into its own.
			if name := file.Name(); !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") && dir != thisDir {
				continue
			}
			source, err := os.ReadFile(filepath.Join(dir, file.Name()))
			if err != nil || bytes.Contains(source, []byte("Pool")) && usesPool(source) {
				return true
			}
		}
	}
	return false
}

// usesPool reports whether a Go source uses sync.Pool, outside comments and strings.
func usesPool(source []byte) bool {
	var s scanner.Scanner
	s.Init(token.NewFileSet().AddFile("", -1, len(source)), source, nil, 0)
	pkg := "sync" // or as the import calls it
	var before [2]string
	for {
		_, tok, text := s.Scan()
		switch {
		case tok == token.EOF:
			return false
		case tok == token.STRING && text == `"sync"` && before[1] != "" && before[1] != ".":
			pkg = before[1]
		case tok == token.IDENT && text == "Pool" && before == [2]string{pkg, "."}:
			return true
		case tok == token.PERIOD:
			text = "."
		case tok != token.IDENT:
			text = ""
		}
		before = [2]string{before[1], text}
	}
}

// linkedPackages returns the packages linked into the process, without those of the standard library, by the
// folders of their sources. With -trimpath, which hides these, the folders do not exist.
func linkedPackages() map[string]string {
	std := strings.TrimSuffix(fileOf(reflect.ValueOf(runtime.GC).Pointer()), "runtime/mgc.go")
	found := map[string]string{}
	look := func(entry uintptr) {
		file := fileOf(entry)
		switch {
		case std != "" && strings.HasPrefix(file, std):
		case !strings.HasSuffix(file, ".go") || strings.HasPrefix(filepath.Base(file), "_"): // generated, as _testmain.go is
		default:
			dir, name := filepath.Dir(file), runtime.FuncForPC(entry).Name()
			// A closure that was inlined has the name of the calling package.
			if found[dir] == "" || !strings.Contains(name, ".func") {
				found[dir] = packageOf(name)
			}
		}
	}
	// The functions of a program follow each other in memory. The search for the beginning of the next one
	// uses steps that grow and then shrink.
	const align = 16
	walk := func(pc uintptr, next func(pc, by uintptr) uintptr) {
		for entryOf(pc) != 0 {
			entry := entryOf(pc)
			look(entry)
			same, other := uintptr(0), uintptr(4*align) // distances: of the same function, of another
			for entryOf(next(pc, other)) == entry {
				same, other = other, 2*other
			}
			for other-same > align {
				if middle := same + (other-same)/2/align*align; entryOf(next(pc, middle)) == entry {
					same = middle
				} else {
					other = middle
				}
			}
			pc = next(pc, other)
		}
	}
	here := entryOf(reflect.ValueOf(linkedPackages).Pointer())
	walk(here, func(pc, by uintptr) uintptr { return pc + by })
	walk(here, func(pc, by uintptr) uintptr { return pc - by })
	return found
}

// entryOf returns the entry of the function that has an instruction at pc, or 0.
func entryOf(pc uintptr) uintptr {
	if f := runtime.FuncForPC(pc); f != nil {
		return f.Entry()
	}
	return 0
}

// fileOf is the file of the function that begins at pc.
func fileOf(pc uintptr) string {
	file, _ := runtime.FuncForPC(pc).FileLine(pc)
	return file
}

// packageOf is the import path in the name of a function.
func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/') + 1
	name, _, _ := strings.Cut(function[slash:], ".")
	return strings.ReplaceAll(function[:slash]+name, "%2e", ".")
}
