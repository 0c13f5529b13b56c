#!/usr/bin/env bash
# A client that sends an Idempotency-Key again with a different request has made a mistake, and the server should answer
# 422 (the IETF's draft-ietf-httpapi-idempotency-key-header, 2.6 and 2.7). A malformed key is a 400.
#
# Guessed: the idempotency middleware of fiber 3.1.0 ignores the body and the path, and returns the answer to the first
# request with that key. Seen: it ignores the method too. A DELETE of another path, with the key of a POST, gets a 200
# with the POST's answer, and nothing is deleted. A key whose length is not 36 gets a 500.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >want <<'END'
POST /orders "one", key K: 200 POST /orders "one"
POST /orders "two", key K: 200 POST /orders "one"
DELETE /users "", key K: 200 POST /orders "one"
DELETE /users "", key L: 200 DELETE /users ""
POST /orders "one", key "short": 500
END
cat >go.mod <<'END'
module finding

go 1.26

require github.com/gofiber/fiber/v3 v3.1.0
END
cat >main.go <<'END'
package main

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"

	"github.com/gofiber/fiber/v3"
	"github.com/gofiber/fiber/v3/middleware/idempotency"
)

func main() {
	app := fiber.New()
	app.Use(idempotency.New())
	app.All("/*", func(c fiber.Ctx) error { return c.SendString(fmt.Sprintf("%s %s %q", c.Method(), c.Path(), c.Body())) })
	keys := map[string]string{"K": "0b5ad2c6-6f0f-4c1c-9d38-1f6f3c0f7a01", "L": "5b2e9c11-93a5-4d0e-8a57-2f0d5c1be902", `"short"`: "short"}
	for _, x := range [][4]string{{"POST", "/orders", "one", "K"}, {"POST", "/orders", "two", "K"}, {"DELETE", "/users", "", "K"}, {"DELETE", "/users", "", "L"}, {"POST", "/orders", "one", `"short"`}} {
		req := httptest.NewRequest(x[0], x[1], strings.NewReader(x[2]))
		req.Header.Set("X-Idempotency-Key", keys[x[3]])
		resp, err := app.Test(req)
		if err != nil {
			panic(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(err)
		}
		if resp.StatusCode != 200 {
			text = nil
		}
		fmt.Println(strings.TrimSpace(fmt.Sprintf("%s %s %q, key %s: %d %s", x[0], x[1], x[2], x[3], resp.StatusCode, text)))
	}
}
END
go mod tidy >log 2>&1 || { cat log; exit 1; }
go run . >have
diff want have
cat have
