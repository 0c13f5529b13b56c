package stacks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/squall-sim/squall/internal/count"
)

// A site is where goroutines wait or run: those of one site have the same calls.
type site struct {
	what  string
	calls []Frame // of the program, innermost first
	made  Frame
	ids   []string
}

// sitesOf groups the program's goroutines by where they are, the largest group last: crowds are seldom the
// cause.
func sitesOf(gs []Goroutine) []site {
	var all []site
	for _, g := range gs {
		if g.Serves() {
			continue
		}
		calls, made := g.Frames()
		s := site{what: g.Waits(), made: made}
		for _, f := range calls {
			if f.Program() {
				s.calls = append(s.calls, f)
			}
		}
		if len(s.calls) == 0 { // in the standard library: where it was entered
			for _, f := range slices.Backward(calls) {
				if f.Standard() && !strings.HasPrefix(f.Function, "runtime.") {
					s.calls = []Frame{f}
					break
				}
			}
		}
		same := func(o site) bool { return o.what == s.what && slices.Equal(o.calls, s.calls) && o.made == s.made }
		if i := slices.IndexFunc(all, same); i >= 0 {
			all[i].ids = append(all[i].ids, g.ID)
		} else {
			s.ids = []string{g.ID}
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b site) int { return cmp.Compare(len(a.ids), len(b.ids)) })
	return all
}

// Describe lists goroutines of the program by where they are in its code: at most 12 groups.
func Describe(gs []Goroutine) string {
	const mostSites = 12
	var b strings.Builder
	all := sitesOf(gs)
	for i, s := range all {
		if i == mostSites {
			fmt.Fprintf(&b, "  ... and %s\n", count.Of(len(all)-i, "other place", "other places"))
			break
		}
		who := "goroutine " + s.ids[0]
		if more := len(s.ids) - 1; more > 0 {
			who += " and " + count.Thousands(more) + " more"
		}
		fmt.Fprintf(&b, "  %s: %s\n", who, s.what)
		b.WriteString(ListCalls(s.calls))
		if s.made.Function != "" && s.made.Program() {
			fmt.Fprintf(&b, "      started by %s\n          %s\n", s.made.Short(), s.made.Where)
		}
	}
	return b.String()
}

// ListCalls lists calls with their places, at most four.
func ListCalls(calls []Frame) string {
	const most = 4
	var b strings.Builder
	for i, f := range calls {
		if i == most {
			b.WriteString("      ...\n")
			break
		}
		fmt.Fprintf(&b, "      %s\n          %s\n", f.Short(), f.Where)
	}
	return b.String()
}

// LocksAmong says which of some goroutines wait for a lock, and which may hold it: those that wait for
// another lock, or for something else, in a call of the same type or package.
func LocksAmong(gs []Goroutine) string {
	var b strings.Builder
	seen := map[Frame]bool{}
	for _, g := range gs {
		if !g.Locked() || g.Serves() {
			continue
		}
		at := g.Locker()
		if at.Simulator() || seen[at] { // the network's own lock is held for a moment only
			continue
		}
		seen[at] = true
		var holders []Goroutine
		for _, h := range gs {
			calls, _ := h.Frames()
			if h.ID != g.ID && !(h.Locked() && h.Locker() == at) && !h.Serves() && slices.ContainsFunc(calls, func(f Frame) bool { return f.owner() == at.owner() }) {
				holders = append(holders, h)
			}
		}
		fmt.Fprintf(&b, "Goroutine %s waits for a lock in %s (%s).\n", g.ID, at.Short(), at.Where)
		if list := Describe(holders); list != "" {
			b.WriteString("One of these goroutines, which wait too, probably holds it:\n" + list)
		} else {
			fmt.Fprintf(&b, "No other goroutine is likely to hold it: goroutine %s may hold it itself, or one that ended did not release it.\n", g.ID)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Whole describes at most ten goroutines. Those with the same calls are listed once, with the whole stack
// of the first.
func Whole(gs []Goroutine) string {
	const most = 10
	type kind struct {
		Goroutine
		calls []Frame
		more  int
	}
	var kinds []*kind
	for _, g := range gs {
		calls, creator := g.Frames()
		calls = append(calls, creator)
		same := func(k *kind) bool { return k.State == g.State && slices.Equal(k.calls, calls) }
		if i := slices.IndexFunc(kinds, same); i >= 0 {
			kinds[i].more++
		} else {
			kinds = append(kinds, &kind{g, calls, 0})
		}
	}
	var b strings.Builder
	for i, k := range kinds {
		if i == most {
			fmt.Fprintf(&b, "\n... and %s\n", count.Of(len(kinds)-i, "other stack", "other stacks"))
			break
		}
		fmt.Fprintf(&b, "\n%s\n", k.Text)
		if k.more > 0 {
			fmt.Fprintf(&b, "... and %s with the same calls\n", count.Of(k.more, "more goroutine", "more goroutines"))
		}
	}
	return b.String()
}

// UnreadBodies describes the remaining goroutines that belong to connections of net/http's client on which
// the program neither read the body of a response to its end nor closed it, or returns "".
func UnreadBodies(left []Goroutine) string {
	unread := 0
	for _, g := range left {
		if calls, _ := g.Frames(); strings.HasPrefix(g.State, "select") && len(calls) > 0 && calls[0].Function == "net/http.(*persistConn).readLoop" {
			unread++
		}
	}
	if unread == 0 {
		return ""
	}
	return fmt.Sprintf("net/http's client got %s whose Body was neither closed nor read to its end; readLoop and writeLoop wait for that.\n"+
		"Close the Body of each http.Response.\n", count.Of(unread, "response", "responses"))
}
