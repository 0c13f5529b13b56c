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

// Libraries keep timers and channels in package-level pools: nats.go, yamux and go-redis do.
// What comes out of a sync.Pool in another bubble than the one that it was made in ends the
// process when it is used. Two collections of garbage empty all pools, but they cost more than
// most tests, so they are left out where they are not needed: before the first bubble, when the
// collector has run by itself meanwhile, and when nothing that is linked into the process keeps
// such a pool. To find that out takes as long as some ten collections, and so it is done when
// the collections have taken as long.
type poolKeeper struct {
	mu    sync.Mutex
	dirty bool          // a bubble has ended since the pools were emptied
	ended uint64        // how often the collector had run then
	spent time.Duration // by the collections, of real time
	look  sync.Once
	none  bool // nothing linked keeps such a pool
}

var pools poolKeeper

// lookAfter is how long the collections of a process take before it looks at its sources.
const lookAfter = 40 * time.Millisecond

// beforeBubble empties the pools if there may be something in them that an earlier bubble made.
func (k *poolKeeper) beforeBubble() {
	k.mu.Lock()
	defer k.mu.Unlock()
	// The collection that empties pools does so as it begins, first of what is in use and then of
	// the rest; one that was under way when the bubble ended counts for nothing.
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

// collections is how often the collector has run to its end.
func collections() uint64 {
	s := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// buffersOnly are packages whose pools hold neither timers nor channels, or end with what a bubble made. Those of the standard
// library do not either, but for net/http's pool of error channels, which only a server of HTTP/2
// that net/http has not configured takes from.
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

// keepsPools says whether a package of those given may keep a pool with timers or channels:
// whether its source, in the directory that belongs to it, has a sync.Pool or is not to be found.
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

// usesPool says whether a Go source uses sync.Pool, in comments and strings not counted.
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

// linkedPackages returns the packages that are linked into the process, those of the standard
// library left out, by the directories of their sources. With -trimpath, which hides these, they
// are directories that do not exist.
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
			// A closure that was inlined bears the name of the package that called.
			if found[dir] == "" || !strings.Contains(name, ".func") {
				found[dir] = packageOf(name)
			}
		}
	}
	// The functions of a program follow each other in memory. Where the next one begins is found
	// in steps that grow and then shrink.
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

// entryOf is where the function begins that has an instruction at pc, or 0.
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
