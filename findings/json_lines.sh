#!/usr/bin/env bash
# Servers send progress, the words of a language model or the changes of a database as lines of JSON, one value a line.
# A JSON string may contain U+0085, U+2028 and U+2029 unescaped: only the quotation mark, the backslash and U+0000 to
# U+001F need an escape (RFC 8259, 7). So a line ends at LF and nowhere else (NDJSON 1.0, 3.1). TCP may split the stream
# anywhere, even inside a character.
#
# Guessed: Node 20's readline, npm's byline 5.0.0 and Python's requests 2.28.1 (iter_lines with decode_unicode) split
# lines at these characters. The others read everything, except Go's bufio.Scanner, whose limit of 64 KiB is documented.
# Seen: readline is right. byline, jsonlines 0.1.1, readline-transform 2.0.0 and docker-modem 5.0.7 (followProgress)
# lose a character that arrives in two segments, without an error. JSONStream 1.3.5 fails if
# that character has four bytes.
# linebyline 1.3.0 cuts a line after 4096 bytes, and aiohttp 3.8.4 refuses a line of 200000.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
go, Scanner: 200000 bytes: error
go, Decoder: all well
python, urllib: all well
python, requests: all well
python, requests_text: U+0085: error, U+2028: error, U+2029: error
python, httpx: all well
python, aiohttp: 200000 bytes: error
ruby, Net::HTTP: all well
node, readline: all well
npm, byline: U+0085: error, U+2028: error, U+2029: error, a cut é: another text, a cut 😀: another text
npm, split2: all well
npm, split: all well
npm, binary-split: all well
npm, ndjson: all well
npm, jsonlines: a cut é: another text, a cut 😀: another text
npm, JSONStream: a cut 😀: error
npm, stream-json: all well
npm, readline-transform: a cut é: another text, a cut 😀: another text
npm, linebyline: 5000 bytes: error, 200000 bytes: error
npm, line-reader: all well
npm, docker-modem: a cut é: another text, a cut 😀: another text
npm, ollama: all well
npm, can-ndjson-stream: all well
npm, ndjson-readablestream: all well
npm, it-ndjson: all well
END
npm install --silent --no-fund --no-audit --prefix . byline@5.0.0 split2@4.2.0 split@1.0.1 binary-split@1.0.5 ndjson@2.0.0 jsonlines@0.1.1 JSONStream@1.3.5 \
  stream-json@3.8.0 readline-transform@2.0.0 linebyline@1.3.0 line-reader@0.4.0 docker-modem@5.0.7 ollama@0.6.4 can-ndjson-stream@1.0.2 \
  ndjson-readablestream@1.4.0 it-ndjson@2.0.0 >log 2>&1 || { cat log; exit 1; }
mkdir -p archives/partial
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  python3-requests python3-httpx python3-aiohttp ruby ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
rm -rf archives
libs=usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH="$dir/root/$libs" PATH="$PATH:$dir/root/usr/bin" PYTHONPATH="$dir/root/usr/lib/python3/dist-packages"
export RUBYLIB="$dir/root/usr/lib/ruby/3.1.0:$dir/root/$libs/ruby/3.1.0"
cat >go.mod <<'END'
module finding

go 1.26
END
# Each client gets the URLs one after the other, and prints the values that it reads, or "error", and then "end" on a line of its own.
cat >main.go <<'END'
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	for _, url := range os.Args[2:] {
		read(url)
		fmt.Println("end")
	}
}

