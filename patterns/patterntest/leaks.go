package patterntest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/sim"
)

// How much a census may exceed the first one, for [Bounded].
const (
	serverGrowth = 30
	peerGrowth   = 8 // a client has few connections
)

// labelKey is the label by which profiles of goroutines tell whose they are.
const labelKey = "squall"

var owners atomic.Int64 // so far, so that each has a label of its own

// An owner labels goroutines as its own. Goroutines pass the label on to those that they start.
type owner struct {
	label  string
	labels context.Context
}

func newOwner() owner {
	label := fmt.Sprintf("host %d", owners.Add(1))
	return owner{label, pprof.WithLabels(context.Background(), pprof.Labels(labelKey, label))}
}

// take makes the calling goroutine, which must be about to end, the owner's.
func (o owner) take() { pprof.SetGoroutineLabels(o.labels) }

// A census is the number of goroutines and connections of each host at a time,
// by host name.
type census struct {
	at                      time.Duration
	goroutines, connections map[string]int
}

// Census counts the goroutines and connections of the server and the clients. The first call sets a
// baseline. Later calls, with the same clients connected, must not find much more, however often
// the clients have left and returned. Before a later call, let enough time pass to detect peers
// that vanished, and publish: a server may look only then.
func (s *Stage) Census() {
	now := census{s.Net.Elapsed(), map[string]int{}, map[string]int{}}
	byLabel := goroutines()
	count := func(h *sim.Host, o owner) {
		now.goroutines[h.Name()] = byLabel[o.label]
		now.connections[h.Name()] = len(openConnection.FindAllString(h.Netstat(), -1))
	}
	for _, r := range s.servers {
		count(r.Host, r.owner)
	}
	for _, p := range s.peers {
		count(p.Host, p.owner)
	}
	s.counts = append(s.counts, now)
}

// openConnection matches a connection that its process has not closed. A connection that the system
// keeps for a minute after that belongs to nobody.
var openConnection = regexp.MustCompile(`ESTABLISHED|CLOSE_WAIT`)

// goroutines counts the goroutines of the process by their labels.
func goroutines() map[string]int {
	var profile bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&profile, 1)
	// A line "3 @ 0x45..." counts those with one stack and one set of labels, which the
	// next line has: # labels: {"squall":"host 1"}
	count, these := map[string]int{}, 0
	for lines := bufio.NewScanner(&profile); lines.Scan(); {
		if n, _, ok := strings.Cut(lines.Text(), " @ "); ok {
			these, _ = strconv.Atoi(n)
		} else if m := labelLine.FindStringSubmatch(lines.Text()); m != nil {
			count[m[1]] += these
		}
	}
	return count
}

var labelLine = regexp.MustCompile(`^# labels:.*"` + labelKey + `":"([^"]*)"`)

// judgeCounts compares the first census with the later ones.
func (s *Stage) judgeCounts(f *findings) {
	if len(s.counts) == 0 {
		return
	}
	judge := func(name string, most int) {
		first := s.counts[0]
		for _, now := range s.counts[1:] {
			if a, b := first.goroutines[name], now.goroutines[name]; b > a+most {
				f.add(Bounded, name, "%s had %d goroutines at %v and %d at %v, with the same clients", name, a, first.at, b, now.at)
			}
			if a, b := first.connections[name], now.connections[name]; b > a+most {
				f.add(Bounded, name, "%s had %d connections at %v and %d at %v, with the same clients", name, a, first.at, b, now.at)
			}
		}
	}
	for _, r := range s.servers {
		judge(r.Name, serverGrowth)
	}
	for _, p := range s.peers {
		judge(p.Name, peerGrowth)
	}
}
