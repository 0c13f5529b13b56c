// Package reqresp_test has the scenarios of request-response, and runs the contract of calls for
// it.
package reqresp_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/squall-sim/squall/internal/processors"
	"github.com/squall-sim/squall/internal/ramdisk"
	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

func TestMain(m *testing.M) {
	ramdisk.Use()
	processors.One()
	m.Run()
}

func TestScenarios(t *testing.T) { scenario.Run(t, scenarios) }

// kinds go through the contract: the one with keys through all of it, and the others through what makes them differ
// from it, and through storms. With SQUALL_SEED or SQUALL_SEEDS all go through all of it.
var kinds = []kind{
	{"keyed", systems.ReqRespKind{Keyed: true}, nil},
	{"plain", systems.ReqRespKind{}, []string{"a quiet day of calls", "the question is lost", "the answer is lost",
		"the connection breaks on the answer", "a link that turns away"}},
	{"disk", systems.ReqRespKind{Keyed: true, OnDisk: true}, []string{"a quiet day of calls", "the answer is lost"}},
	{"hedged", systems.ReqRespKind{Keyed: true, Hedge: 300 * ms}, []string{"a quiet day of calls", "calls at a time", "the answer is lost"}},
	{"line", systems.ReqRespKind{Keyed: true, Line: true}, []string{"a quiet day of calls", "calls at a time", "questions and answers of any size",
		"a call longer than anybody's patience", "calls come and go", "the answer is lost", "the connection breaks on the question",
		"connections go silent", "answers are cut short", "questions are cut short"}},
}

type kind struct {
	name string
	kind systems.ReqRespKind
	only []string // stories; nil: all
}

func (k kind) options() (all []patterntest.Option) {
	if k.kind.Line {
		for _, story := range []string{"calls at a time", "ten callers at a time"} {
			all = append(all, patterntest.Races(story, "answers that are ready at one instant are written in the runtime's order"))
		}
	}
	if k.only == nil || scenario.Everything() {
		return all
	}
	for _, story := range patterntest.CallStories() {
		if !slices.Contains(k.only, story.Name) && !(k.kind.OnDisk && (strings.Contains(story.Name, "key") || strings.Contains(story.Name, "object"))) {
			all = append(all, patterntest.Skip(story.Name, "it is the same for all kinds"))
		}
	}
	return all
}

func TestCall(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			patterntest.Call(t, func(n *sim.Network) patterntest.Service { return systems.ReqResp(n, k.kind) }, k.options()...)
		})
	}
}

// The same over the operating system's TCP, without the simulator.
func TestCallLoopback(t *testing.T) {
	t.Parallel() // it only waits
	processors.All(t)
	for _, k := range kinds {
		if k.name != "keyed" && k.name != "line" {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			patterntest.CallLoopback(t, func(n *sim.Network) patterntest.Service { return systems.ReqResp(n, k.kind) })
		})
	}
}