func read(url string) {
	answer, err := http.Get(url)
	if err != nil {
		panic(err)
	}
	var next func() (json.RawMessage, error)
	if os.Args[1] == "Scanner" {
		scanner := bufio.NewScanner(answer.Body)
		next = func() (value json.RawMessage, err error) {
			if !scanner.Scan() {
				return nil, cmp.Or(scanner.Err(), io.EOF)
			}
			return value, json.Unmarshal(scanner.Bytes(), &value)
		}
	} else {
		decoder := json.NewDecoder(answer.Body)
		next = func() (value json.RawMessage, err error) { return value, decoder.Decode(&value) }
	}
	for {
		value, err := next()
		if err == io.EOF {
			return
		} else if err != nil {
			fmt.Println("error")
			return
		}
		fmt.Println(string(value))
	}
}
END
cat >main.py <<'END'
import asyncio, json, sys
name, urls = sys.argv[1], sys.argv[2:]

def urllib(url):
    import urllib.request
    yield from urllib.request.urlopen(url)

def requests(url):
    import requests
    yield from requests.get(url, stream=True).iter_lines()

def requests_text(url):
    import requests
    yield from requests.get(url, stream=True).iter_lines(decode_unicode=True)

def httpx(url):
    import httpx
    with httpx.stream('GET', url) as answer:
        yield from answer.iter_lines()

async def aiohttp(url):
    import aiohttp
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        async for line in answer.content:
            yield line

async def all_of(lines):
    return [line async for line in lines]

for url in urls:
    try:
        lines = globals()[name](url)
        for line in asyncio.run(all_of(lines)) if name == 'aiohttp' else lines:
            if line.strip():
                print(json.dumps(json.loads(line)))
    except ImportError:
        raise
    except Exception:
        print('error')
    print('end')
END
cat >main.rb <<'END'
require 'net/http'
require 'json'
ARGV.each do |url|
  buffer = +''
  Net::HTTP.get_response(URI(url)) do |answer|
    answer.read_body do |part|
      buffer << part
      puts JSON.generate(JSON.parse($1), ascii_only: true) while buffer.sub!(/\A(.*)\n/, '')
    end
  end
  puts 'end'
end
END
cat >main.mjs <<'END'
import http from 'node:http'
import net from 'node:net'
import readline from 'node:readline'
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { once } from 'node:events'

