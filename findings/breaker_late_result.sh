#!/usr/bin/env bash
# A circuit breaker that has opened lets single calls through after a while, and closes when one of them succeeds. A
# call that began before the breaker opened and ends afterwards says nothing about whether the server has recovered. It
# may be a request that was in flight when the server was overloaded and is answered late. gobreaker 2.4.0 counts in
# generations and ignores such results.
#
# Guessed: opossum 9.0.0 closes when such a call succeeds; cockatiel 3.2.1 and failsafe-go 0.9.8 behave as gobreaker
# does. Seen: failsafe-go closes too, while the first call that it let through is still waiting, and cockatiel opens
# again when such a call fails. hystrix-go (of May 2018) closes at once, although the time for which it should stay open
# has only begun.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
gobreaker: a call from before succeeds at once: open, then open
gobreaker: a call from before succeeds while the next call runs: half-open, then half-open
gobreaker: a call from before fails at once: open, then open
gobreaker: a call from before fails while the next call runs: half-open, then half-open
failsafe-go: a call from before succeeds at once: open, then open
failsafe-go: a call from before succeeds while the next call runs: half-open, then closed
failsafe-go: a call from before fails at once: open, then open
failsafe-go: a call from before fails while the next call runs: half-open, then half-open
hystrix-go: a call from before succeeds at once: open, then closed
hystrix-go: a call from before succeeds while the next call runs: open, then closed
hystrix-go: a call from before fails at once: open, then open
hystrix-go: a call from before fails while the next call runs: open, then open
opossum: a call from before succeeds at once: open, then open
opossum: a call from before succeeds while the next call runs: half-open, then closed
opossum: a call from before fails at once: open, then open
opossum: a call from before fails while the next call runs: half-open, then open
cockatiel: a call from before succeeds at once: open, then open
cockatiel: a call from before succeeds while the next call runs: half-open, then half-open
cockatiel: a call from before fails at once: open, then open
cockatiel: a call from before fails while the next call runs: half-open, then open
END
npm install --silent --no-fund --no-audit --prefix . opossum@9.0.0 cockatiel@3.2.1 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/afex/hystrix-go v0.0.0-20180502004556-fa1af6a1f4f5
	github.com/failsafe-go/failsafe-go v0.9.8
	github.com/sony/gobreaker/v2 v2.4.0
)
END
cat >main.go <<'END'
package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/afex/hystrix-go/hystrix"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/sony/gobreaker/v2"
)

// breaker opens after three failures, for 300 ms.
type breaker struct {
	run   func(func() error) error
	state func() string
}

func newHystrix(name string) breaker {
	hystrix.ConfigureCommand(name, hystrix.CommandConfig{Timeout: 60_000, RequestVolumeThreshold: 3, SleepWindow: 300})
	return breaker{
		func(f func() error) error { return hystrix.Do(name, f, nil) },
		func() string {
			time.Sleep(100 * time.Millisecond) // it counts in a goroutine of its own
			if c, _, _ := hystrix.GetCircuit(name); c.IsOpen() {
				return "open"
			}
			return "closed"
		},
	}
}

func newFailsafe(string) breaker {
	b := circuitbreaker.NewBuilder[any]().WithFailureThreshold(3).WithDelay(300 * time.Millisecond).Build()
	return breaker{func(f func() error) error { return failsafe.With(b).Run(f) }, func() string { return b.State().String() }}
}

func newGobreaker(string) breaker {
	b := gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		Timeout:     300 * time.Millisecond,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures == 3 },
	})
	run := func(f func() error) error {
		_, err := b.Execute(func() (any, error) { return nil, f() })
		return err
	}
	return breaker{run, func() string { return b.State().String() }}
}

func main() {
	for _, lib := range []struct {
		name string
		make func(string) breaker
	}{{"gobreaker", newGobreaker}, {"failsafe-go", newFailsafe}, {"hystrix-go", newHystrix}} {
		for _, result := range []error{nil, errors.New("late")} {
			for _, when := range []string{"at once", "while the next call runs"} {
				b := lib.make(fmt.Sprint(when, result))
				late, ended := make(chan error), make(chan error)
				go func() { ended <- b.run(func() error { return <-late }) }()
				time.Sleep(20 * time.Millisecond)
				for range 3 {
					b.run(func() error { return errors.New("failed") })
				}
				before := b.state()
				if when != "at once" {
					time.Sleep(400 * time.Millisecond)
					go b.run(func() error { select {} })
					time.Sleep(20 * time.Millisecond)
					before = b.state()
				}
				late <- result
				<-ended
				what := map[bool]string{true: "succeeds", false: "fails"}[result == nil]
				fmt.Printf("%s: a call from before %s %s: %s, then %s\n", lib.name, what, when, before, b.state())
			}
		}
	}
}
END
cat >main.mjs <<'END'
import CircuitBreaker from 'opossum'
import { circuitBreaker, handleAll, ConsecutiveBreaker, CircuitState } from 'cockatiel'

const sleep = (ms) => new Promise((later) => setTimeout(later, ms))
const makers = {
  opossum: () => {
    const breaker = new CircuitBreaker((f) => f(), { timeout: false, volumeThreshold: 3, resetTimeout: 300 })
    return { run: (f) => breaker.fire(f), state: () => breaker.opened ? 'open' : breaker.halfOpen ? 'half-open' : 'closed' }
  },
  cockatiel: () => {
    const policy = circuitBreaker(handleAll, { halfOpenAfter: 300, breaker: new ConsecutiveBreaker(3) })
    const names = { [CircuitState.Open]: 'open', [CircuitState.HalfOpen]: 'half-open', [CircuitState.Closed]: 'closed' }
    return { run: (f) => policy.execute(f), state: () => names[policy.state] }
  },
}
for (const [name, make] of Object.entries(makers)) {
  for (const what of ['succeeds', 'fails']) {
    for (const when of ['at once', 'while the next call runs']) {
      const { run, state } = make()
      let settle
      const late = run(() => new Promise((resolve, reject) => { settle = what === 'fails' ? reject : resolve })).catch(() => {})
      for (let i = 0; i < 3; i++) await run(() => Promise.reject(new Error('failed'))).catch(() => {})
      if (when !== 'at once') {
        await sleep(400)
        run(() => new Promise(() => {}))
      }
      const before = state()
      settle(new Error('late'))
      await late
      await sleep(20)
      console.log(`${name}: a call from before ${what} ${when}: ${before}, then ${state()}`)
    }
  }
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
{ timeout 60 ./main 2>log && timeout 60 node main.mjs ; } >have
diff want have
cat have
