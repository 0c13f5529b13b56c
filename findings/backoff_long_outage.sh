#!/usr/bin/env bash
# A client that lost its server waits longer after each attempt, up to a limit. Part of each wait is random, so that
# clients do not all come back at the same moment. No standard covers this; gRPC's connection-backoff.md adds the random
# part after applying the limit.
#
# Guessed: once the waits reach their limit, npm's retry 0.13.1 (used by async-retry and others) and jpillora/backoff
# 1.1.0 lose the random part, and socket.io-client 4.8.4 loses it for half of its clients; the others keep it. Seen:
# socket.io-client loses it for all of them. So do cockatiel 3.2.1, avast/retry-go 5.1.1, sethvargo/go-retry 0.5.0
# (limit around jitter, as in its README) and tenacity 8.2.1's wait_exponential_jitter. After 1015 attempts, 85 minutes
# with its own settings, socket.io-client does not wait at all in half of the cases.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
npm, retry, 20 failed: all wait for 30000 ms
npm, retry, 1100 failed: all wait for 30000 ms
npm, socket.io-client, 20 failed: all wait for 30000 ms
npm, socket.io-client, 1100 failed: half do not wait
npm, cockatiel, 20 failed: all wait for 30000 ms
npm, cockatiel, 1100 failed: all wait for 30000 ms
npm, backoff, 20 failed: spread
npm, backoff, 1100 failed: spread
Python, tenacity, wait_exponential_jitter, 20 failed: all wait for 30000 ms
Python, tenacity, wait_exponential_jitter, 1100 failed: all wait for 30000 ms
Python, tenacity, wait_random_exponential, 20 failed: spread
Python, tenacity, wait_random_exponential, 1100 failed: spread
Python, backoff, 20 failed: spread
Python, backoff, 1100 failed: spread
Ruby, retriable, 20 failed: spread
Ruby, retriable, 1100 failed: spread
Go, jpillora/backoff, 20 failed: all wait for 30000 ms
Go, jpillora/backoff, 1100 failed: all wait for 30000 ms
Go, avast/retry-go, 20 failed: all wait for 30000 ms
Go, avast/retry-go, 1100 failed: all wait for 30000 ms
Go, sethvargo/go-retry, 20 failed: all wait for 30000 ms
Go, sethvargo/go-retry, 1100 failed: all wait for 30000 ms
Go, cenkalti/backoff, 20 failed: spread
Go, cenkalti/backoff, 1100 failed: spread
END
npm install --silent --no-fund --no-audit --prefix . retry@0.13.1 socket.io-client@4.8.4 cockatiel@3.2.1 backoff@2.5.0 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  python3 python3-tenacity python3-backoff ruby ruby-retriable ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0:$dir/root/usr/lib/ruby/vendor_ruby"

# Each program prints, for each library and number of failed attempts, the waits in milliseconds of 1000 clients whose limit is 30 seconds.
cat >main.mjs <<'END'
import retry from 'retry'
import { Manager } from 'socket.io-client'
import { ExponentialBackoff } from 'cockatiel'
import backoff from 'backoff'

const after = (failed, next) => {
  for (let i = 1; i < failed; i++) next()
  return next()
}
const clients = {
  'npm, retry': (failed) => retry.timeouts({ retries: failed, maxTimeout: 30000, randomize: true }).at(-1),
  'npm, socket.io-client': (failed) => {
    const manager = new Manager('http://127.0.0.1', { autoConnect: false, reconnectionDelayMax: 30000 })
    return after(failed, () => manager.backoff.duration())
  },
  'npm, cockatiel': (failed) => {
    let backoff = new ExponentialBackoff({ initialDelay: 1000, maxDelay: 30000 })
    return after(failed, () => { backoff = backoff.next(); return backoff.duration })
  },
  'npm, backoff': (failed) => {
    const waits = new backoff.ExponentialStrategy({ initialDelay: 1000, maxDelay: 30000, randomisationFactor: 0.5 })
    return after(failed, () => waits.next())
  },
}
for (const [name, wait] of Object.entries(clients)) {
  for (const failed of [20, 1100]) console.log([`${name}:${failed}`, ...Array.from({ length: 1000 }, () => wait(failed))].join(':'))
}
process.exit()
END
cat >main.py <<'END'
import types
import backoff, tenacity

