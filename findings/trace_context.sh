#!/usr/bin/env bash
# A request that belongs to a trace carries the fields traceparent and tracestate, and a service sends them on with its own requests. Several lines of
# tracestate "MUST be combined into a single header", and "empty and whitespace-only list members are allowed" (W3C Trace Context, "tracestate Header
# Field Values"). A later version of traceparent may have more after the flags ("Versioning of traceparent"). Level 2 adds a flag for random trace ids:
# if it is set on the way in, "it MUST also be set in all outgoing traceparent headers".
#
# Guessed: OpenTelemetry for Go 1.47.0 reads only the first line of tracestate, drops a list that has an empty member, and refuses the flag of level 2;
# the others read everything. Seen: OpenTelemetry passes the flag on, but Datadog's tracers (Go 2.12.0, npm 6.21.0) clear it, and the one for Go reads
# only the last line of tracestate. Elastic's for Go 2.6.0 drops a list with an empty member, too, or with a key that begins with a digit, which is
# allowed; Elastic's for npm 4.18.0 starts a new trace when the version is a later one.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
go, OpenTelemetry: two lines: a=1; an empty member: nothing
go, Datadog: two lines: b=2; flag random: 01
go, Elastic: an empty member: nothing; a key with a digit: nothing
npm, OpenTelemetry: all well
npm, Datadog: flag random: 01
npm, Elastic: a later version: another trace
END
npm install --silent --no-fund --no-audit --prefix . @opentelemetry/core@3.1.1 @opentelemetry/api@1.10.0 dd-trace@6.21.0 elastic-apm-node@4.18.0 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/DataDog/dd-trace-go/v2 v2.12.0
	go.elastic.co/apm/module/apmhttp/v2 v2.6.0
	go.elastic.co/apm/v2 v2.6.0
	go.opentelemetry.io/otel v1.47.0
)
END
# Each answers a request with the fields that it would send on.
cat >main.go <<'END'
package main

import (
	"fmt"
	"net"
	"net/http"

	"github.com/DataDog/dd-trace-go/v2/ddtrace/tracer"
	"go.elastic.co/apm/module/apmhttp/v2"
	"go.elastic.co/apm/v2"
	"go.opentelemetry.io/otel/propagation"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

type quiet struct{}

func (quiet) Log(string) {}

// echo is a backend: its answer has the fields of the request.
type echo struct{}

func (echo) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: r.Header, Body: http.NoBody, Request: r}, nil
}

func otel(w http.ResponseWriter, r *http.Request) {
	trace := propagation.TraceContext{}
	trace.Inject(trace.Extract(r.Context(), propagation.HeaderCarrier(r.Header)), propagation.HeaderCarrier(w.Header()))
}

func datadog(w http.ResponseWriter, r *http.Request) {
	parent, err := tracer.Extract(tracer.HTTPHeadersCarrier(r.Header))
	check(err)
	span := tracer.StartSpan("work", tracer.ChildOf(parent))
	check(tracer.Inject(span.Context(), tracer.HTTPHeadersCarrier(w.Header())))
}

func elastic(w http.ResponseWriter, r *http.Request) {
	client := apmhttp.WrapClient(&http.Client{Transport: echo{}})
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://backend/", nil)
	check(err)
	answer, err := client.Do(request)
	check(err)
	for _, name := range []string{"Traceparent", "Tracestate"} {
		w.Header()[name] = answer.Header[name]
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	check(tracer.Start(tracer.WithHTTPClient(&http.Client{Transport: echo{}}), tracer.WithLogger(quiet{}), tracer.WithLogStartup(false)))
	apmTracer, err := apm.NewTracerOptions(apm.TracerOptions{})
	check(err)
	http.HandleFunc("/OpenTelemetry", otel)
	http.HandleFunc("/Datadog", datadog)
	http.Handle("/Elastic", apmhttp.Wrap(http.HandlerFunc(elastic), apmhttp.WithTracer(apmTracer)))
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, nil))
}
END
cat >serve.cjs <<'END'
const http = require('node:http')
const api = require('@opentelemetry/api')
const { W3CTraceContextPropagator } = require('@opentelemetry/core')
const tracer = require('dd-trace').init({ startupLogs: false, flushInterval: 1e6 })
const apm = require('elastic-apm-node').start({ instrument: false, centralConfig: false, metricsInterval: '0s', logLevel: 'off' })

