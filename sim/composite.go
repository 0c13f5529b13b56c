package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/netem"
)

// A composite is a fault that begins and ends other faults, repeatedly or one after the other.
type composite struct {
	of    []*Fault
	spell int             // counts its beginnings and ends: plans of an earlier spell are void
	begun map[*Fault]bool // parts that it has begun
}

// begin begins a part, unless it is already active.
func (c *composite) begin(part *Fault) {
	part.n.do(func() {
		if !c.begun[part] {
			c.begun[part] = true
			part.spans.open++
		}
	})
	part.Begin()
}

// end ends a part, unless the part was also injected by itself for a time that is not over.
func (c *composite) end(part *Fault) {
	last := get(part.n, func() bool {
		if !c.begun[part] {
			return false
		}
		delete(c.begun, part)
		return part.spans.end()
	})
	if last {
		part.End()
	}
}

// composed makes a fault from others. play runs each time the fault begins.
func composed(what string, made expression, of []*Fault, play func(c *composite, spell int)) *Fault {
	n := of[0].n
	f := n.newFault(what, nil, nil, made)
	c := &composite{of: of, begun: map[*Fault]bool{}}
	f.parts = of
	next := func() int { c.spell++; return c.spell }
	f.own = custom{
		begin: func() { play(c, get(n, next)) },
		end: func() {
			n.do(func() { next() })
			for _, part := range of {
				c.end(part)
			}
		},
	}
	return f.enlisted()
}

// plan makes the composite do something later, if it is still active then. It is not a plan of the program,
// and Schedule does not list it.
func (c *composite) plan(spell int, at time.Duration, do func()) {
	n := c.of[0].n
	n.change(at, change{hidden: true, f: func() {
		if get(n, func() bool { return c.spell == spell }) {
			do()
		}
	}}, func() string { return "a fault made of several" })
}

// mustCompose panics unless there is at least one fault and all belong to one network.
func mustCompose(function string, faults []*Fault) {
	seen := map[*Fault]bool{}
	for _, f := range faults {
		switch {
		case f == nil:
			panic("sim: " + function + ": a fault is nil")
		case f.n != faults[0].n:
			panic(fmt.Sprintf("sim: %s: %v belongs to another network than %v", function, f, faults[0]))
		case seen[f]:
			panic(fmt.Sprintf("sim: %s: %v is given twice: make two faults", function, f))
		}
		seen[f] = true
	}
	if len(faults) == 0 {
		panic("sim: " + function + ": at least one fault is needed")
	}
}

// Flap makes a fault come and go: f is active for the time lasts, inactive for the time pause, and so on,
// until the fault that Flap returns is over. If f is also injected by itself, it is active for that time too.
// A link that flaps is Flap(sim.Down(link), time.Second, 4*time.Second). Fired returns what f met. Flap
// panics unless both times are positive.
func Flap(f *Fault, lasts, pause time.Duration) *Fault {
	mustCompose("Flap", []*Fault{f})
	if lasts <= 0 || pause <= 0 {
		panic(fmt.Sprintf("sim: Flap(%v): lasts and pause are %v and %v: both must be positive", f, lasts, pause))
	}
	var turn func(c *composite, spell int)
	turn = func(c *composite, spell int) {
		c.begin(f)
		c.plan(spell, lasts, func() {
			c.end(f)
			c.plan(spell, pause, func() { turn(c, spell) })
		})
	}
	return composed("flapping: "+f.Name(), expression{"Flap", []any{f, lasts, pause}}, []*Fault{f}, turn)
}

// Swizzle makes faults begin one after the other and end in another order, as FoundationDB clogs the machines
// of a cluster. Each begins at a random instant in the first half of the given time and ends at one in the
// second half. The draws follow from the network's seed and the faults' names; if the fault begins again,
// they are different. If it ends early, all end with it. With PartitionBy(n, Isolate(host),
// PartitionConfig{Holds: true}) for some hosts of a cluster it finds what relies on the order in which
// members come back. Swizzle panics if within is less than 2 ns.
func Swizzle(within time.Duration, faults ...*Fault) *Fault {
	mustCompose("Swizzle", faults)
	if within < 2 {
		panic(fmt.Sprintf("sim: Swizzle(%v): the time must be positive", within))
	}
	faults = slices.Clone(faults) // the program may change its slice
	n := faults[0].n
	args, path := []any{within}, []string{"swizzle"}
	for _, f := range faults {
		args, path = append(args, f), append(path, f.Name())
	}
	draws := netem.NewStream(n.seed, path...)
	return composed("swizzle: "+shortList(path[1:], 6), expression{"Swizzle", args}, faults, func(c *composite, spell int) {
		s := draws.Derive(uint64(spell))
		half := uint64(within / 2)
		for _, f := range faults {
			begins, ends := time.Duration(s.Uint64()%half), time.Duration(half+s.Uint64()%half)
			c.plan(spell, begins, func() { c.begin(f) })
			c.plan(spell, ends, func() { c.end(f) })
		}
	})
}

// firings returns what f met; for a composite, what its parts met.
func (f *Fault) firings() (sum Fired) {
	if f.parts == nil {
		return f.fired
	}
	for _, part := range f.parts {
		p := part.firings()
		if p.Count == 0 {
			continue
		}
		if sum.Count == 0 || p.First < sum.First {
			sum.First = p.First
		}
		sum.Last = max(sum.Last, p.Last)
		sum.Count += p.Count
		sum.Packets += p.Packets
		sum.Bytes += p.Bytes
	}
	return sum
}

// idleParts describes which parts of a composite met nothing, and why.
func (f *Fault) idleParts() string {
	var lines []string
	for _, part := range f.parts {
		if part.firings().Count == 0 {
			lines = append(lines, part.Name()+": "+part.idle())
		}
	}
	return strings.Join(lines, "; ")
}
