#!/usr/bin/env bash
# CloudEvents can send the attributes of an event as HTTP fields (binary mode). Spaces, double quotes, percent signs and
# all characters outside ASCII "MUST be percent-encoded" there, and a receiver must decode the values once (HTTP
# Protocol Binding 1.0.2, 3.1.3.2): "5 €" is sent as "5%20%E2%82%AC". The subject of an event is often the name of a
# file or of a thing, in any language.
#
# Guessed: sdk-go 2.16.2 and npm's cloudevents 10.0.0 send a subject without encoding it, and do not decode the one that
# they receive. Seen: as guessed. In both, a value that the sender encoded as the binding requires stays encoded. npm's
# package reads a different text for "Straße", even from itself. It cannot send "5 €", because Node refuses the field.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
the binding to sdk-go: "a b": a%20b, "100%": 100%25, "Straße": Stra%C3%9Fe, "5 €": 5%20%E2%82%AC
the binding to npm: "a b": a%20b, "100%": 100%25, "Straße": Stra%C3%9Fe, "5 €": 5%20%E2%82%AC
sdk-go to sdk-go: "a b": well, "100%": well, "Straße": well, "5 €": well
sdk-go to npm: "a b": well, "100%": well, "Straße": another text, "5 €": another text
npm to sdk-go: "a b": well, "100%": well, "Straße": well, "5 €": ERR_INVALID_CHAR
npm to npm: "a b": well, "100%": well, "Straße": another text, "5 €": ERR_INVALID_CHAR
END
npm install --silent --no-fund --no-audit --prefix . cloudevents@10.0.0 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require github.com/cloudevents/sdk-go/v2 v2.16.2
END
# It serves, or sends an event with a subject; a server answers with the subject that it reads.
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	if len(os.Args) == 1 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		fmt.Println(listener.Addr().(*net.TCPAddr).Port)
		panic(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			event, err := cloudevents.NewEventFromHTTPRequest(r)
			check(err)
			fmt.Fprint(w, event.Subject())
		})))
	}
	event := cloudevents.NewEvent()
	event.SetID("1")
	event.SetType("type")
	event.SetSource("/source")
	event.SetSubject(os.Args[2])
	check(event.SetData("text/plain", "data"))
	request, err := http.NewRequest(http.MethodPost, os.Args[1], nil)
	check(err)
	check(cehttp.WriteRequest(binding.WithForceBinary(context.Background()), binding.ToMessage(&event), request))
	answer, err := http.DefaultClient.Do(request)
	check(err)
	_, err = io.Copy(os.Stdout, answer.Body)
	check(err)
}
END
cat >main.mjs <<'END'
import http from 'node:http'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { CloudEvent, HTTP } from 'cloudevents'

const server = http.createServer(async (request, response) => {
  let body = ''
  for await (const part of request) body += part
  response.end(HTTP.toEvent({ headers: request.headers, body }).subject)
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const receivers = { 'sdk-go': process.argv[2], npm: server.address().port }

const post = async (url, headers, body) => {
  const request = http.request(url, { method: 'POST', headers, agent: false }).end(body)
  const [response] = await once(request, 'response')
  let text = ''
  for await (const part of response) text += part
  return text
}
const fields = (subject) => ({ id: '1', type: 'type', source: '/source', subject })
const encoded = (subject) => subject.replace(/[^!#$&-~]/gu, (character) => [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''))
const senders = {
  'the binding': (url, subject) => {
    const headers = { 'ce-specversion': '1.0', 'content-type': 'text/plain' }
    for (const [name, value] of Object.entries(fields(subject))) headers[`ce-${name}`] = encoded(value)
    return post(url, headers, 'data')
  },
  'sdk-go': async (url, subject) => {
    const sender = spawn('./main', [url, subject])
    let text = ''
    for await (const part of sender.stdout) text += part
    return text
  },
  npm: (url, subject) => {
    const { headers, body } = HTTP.binary(new CloudEvent({ ...fields(subject), datacontenttype: 'text/plain', data: 'data' }))
    return post(url, headers, body)
  },
}
for (const [sender, send] of Object.entries(senders)) {
  for (const [receiver, port] of Object.entries(receivers)) {
    const told = []
    for (const subject of ['a b', '100%', 'Straße', '5 €']) {
      const got = await send(`http://127.0.0.1:${port}/`, subject).catch((err) => err.code)
      told.push(`"${subject}": ${got === subject ? 'well' : /^[ -~]+$/.test(got) ? got : 'another text'}`)
    }
    console.log(`${sender} to ${receiver}: ${told.join(', ')}`)
  }
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
./main >port 2>/dev/null &
until [ -s port ]; do sleep 0.1; done
timeout 60 node --no-warnings main.mjs "$(cat port)" >have
diff want have
cat have