const services = {
  '/OpenTelemetry': (incoming, outgoing) => {
    const trace = new W3CTraceContextPropagator()
    trace.inject(trace.extract(api.ROOT_CONTEXT, incoming, api.defaultTextMapGetter), outgoing, api.defaultTextMapSetter)
  },
  '/Datadog': (incoming, outgoing) => {
    tracer.inject(tracer.startSpan('work', { childOf: tracer.extract('http_headers', incoming) }), 'http_headers', outgoing)
  },
  '/Elastic': (incoming, outgoing) => {
    const transaction = apm.startTransaction('work', 'request', { childOf: incoming.traceparent, tracestate: incoming.tracestate })
    transaction.propagateTraceContextHeaders(outgoing, (carrier, name, value) => { carrier[name] = value })
  },
}
const server = http.createServer((request, response) => {
  const outgoing = {}
  services[request.url](request.headers, outgoing)
  for (const name of ['traceparent', 'tracestate']) if (outgoing[name]) response.setHeader(name, outgoing[name])
  response.end()
}).listen(0, '127.0.0.1', () => console.log(server.address().port))
END
cat >main.mjs <<'END'
import http from 'node:http'
import { once } from 'node:events'

const ports = { go: process.argv[2], npm: process.argv[3] }
const id = '0af7651916cd43dd8448eb211c80319c'
const parent = (flags) => ['traceparent', `00-${id}-b7ad6b7169203331-${flags}`]
const cases = {
  'one line': [[...parent('01'), 'tracestate', 'a=1,b=2'], 'a=1,b=2'],
  'two lines': [[...parent('01'), 'tracestate', 'a=1', 'tracestate', 'b=2'], 'a=1,b=2'],
  'an empty member': [[...parent('01'), 'tracestate', 'a=1, ,b=2'], 'a=1,b=2'],
  'a key with a digit': [[...parent('01'), 'tracestate', '0t@a=1,b=2'], '0t@a=1,b=2'],
  'a later version': [['traceparent', `01-${id}-b7ad6b7169203331-01-more`, 'tracestate', 'a=1,b=2'], 'a=1,b=2'],
  'flag random': [[...parent('03'), 'tracestate', 'a=1,b=2'], 'a=1,b=2', '03'],
}
for (const [language, port] of Object.entries(ports)) {
  for (const name of ['OpenTelemetry', 'Datadog', 'Elastic']) {
    const wrong = []
    for (const [what, [headers, state, flags = '01']] of Object.entries(cases)) {
      const request = http.get({ host: '127.0.0.1', port, path: `/${name}`, agent: false, headers: ['Host', 'service', ...headers] })
      const [answer] = await once(request, 'response')
      answer.resume()
      const [, trace, , sent] = (answer.headers.traceparent ?? '').split('-')
      // A tracer may put a member of its own in front.
      const members = (answer.headers.tracestate ?? '').split(',').map((member) => member.trim()).filter((member) => member && !/^(dd|es)=/.test(member))
      if (trace !== id) wrong.push(`${what}: another trace`)
      else if (sent !== flags) wrong.push(`${what}: ${sent}`)
      else if (members.join() !== state) wrong.push(`${what}: ${members.join() || 'nothing'}`)
    }
    console.log(`${language}, ${name}: ${wrong.join('; ') || 'all well'}`)
  }
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
export DD_INSTRUMENTATION_TELEMETRY_ENABLED=false DD_REMOTE_CONFIGURATION_ENABLED=false DD_TRACE_AGENT_URL=http://127.0.0.1:1 ELASTIC_APM_SERVER_URL=http://127.0.0.1:1
./main >go.port 2>/dev/null &
node --no-warnings serve.cjs >npm.port 2>/dev/null &
until [ -s go.port ] && [ -s npm.port ]; do sleep 0.1; done
timeout 60 node --no-warnings main.mjs "$(cat go.port)" "$(cat npm.port)" >have
diff want have
cat have
