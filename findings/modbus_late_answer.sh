#!/usr/bin/env bash
# A Modbus/TCP answer carries the transaction identifier of its request. A client can therefore distinguish an answer
# that arrives after its timeout from the one that it waits for: it drops an answer that belongs to no open request
# (MODBUS Messaging on TCP/IP Implementation Guide V1.0b).
#
# Guessed: npm's jsmodbus 5.0.0 and modbus-serial 8.0.25 and simonvetter/modbus 1.6.4 (Go) drop a late answer. Seen:
# jsmodbus takes it for the answer to the next request. This request fails as OutOfSync, so that its own answer is late
# in turn. After one answer that took too long, every request of a program that polls without a pause fails, although
# the device answers each in time.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
jsmodbus: the first: Timeout, the next 20: 20 OutOfSync; 1 connections
modbus-serial: the first: ETIMEDOUT, the next 20: 20 right; 1 connections
simonvetter/modbus: the first: request timed out, the next 20: 20 right; 1 connections
END
npm install --silent --no-fund --no-audit --prefix . jsmodbus@5.0.0 modbus-serial@8.0.25 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require github.com/simonvetter/modbus v1.6.4
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/simonvetter/modbus"
)

// Reads register 1 of the device that is named, register 2, and so on, and prints what it gets, one a line.
func main() {
	client, err := modbus.NewClient(&modbus.ClientConfiguration{URL: "tcp://" + os.Args[1], Timeout: 500 * time.Millisecond, Logger: log.New(io.Discard, "", 0)})
	if err != nil {
		panic(err)
	}
	if err := client.Open(); err != nil {
		panic(err)
	}
	for address := uint16(1); address <= 21; address++ {
		value, err := client.ReadRegister(address, modbus.HOLDING_REGISTER)
		if err != nil {
			fmt.Println(err)
		} else {
			fmt.Println(value)
		}
	}
}
END
cat >main.mjs <<'END'
import net from 'node:net'
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
const require = createRequire(import.meta.url)
const jsmodbus = require('jsmodbus')
const ModbusSerial = require('modbus-serial')

// A device that answers one request after the other, the first of a connection after 700 ms and each other after 100; a register has
// its address as value.
let connections
const device = net.createServer((socket) => {
  connections++
  let free = 0
  let pause = 700
  socket.on('error', () => {})
  socket.on('data', (data) => {
    for (; data.length >= 12; data = data.subarray(12)) {
      const answer = Buffer.concat([data.subarray(0, 4), Buffer.from([0, 5]), data.subarray(6, 8), Buffer.from([2]), data.subarray(8, 10)])
      free = Math.max(free, Date.now()) + pause
      pause = 100
      setTimeout(() => socket.write(answer), free - Date.now())
    }
  })
})
await new Promise((ready) => device.listen(0, '127.0.0.1', ready))
const port = device.address().port

const poll = async (read) => {
  const values = []
  for (let address = 1; address <= 21; address++) values.push(await read(address).catch((err) => err.errno ?? err.err))
  return values
}
const clients = {
  jsmodbus: async () => {
    const socket = new net.Socket()
    const client = new jsmodbus.client.TCP(socket, 1, 500)
    await new Promise((connected) => socket.connect(port, '127.0.0.1', connected))
    return poll(async (address) => (await client.readHoldingRegisters(address, 1)).response.body.values[0])
  },
  'modbus-serial': async () => {
    const client = new ModbusSerial()
    await client.connectTCP('127.0.0.1', { port })
    client.setID(1)
    client.setTimeout(500)
    return poll(async (address) => (await client.readHoldingRegisters(address, 1)).data[0])
  },
  'simonvetter/modbus': async () => (await promisify(execFile)('./main', [`127.0.0.1:${port}`])).stdout.trim().split('\n'),
}
for (const [name, run] of Object.entries(clients)) {
  connections = 0
  const [first, ...others] = await run()
  const count = {}
  for (const [i, value] of others.entries()) {
    const kind = String(value) === String(i + 2) ? 'right' : value
    count[kind] = (count[kind] ?? 0) + 1
  }
  const next = Object.entries(count).map(([kind, n]) => `${n} ${kind}`).join(', ')
  console.log(`${name}: the first: ${first}, the next 20: ${next}; ${connections} connections`)
}
process.exit()
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
timeout 60 node main.mjs >have
diff want have
cat have
