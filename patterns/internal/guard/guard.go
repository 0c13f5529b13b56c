// Package guard calls the functions that a server was configured with. If one panics, only the call
// fails, and not the process. The goroutine can be the server's, where nothing else would recover
// the panic; and net/http, which recovers panics, breaks the connection off and does not use the
// Logger.
package guard

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/squall-sim/squall/patterns/retry"
)

// Call calls f, which has a name such as "stream: Server.Snapshot". If f panics, Call logs the
// panic as an error, with the stack and the attributes, and returns an error with status 500, which
// does not blame the client.
func Call(log *slog.Logger, name string, f func() error, attributes ...any) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = panicked(fmt.Sprintf("%s panicked: %v", name, cause))
			log.Error(err.Error(), append(attributes, "error", cause, "stack", string(debug.Stack()))...)
		}
	}()
	return f()
}

type panicked string

func (p panicked) Error() string { return string(p) }
func (p panicked) Unwrap() error { return &retry.StatusError{Status: http.StatusInternalServerError} }
