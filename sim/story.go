package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim/internal/artifacts"
)

// scenarioCode returns the Go expression that makes f, or "" if there is none: a function of the program has
// no text.
func (f *Fault) scenarioCode(names func(any) string) string {
	if f.made.function == "" || f.own.begin != nil {
		return ""
	}
	return f.Code(names)
}

// story returns the faults of a run as a Go function, or "" if there were none. Whatever it needs besides the
// network is an argument.
func (n *Network) story(r *artifacts.Run) string {
	var args []string
	arg := func(name, of string) string {
		if text := name + " " + of; !slices.Contains(args, text) {
			args = append(args, text)
		}
		return name
	}
	names := func(subject any) string {
		switch s := subject.(type) {
		case *Link:
			return arg(goSubject(s, nil), "*sim.Link")
		case *NameServer:
			return arg(goSubject(s, nil), "*sim.NameServer")
		}
		return ""
	}
	parts := n.partsOfFaults()
	var body strings.Builder
	for _, s := range n.log.film.spells {
		if parts[s.fault] {
			continue
		}
		lasts := time.Duration(0)
		if s.over >= 0 {
			lasts = max(s.over-s.begun, 1)
		}
		code := s.fault.scenarioCode(names)
		if code == "" {
			fmt.Fprintf(&body, "\t// at %v: %s\n", s.begun, strings.ReplaceAll(s.fault.Name(), "\n", " "))
			continue
		}
		fmt.Fprintf(&body, "\tn.Inject(%s, %s, %s)\n", goDuration(s.begun), goDuration(lasts), code)
	}
	if body.Len() == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "// The faults of %s, seed %d, in the order in which they began. Remove the test's own calls that cause them.\n", r.Test, r.Seed)
	b.WriteString("package story\n\nimport (\n")
	for _, use := range []struct{ mark, path string }{{"netip.", "net/netip"}, {"time.", "time"}} {
		if strings.Contains(body.String(), use.mark) {
			fmt.Fprintf(&b, "\t%q\n", use.path)
		}
	}
	b.WriteByte('\n')
	for _, use := range []struct{ mark, path string }{{"netem.", "netem"}, {"", "sim"}} {
		if strings.Contains(body.String(), use.mark) {
			fmt.Fprintf(&b, "\t\"github.com/squall-sim/squall/%s\"\n", use.path)
		}
	}
	fmt.Fprintf(&b, ")\n\nfunc faults(n *sim.Network%s) {\n%s}\n", strings.Join(append([]string{""}, args...), ", "), body.String())
	return b.String()
}
