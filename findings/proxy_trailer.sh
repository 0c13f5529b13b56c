#!/usr/bin/env bash
# Trailers may follow the last chunk of a body. They are fields that were not known before, such as a checksum or the
# outcome of the call. A proxy that does not forward them drops them; it may move them to the head only if their
# definition allows it (RFC 9110, 6.5.1). No line of the head may end with two CR (RFC 9112, 2.2: no CR that stands
# alone).
#
# Guessed: an answer has "X-Sum: 5\r\r\n" in its head, which is what lighttpd 1.4.69 (Debian 12) makes of one trailer of
# Go's net/http. curl, Python and Go 1.26 accept it, Node's fetch does not. Seen: Go does not either, so that two Go
# programs with lighttpd between them fail in every request. curl, with which you would look for the cause, shows
# nothing wrong.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
without lighttpd, Go: hello, header "", trailer "5"
the line: X-Sum: 5 CR CR
curl: hello
python: hello
node: Response does not match the HTTP/1.1 protocol (Missing expected LF after header value)
Go: net/http: HTTP/1.x transport connection broken: malformed MIME header line: "X-Sum: 5\r"
END
mkdir -p archives/partial uploads
{ apt-get update && apt-get install -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/archives" -o APT::Sandbox::User=root \
  lighttpd curl python3 ; } >log 2>&1 || { cat log; exit 1; }
for package in archives/*.deb; do
  [ ! -e "$package" ] || dpkg -x "$package" root
done
LD_LIBRARY_PATH=$dir/root/usr/lib/$(uname -m)-linux-gnu
export LD_LIBRARY_PATH PATH="$PATH:$dir/root/usr/bin"
cat >go.mod <<'END'
module finding

go 1.26
END
cat >main.go <<'END'
// It serves an answer with a trailer, or gets one.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) > 1 {
		res, err := http.Get(os.Args[1])
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s, header %q, trailer %q\n", body, res.Header.Get("X-Sum"), res.Trailer.Get("X-Sum"))
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	free.Close()
	fmt.Println(l.Addr().(*net.TCPAddr).Port, free.Addr().(*net.TCPAddr).Port)
	http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprint(w, "hello")
		w.Header().Set("X-Sum", "5")
	}))
}
END
go build -o main . >log 2>&1 || { cat log; exit 1; }
./main >ports &
until [ -s ports ]; do sleep 0.1; done
read -r server proxy <ports
cat >lighttpd.conf <<END
server.modules = ("mod_proxy")
server.document-root = "$dir"
server.upload-dirs = ("$dir/uploads")
server.bind = "127.0.0.1"
server.port = $proxy
proxy.server = ("" => (("host" => "127.0.0.1", "port" => $server)))
END
root/usr/sbin/lighttpd -D -m "$dir/root/usr/lib/lighttpd" -f lighttpd.conf >log 2>&1 &
until curl -s "http://127.0.0.1:$proxy/" >log; do sleep 0.1; done
{
  echo "without lighttpd, Go: $(./main "http://127.0.0.1:$server/")"
  url=http://127.0.0.1:$proxy/
  echo "the line: $(curl -sS -D - -o log "$url" | grep X-Sum | sed 's/\r/ CR/g')"
  echo "curl: $(curl -sS "$url")"
  echo "python: $(/usr/bin/python3 -c "import urllib.request; print(urllib.request.urlopen('$url').read().decode())")"
  echo "node: $(node -e "fetch('$url').then((res) => res.text()).then(console.log, (err) => console.log(err.cause.message))")"
  echo "Go: $(./main "$url" 2>&1 | sed 's/^.*: net/net/')"
} >have
diff want have
cat have
