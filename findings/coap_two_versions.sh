#!/usr/bin/env bash
# A CoAP representation that does not fit into one message is sent in blocks, and the client requests each by itself. If
# the representation may change meanwhile, each block has an ETag. A client that combines the blocks has to compare
# these; if they differ, it can ask for the first blocks again (RFC 7959, 2.4).
#
# Guessed: neither npm's coap 1.5.0 nor plgd-dev/go-coap 3.8.0 compares. Seen: go-coap does, and starts again. npm's
# coap gives the program the beginning of one version and the end of another as one answer, with the ETag of the other
# and without an error.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
coap: block 0 version 1, block 1 version 2, block 2 version 2: 2.05, ETag 2, 16 A and 32 B
go-coap: block 0 version 1, block 1 version 2, block 0 version 2, block 1 version 2, block 2 version 2: 2.05, ETag 2, 0 A and 48 B
END
npm install --silent --no-fund --no-audit --prefix . coap@1.5.0 coap-packet@1.1.1 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require github.com/plgd-dev/go-coap/v3 v3.8.0
END
cat >main.go <<'END'
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/plgd-dev/go-coap/v3/udp"
)

func main() {
	client, err := udp.Dial(os.Args[1])
	if err != nil {
		panic(err)
	}
	answer, err := client.Get(context.Background(), "/a")
	if err != nil {
		panic(err)
	}
	text, err := answer.ReadBody()
	if err != nil {
		panic(err)
	}
	etag, err := answer.ETag()
	if err != nil {
		panic(err)
	}
	fmt.Printf("2.%02d, ETag %d, %d A and %d B\n", answer.Code()&31, etag[0], strings.Count(string(text), "A"), strings.Count(string(text), "B"))
}
END
cat >main.mjs <<'END'
import dgram from 'node:dgram'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import coap from 'coap'
import packets from 'coap-packet'

// A resource of three blocks of 16 bytes, which changes after the first block that was asked for: 48 A become 48 B.
let log
const server = dgram.createSocket('udp4')
server.on('message', (data, from) => {
  const asked = packets.parse(data)
  if (asked.code === '0.00') return
  const block = asked.options.find((option) => option.name === 'Block2')
  const number = block?.value.length ? block.value[0] >> 4 : 0
  const version = log.length === 0 ? 1 : 2
  log.push(`block ${number} version ${version}`)
  const options = [
    { name: 'ETag', value: Buffer.from([version]) },
    { name: 'Block2', value: Buffer.from([number << 4 | (number < 2 ? 8 : 0)]) },
  ]
  const payload = Buffer.from((version === 1 ? 'A' : 'B').repeat(16))
  server.send(packets.generate({ code: '2.05', ack: true, messageId: asked.messageId, token: asked.token, options, payload }), from.port, from.address)
})
await new Promise((ready) => server.bind(0, '127.0.0.1', ready))
const { port } = server.address()

const clients = {
  coap: () => new Promise((done, failed) => {
    const request = coap.request({ hostname: '127.0.0.1', port, pathname: '/a' })
    request.on('error', failed)
    request.on('response', (res) => {
      let text = ''
      res.on('data', (data) => { text += data })
      res.on('end', () => done(`${res.code}, ETag ${Buffer.from(res.headers.ETag)[0]}, ${text.split('A').length - 1} A and ${text.split('B').length - 1} B`))
    })
    request.end()
  }),
  'go-coap': async () => (await promisify(execFile)('./main', [`127.0.0.1:${port}`])).stdout.trim(),
}
for (const [name, get] of Object.entries(clients)) {
  log = []
  const seen = await get()
  console.log(`${name}: ${log.join(', ')}: ${seen}`)
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node main.mjs >have
diff want have
cat have
