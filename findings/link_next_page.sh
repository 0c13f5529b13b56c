#!/usr/bin/env bash
# A server that returns one page of many names the next one in Link. The URL is everything between < and >, including
# commas and semicolons. rel may name several relations, names of parameters are case-insensitive, and a title may
# contain a comma (RFC 8288, 3 and B.3).
#
# Guessed: of three parsers for JavaScript and two for Go, half lose the next page if its URL has a comma, as
# "fields=a,b" has. Seen: those for JavaScript read such URLs and titles, but parse-link-header 2.0.0 and li 1.3.0 do
# not know REL. Of Go's, tomnomnom/linkheader finds no next page if the URL contains a comma or a semicolon, or a title
# a comma; a client then stops as if it had everything. peterhellberg/link 1.2.0 removes the comma from the URL, so that
# the client asks for something else, and knows neither REL nor a second relation.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
comma in the URL:
  http-link-header: https://api.example/?fields=a,b&page=2
  li: https://api.example/?fields=a,b&page=2
  linkheader: none
  parse-link-header: https://api.example/?fields=a,b&page=2
  peterhellberg/link: https://api.example/?fields=ab&page=2
semicolon in the URL:
  http-link-header: https://api.example/?from=1;page=2
  li: https://api.example/?from=1;page=2
  linkheader: none
  parse-link-header: https://api.example/?from=1;page=2
  peterhellberg/link: https://api.example/?from=1;page=2
two relations:
  http-link-header: https://api.example/2
  li: https://api.example/2
  linkheader: https://api.example/2
  parse-link-header: https://api.example/2
  peterhellberg/link: none
REL:
  http-link-header: https://api.example/2
  li: none
  linkheader: https://api.example/2
  parse-link-header: none
  peterhellberg/link: none
comma in a title:
  http-link-header: https://api.example/2
  li: https://api.example/2
  linkheader: none
  parse-link-header: https://api.example/2
  peterhellberg/link: https://api.example/2
END
npm install --silent --no-fund --no-audit --prefix . http-link-header@1.1.4 li@1.3.0 parse-link-header@2.0.0 >log 2>&1 || { cat log; exit 1; }
cat >go.mod <<'END'
module finding

go 1.26

require (
	github.com/peterhellberg/link v1.2.0
	github.com/tomnomnom/linkheader v0.0.0-20250811210735-e5fe3b51442e
)
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/peterhellberg/link"
	"github.com/tomnomnom/linkheader"
)

func main() {
	for _, field := range os.Args[1:] {
		one, other := "none", "none"
		if l := link.Parse(field)["next"]; l != nil {
			one = l.URI
		}
		for _, l := range linkheader.Parse(field) {
			for _, rel := range strings.Fields(l.Rel) {
				if rel == "next" {
					other = l.URL
				}
			}
		}
		fmt.Println(one)
		fmt.Println(other)
	}
}
END
cat >main.mjs <<'END'
import { execFileSync } from 'node:child_process'
import httpLink from 'http-link-header'
import li from 'li'
import parse from 'parse-link-header'

const fields = {
  'comma in the URL': '<https://api.example/?fields=a,b&page=2>; rel="next"',
  'semicolon in the URL': '<https://api.example/?from=1;page=2>; rel="next"',
  'two relations': '<https://api.example/2>; rel="next last"',
  'REL': '<https://api.example/2>; REL="next"',
  'comma in a title': '<https://api.example/2>; title="a, b"; rel="next"',
}
const go = execFileSync('./main', Object.values(fields), { encoding: 'utf8' }).split('\n')
for (const [name, field] of Object.entries(fields)) {
  console.log(`${name}:`)
  console.log(`  http-link-header: ${httpLink.parse(field).rel('next')[0]?.uri ?? 'none'}`)
  console.log(`  li: ${li.parse(field).next ?? 'none'}`)
  const link = go.shift()
  console.log(`  linkheader: ${go.shift()}`)
  console.log(`  parse-link-header: ${parse(field)?.next?.url ?? 'none'}`)
  console.log(`  peterhellberg/link: ${link}`)
}
END
{ go mod tidy && go build -o main . ; } >log 2>&1 || { cat log; exit 1; }
node main.mjs >have
diff want have
cat have