const require = createRequire(import.meta.url)
const texts = { plain: 'a b', 'U+0085': 'a\u0085b', 'U+2028': 'a\u2028b', 'U+2029': 'a\u2029b', 'a cut é': 'é', 'a cut 😀': '😀', '5000 bytes': 'x'.repeat(5000), '200000 bytes': 'x'.repeat(200000) }
const values = (text) => [1, 2].map((id) => ({ id, text, done: id === 2 }))
const server = http.createServer(async (request, response) => {
  const what = decodeURIComponent(request.url.split('/')[1])
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson; charset=utf-8' })
  const body = Buffer.from(values(texts[what]).map((value) => JSON.stringify(value) + '\n').join(''))
  if (!what.startsWith('a cut')) return response.end(body)
  // Each character is cut after each of its bytes.
  let at = 0
  for (let next; (next = body.findIndex((byte, i) => i >= at && byte >= 0x80)) >= 0; at = next + 1) {
    response.write(body.subarray(at, next + 1))
    await new Promise((later) => setTimeout(later, 50))
  }
  response.end(body.subarray(at))
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const base = `http://127.0.0.1:${server.address().port}`

const get = async (url) => (await once(http.get(url, { agent: false }), 'response'))[0]
const all = (emitter, name = 'data', end = 'end') => new Promise((done, failed) => {
  const got = []
  emitter.on(name, (item) => got.push(item)).on(end, () => done(got)).on('error', failed)
})
const parsed = (lines) => lines.map(String).filter(Boolean).map((line) => JSON.parse(line))
const collect = async (items) => {
  const got = []
  for await (const item of items) got.push(item)
  return got
}
const clients = {
  'node, readline': async (url) => parsed(await collect(readline.createInterface(await get(url)))),
  'npm, byline': async (url) => parsed(await all(require('byline').createStream(await get(url)))),
  'npm, split2': async (url) => parsed(await all((await get(url)).pipe(require('split2')()))),
  'npm, split': async (url) => parsed(await all((await get(url)).pipe(require('split')()))),
  'npm, binary-split': async (url) => parsed(await all((await get(url)).pipe(require('binary-split')()))),
  'npm, ndjson': async (url) => all((await get(url)).pipe(require('ndjson').parse())),
  'npm, jsonlines': async (url) => all((await get(url)).pipe(require('jsonlines').parse())),
  'npm, JSONStream': async (url) => all((await get(url)).pipe(require('JSONStream').parse())),
  'npm, stream-json': async (url) => {
    const { default: parser } = await import('stream-json/jsonl/parser.js')
    return (await all((await get(url)).pipe((parser.asStream ?? parser)()))).map(({ value }) => value)
  },
  'npm, readline-transform': async (url) => {
    const Transform = require('readline-transform')
    return parsed(await all((await get(url)).pipe(new Transform())))
  },
  'npm, linebyline': async (url) => parsed(await all(require('linebyline')(await get(url)), 'line')),
  'npm, line-reader': async (url) => {
    const stream = await get(url)
    return new Promise((done, failed) => {
      const got = []
      require('line-reader').eachLine(stream, (line, last) => {
        try { got.push(JSON.parse(line)) } catch (err) { failed(err) }
        if (last) done(got)
      })
    })
  },
  'npm, docker-modem': async (url) => {
    const stream = await get(url)
    const Modem = require('docker-modem')
    return new Promise((done, failed) => new Modem().followProgress(stream, (err, got) => err ? failed(err) : done(got)))
  },
  'npm, ollama': async (url) => {
    const { Ollama } = await import('ollama')
    return collect(await new Ollama({ fetch: () => fetch(url) }).generate({ model: 'm', prompt: 'p', stream: true }))
  },
  'npm, can-ndjson-stream': async (url) => collect(require('can-ndjson-stream')((await fetch(url)).body)),
  'npm, ndjson-readablestream': async (url) => collect(require('ndjson-readablestream')((await fetch(url)).body)),
  'npm, it-ndjson': async (url) => collect((await import('it-ndjson')).parse((await fetch(url)).body)),
}
// A command reads all of the URLs in one process.
const command = (...args) => async (urls) => {
  const stdout = await new Promise((done) => {
    execFile(args[0], [...args.slice(1), ...urls], { timeout: 60000, maxBuffer: 1e8 }, (error, stdout) => {
      if (error) throw error
      done(stdout)
    })
  })
  return stdout.split('end\n').slice(0, -1).map((part) => part.includes('error') ? undefined : parsed(part.split('\n')))
}
const commands = {}
for (const name of ['Scanner', 'Decoder']) commands[`go, ${name}`] = command('./main', name)
for (const name of ['urllib', 'requests', 'requests_text', 'httpx', 'aiohttp']) commands[`python, ${name}`] = command('/usr/bin/python3', 'main.py', name)
commands['ruby, Net::HTTP'] = command('ruby3.1', 'main.rb')

console.error = () => {}
const urls = Object.keys(texts).map((what) => `${base}/${encodeURIComponent(what)}`)
for (const [name, read] of Object.entries(clients)) commands[name] = (urls) => Promise.all(urls.map((url) => read(url).catch(() => undefined)))
for (const [name, read] of Object.entries(commands)) {
  const all = await read(urls)
  const wrong = Object.keys(texts).map((what, i) => {
    if (!all[i]) return `${what}: error`
    return JSON.stringify(all[i]) === JSON.stringify(values(texts[what])) ? '' : `${what}: ${all[i].length === 2 ? 'another text' : `${all[i].length} of 2`}`
  })
  console.log(`${name}: ${wrong.filter(Boolean).join(', ') || 'all well'}`)
}
process.exit()
END
go build -o main . >log 2>&1 || { cat log; exit 1; }
timeout 250 node --no-warnings main.mjs >have
diff want have
cat have
