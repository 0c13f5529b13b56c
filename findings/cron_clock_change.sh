#!/usr/bin/env bash
# In Berlin 02:30 does not exist on 29 March 2026, and exists twice on 25 October. Debian's cron(8) defines what happens
# to jobs. A job at a fixed time that is skipped runs "soon after the change", and one whose time comes a second time
# does not run again. A job with a wildcard follows the new time at once, so that an hourly job runs every hour. No
# other standard exists, but a user who moves jobs from cron to a library expects the same.
#
# Guessed: robfig/cron 3.0.1 never runs the job in spring, as it documents, and runs it twice in autumn; most others do
# as cron does, and all run an hourly job every hour. Seen: 4 of 16 do as cron does: npm's croner 11.0.0, cron 4.4.0 and
# cron-parser 5.10.5, and Python's APScheduler 3.9.1. Seven skip the daily job in spring, and five of these run it twice
# in autumn, such as node-schedule 2.1.1 with a rule. Six skip an hour of the hourly job in autumn; cronosjs 1.7.1
# documents this. croniter 1.3.5 runs both jobs twice in spring, and the daily one also at 01:30.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
npm, croner: 02:30 in spring: 03:00, in autumn: 02:30, hourly in spring: well, in autumn: well
npm, cron: 02:30 in spring: 03:00, in autumn: 02:30, hourly in spring: well, in autumn: well
npm, cron-parser: 02:30 in spring: 03:30, in autumn: 02:30, hourly in spring: well, in autumn: well
npm, node-schedule: 02:30 in spring: never, in autumn: 02:30 and 02:30, hourly in spring: well, in autumn: well
npm, @breejs/later: 02:30 in spring: never, in autumn: 02:30 and 02:30, hourly in spring: well, in autumn: well
npm, cron-schedule: 02:30 in spring: 03:30, in autumn: 02:30, hourly in spring: well, in autumn: an hour is left out
npm, cronosjs: 02:30 in spring: 03:00, in autumn: 02:30, hourly in spring: well, in autumn: an hour is left out
npm, cron-converter: 02:30 in spring: never, in autumn: 02:30 and 02:30, hourly in spring: well, in autumn: well
go, robfig: 02:30 in spring: never, in autumn: 02:30 and 02:30, hourly in spring: well, in autumn: well
go, gronx: 02:30 in spring: never, in autumn: 02:30, hourly in spring: well, in autumn: an hour is left out
go, cronexpr: 02:30 in spring: never, in autumn: 02:30 and 02:30, hourly in spring: well, in autumn: well
go, go-quartz: 02:30 in spring: 03:30, in autumn: 02:30, hourly in spring: well, in autumn: an hour is left out
python, croniter: 02:30 in spring: 01:30 and 03:30, in autumn: 02:30, hourly in spring: twice at once, in autumn: well
python, APScheduler: 02:30 in spring: 03:30, in autumn: 02:30, hourly in spring: well, in autumn: well
ruby, fugit: 02:30 in spring: never, in autumn: 02:30, hourly in spring: well, in autumn: an hour is left out
perl, Schedule::Cron: 02:30 in spring: 03:30, in autumn: 02:30, hourly in spring: well, in autumn: an hour is left out
END
npm install --silent --no-fund --no-audit --prefix . croner@11.0.0 cron@4.4.0 cron-parser@5.10.5 node-schedule@2.1.1 @breejs/later@4.2.0 cron-schedule@6.0.0 \
  cronosjs@1.7.1 cron-converter@2.1.0 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  python3-croniter python3-apscheduler python3-tz ruby ruby-fugit libschedule-cron-perl ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export PERL5LIB="$dir/root/usr/share/perl5:$dir/root/$libs/perl5/5.36"
RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0:$dir/root/usr/lib/ruby/vendor_ruby"
for gem in "$dir"/root/usr/share/rubygems-integration/all/gems/*/lib; do
  RUBYLIB+=:$gem:$gem/concurrent-ruby
done
export RUBYLIB
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/adhocore/gronx v1.20.4
	github.com/hashicorp/cronexpr v1.1.3
	github.com/reugn/go-quartz v0.15.2
	github.com/robfig/cron/v3 v3.0.1
)
END
# Each gets a line of crontab and two times in seconds, and prints when the job runs between them.
cat >main.go <<'END'
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/adhocore/gronx"
	"github.com/hashicorp/cronexpr"
	"github.com/reugn/go-quartz/quartz"
	"github.com/robfig/cron/v3"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	spec := os.Args[2]
	at, end := must(strconv.ParseInt(os.Args[3], 10, 64)), must(strconv.ParseInt(os.Args[4], 10, 64))
	next := map[string]func() func(time.Time) time.Time{
		"robfig": func() func(time.Time) time.Time { return must(cron.ParseStandard(spec)).Next },
		"gronx": func() func(time.Time) time.Time {
			return func(t time.Time) time.Time { return must(gronx.NextTickAfter(spec, t, false)) }
		},
		"cronexpr": func() func(time.Time) time.Time { return must(cronexpr.Parse(spec)).Next },
		"go-quartz": func() func(time.Time) time.Time {
			trigger := must(quartz.NewCronTriggerWithLoc("0 "+strings.TrimSuffix(spec, "*")+"?", time.Local))
			return func(t time.Time) time.Time { return time.Unix(0, must(trigger.NextFireTime(t.UnixNano()))) }
		},
	}[os.Args[1]]()
	for at = next(time.Unix(at, 0)).Unix(); at <= end; at = next(time.Unix(at, 0)).Unix() {
		fmt.Println(at)
	}
}
END
cat >main.py <<'END'
import sys
from datetime import datetime
import pytz
name, spec, start, end = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
zone = pytz.timezone('Europe/Berlin')
at = datetime.fromtimestamp(start, zone)
if name == 'croniter':
    from croniter import croniter
    jobs = croniter(spec, at)
    following = lambda at: jobs.get_next(datetime)
else:
    from apscheduler.triggers.cron import CronTrigger
    trigger = CronTrigger.from_crontab(spec, timezone=zone)
    following = lambda at: trigger.get_next_fire_time(at, at)
at = following(at)
while at.timestamp() <= end:
    print(int(at.timestamp()))
    at = following(at)
END
cat >main.rb <<'END'
require 'fugit'
spec, start, last = ARGV[0], ARGV[1].to_i, ARGV[2].to_i
jobs = Fugit::Cron.parse("#{spec} Europe/Berlin")
at = jobs.next_time(EtOrbi::EoTime.new(start, 'Europe/Berlin'))
while at.to_i <= last
  puts at.to_i
  at = jobs.next_time(at)
end
END
cat >main.pl <<'END'
use Schedule::Cron;
my ($spec, $at, $end) = @ARGV;
my $cron = Schedule::Cron->new(sub {});
while (($at = $cron->get_next_execution_time($spec, $at)) <= $end) { print "$at\n" }
END
cat >main.mjs <<'END'
import { createRequire } from 'node:module'
import { execFile } from 'node:child_process'
import { Cron } from 'croner'
import { CronTime } from 'cron'
import { CronExpressionParser } from 'cron-parser'
import { CronosExpression } from 'cronosjs'
import { parseCronExpression } from 'cron-schedule'
import { getSchedule, stringToArray } from 'cron-converter'

const require = createRequire(import.meta.url)
const { RecurrenceRule } = require('node-schedule')
const later = require('@breejs/later')
const zone = 'Europe/Berlin'

// Each gives a function for the run after a time.
const libraries = {
  'croner': (spec) => { const job = new Cron(spec, { timezone: zone, paused: true }); return (at) => job.nextRun(at) },
  'cron': (spec) => { const job = new CronTime(spec, zone); return (at) => job.getNextDateFrom(at, zone).toJSDate() },
  'cron-parser': (spec, start) => { const job = CronExpressionParser.parse(spec, { currentDate: start, tz: zone }); return () => job.next().toDate() },
  'node-schedule': (spec) => {
    const [minute, hour] = spec.split(' ')
    const rule = Object.assign(new RecurrenceRule(), { tz: zone, second: 0, minute: Number(minute) }, hour === '*' ? {} : { hour: Number(hour) })
    return (at) => rule.nextInvocationDate(at)
  },
  '@breejs/later': (spec) => {
    later.date.localTime()
    const job = later.schedule(later.parse.cron(spec))
    return (at) => job.next(1, new Date(at.getTime() + 1000))
  },
  'cron-schedule': (spec) => { const job = parseCronExpression(spec); return (at) => job.getNextDate(at) },
  'cronosjs': (spec) => { const job = CronosExpression.parse(spec, { timezone: zone }); return (at) => job.nextDate(at) },
  'cron-converter': (spec, start) => { const job = getSchedule(stringToArray(spec), start, zone); return () => job.next().toJSDate() },
}
const clients = {}
for (const [name, open] of Object.entries(libraries)) {
  clients[`npm, ${name}`] = (spec, start, end) => {
    const next = open(spec, new Date(start * 1000))
    const runs = []
    for (let at = next(new Date(start * 1000)); at <= end * 1000; at = next(at)) runs.push(at / 1000)
    return runs
  }
}
const command = (...args) => (...rest) => new Promise((done) => {
  execFile(args[0], [...args.slice(1), ...rest], { timeout: 30000 }, (error, stdout) => {
    if (error) throw error
    done(stdout.split('\n').filter(Boolean).map(Number))
  })
})
for (const name of ['robfig', 'gronx', 'cronexpr', 'go-quartz']) clients[`go, ${name}`] = command('./main', name)
for (const name of ['croniter', 'APScheduler']) clients[`python, ${name}`] = command('/usr/bin/python3', 'main.py', name)
clients['ruby, fugit'] = command('ruby3.1', 'main.rb')
clients['perl, Schedule::Cron'] = command('perl', 'main.pl')

const seconds = (time) => Date.parse(time) / 1000
const spring = [seconds('2026-03-28T22:30Z'), seconds('2026-03-29T20:00Z')]
const autumn = [seconds('2026-10-24T22:30Z'), seconds('2026-10-25T20:00Z')]
const clock = new Intl.DateTimeFormat('en-GB', { timeZone: zone, hour: '2-digit', minute: '2-digit' })
const daily = (runs) => runs.map((at) => clock.format(at * 1000)).join(' and ') || 'never'
const hourly = (runs, [start]) => {
  const gaps = new Set(runs.map((at, i) => at - (i ? runs[i - 1] : start - 1800)))
  return gaps.has(7200) ? 'an hour is left out' : gaps.has(0) ? 'twice at once' : gaps.size === 1 ? 'well' : 'irregular'
}
for (const [name, runs] of Object.entries(clients)) {
  const told = [
    `02:30 in spring: ${daily(await runs('30 2 * * *', ...spring))}`,
    `in autumn: ${daily(await runs('30 2 * * *', ...autumn))}`,
    `hourly in spring: ${hourly(await runs('0 * * * *', ...spring), spring)}`,
    `in autumn: ${hourly(await runs('0 * * * *', ...autumn), autumn)}`,
  ]
  console.log(`${name}: ${told.join(', ')}`)
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
TZ=Europe/Berlin timeout 200 node --no-warnings main.mjs >have
diff want have
cat have
