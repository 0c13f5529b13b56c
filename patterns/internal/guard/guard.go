// Package guard calls the functions that a server was given. One that panics fails what it was called
// for, and not the process: the goroutine may be the server's, where nothing else would recover it, and
// net/http recovers too, but breaks the connection off and tells no Logger.
package guard

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/squall-sim/squall/patterns/retry"
)

// Call calls a function by its name, such as "stream: Server.Snapshot". If it panics the log gets
// that as an error, with the stack and some attributes; the error of Call is then one of status 500, for
// which the client is not to blame.
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
