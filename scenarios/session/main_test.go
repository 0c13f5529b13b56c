// Package session_test has the scenarios of sessions: one web application with its state in memory,
// in a store shared by all replicas, and in signed tokens. It also runs the contract of calls for
// it.
package session_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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

// Where the sessions are matters where a server or a client comes back; one of the three goes through the whole contract, and with
// SQUALL_SEEDS each.
func TestCall(t *testing.T) {
	t.Parallel()
	matters := []string{"a quiet day of calls", "the answer is lost", "the server crashes ten times", "calls at a time", "calls come and go"}
	for _, kind := range []systems.SessionKind{systems.SessionDisk, systems.SessionMemory, systems.SessionSigned, systems.SessionShared} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			var options []patterntest.Option
			for _, story := range patterntest.CallStories() {
				if kind == systems.SessionShared && (strings.Contains(story.Name, "object") || story.Name == "one replica crashes") {
					continue
				}
				if kind != systems.SessionDisk && !scenario.Everything() && !slices.Contains(matters, story.Name) {
					options = append(options, patterntest.Skip(story.Name, "it is the same wherever sessions are"))
				}
			}
			patterntest.Call(t, func(n *sim.Network) patterntest.Service { return systems.Session(n, kind) }, options...)
		})
	}
}

func TestLoopback(t *testing.T) {
	processors.All(t)
	patterntest.CallLoopback(t, func(n *sim.Network) patterntest.Service { return systems.Session(n, systems.SessionSigned) })
}

// pinned is the story in which sticky clients suffer, because they stay with
// their replica.
const pinned = "one replica is slow"

// Sessions in the memory of replicas, with sticky clients. Calls keep the contract even when a
// replica dies and its sessions are lost. The exception is a replica that answers its health check
// but no calls: it keeps its clients.
func TestSticky(t *testing.T) {
	t.Parallel()
	matters := []string{"a quiet day of calls", "calls are given up", "the server is redeployed ten times, amid calls", "one replica crashes", "one replica loses power", "one replica is frozen"}
	var options []patterntest.Option
	for _, story := range patterntest.CallStories() {
		switch {
		case story.Name == pinned:
			options = append(options, patterntest.Skip(story.Name, "its clients stay with it: see TestStickyClientsStayWithASlowReplica"))
		case !scenario.Everything() && !slices.Contains(matters, story.Name):
			options = append(options, patterntest.Skip(story.Name, "it is the same wherever sessions are"))
		}
	}
	patterntest.Call(t, systems.SessionSticky, options...)
}

// Sticky clients stay with a replica that answers its health check but no
// calls.
func TestStickyClientsStayWithASlowReplica(t *testing.T) {
	t.Parallel()
	stories := patterntest.CallStories()
	story := stories[slices.IndexFunc(stories, func(s patterntest.CallStory) bool { return s.Name == pinned })]
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		breaches := patterntest.JudgeCall(n, systems.SessionSticky(n), t.TempDir(), story)
		require.Len(t, breaches, 2, "one for each client: %v", breaches)
		for _, b := range breaches {
			require.Equal(t, patterntest.Isolated, b.Promise, "%v", b)
		}
	})
}