def full_jitter(failed):
    waits = backoff.expo(max_value=30)
    next(waits)
    for _ in range(failed):
        wait = next(waits)
    return backoff.full_jitter(wait)

clients = {
    'Python, tenacity, wait_exponential_jitter': lambda failed: tenacity.wait_exponential_jitter(1, 30)(types.SimpleNamespace(attempt_number=failed)),
    'Python, tenacity, wait_random_exponential': lambda failed: tenacity.wait_random_exponential(1, 30)(types.SimpleNamespace(attempt_number=failed)),
    'Python, backoff': full_jitter,
}
for name, wait in clients.items():
    for failed in 20, 1100:
        print(name, failed, *(round(wait(failed) * 1000) for _ in range(1000)), sep=':')
END
cat >main.rb <<'END'
require 'retriable'
for failed in [20, 1100]
  waits = (1..1000).map do
    Retriable::ExponentialBackoff.new(tries: failed + 1, base_interval: 1, max_interval: 30, multiplier: 2, rand_factor: 0.5).intervals.last
  end
  puts "Ruby, retriable:#{failed}:#{waits.map { |wait| (wait * 1000).round }.join(':')}"
end
END
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/avast/retry-go/v5 v5.1.1
	github.com/cenkalti/backoff/v5 v5.0.3
	github.com/jpillora/backoff v1.1.0
	github.com/sethvargo/go-retry v0.5.0
)
END
cat >main.go <<'END'
package main

import (
	"errors"
	"fmt"
	"time"

	avast "github.com/avast/retry-go/v5"
	"github.com/cenkalti/backoff/v5"
	jpillora "github.com/jpillora/backoff"
	"github.com/sethvargo/go-retry"
)

const limit = 30 * time.Second

func main() {
	for _, client := range []struct {
		name string
		wait func(failed int) time.Duration
	}{
		{"Go, jpillora/backoff", func(failed int) time.Duration {
			waits := &jpillora.Backoff{Min: time.Second, Max: limit, Jitter: true}
			return after(failed, waits.Duration)
		}},
		{"Go, avast/retry-go", func(failed int) time.Duration {
			timer := new(recorder)
			_ = avast.New(avast.Attempts(uint(failed)+1), avast.Delay(time.Second), avast.MaxJitter(time.Second), avast.MaxDelay(limit), avast.WithTimer(timer)).
				Do(func() error { return errors.New("down") })
			return timer.last
		}},
		{"Go, sethvargo/go-retry", func(failed int) time.Duration {
			waits := retry.NewExponential(time.Second)
			waits = retry.WithJitterPercent(50, waits)
			waits = retry.WithCappedDuration(limit, waits)
			return after(failed, func() time.Duration { wait, _ := waits.Next(); return wait })
		}},
		{"Go, cenkalti/backoff", func(failed int) time.Duration {
			waits := backoff.NewExponentialBackOff()
			waits.InitialInterval, waits.MaxInterval = time.Second, limit
			return after(failed, waits.NextBackOff)
		}},
	} {
		for _, failed := range []int{20, 1100} {
			fmt.Printf("%s:%d", client.name, failed)
			for range 1000 {
				fmt.Printf(":%d", client.wait(failed).Milliseconds())
			}
			fmt.Println()
		}
	}
}

func after(failed int, next func() time.Duration) time.Duration {
	for range failed - 1 {
		next()
	}
	return next()
}

// recorder is a timer that does not wait.
type recorder struct{ last time.Duration }

func (r *recorder) After(wait time.Duration) <-chan time.Time {
	r.last = wait
	now := make(chan time.Time, 1)
	now <- time.Now()
	return now
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
{ node main.mjs && /usr/bin/python3 main.py && ruby3.1 main.rb && ./main ; } | awk -F: '{
  split("", count)
  for (i = 3; i <= NF; i++) count[$i]++
  same = $3
  for (wait in count) if (count[wait] > count[same]) same = wait
  printf "%s, %d failed: ", $1, $2
  if (count[same] == 1000) printf "all wait for %d ms\n", same
  else if (count["0"] > 400 && count["0"] < 600) print "half do not wait"
  else print count[same] < 50 ? "spread" : "?"
}' >have
diff want have
cat have
