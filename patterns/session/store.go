package session

import (
	"context"
	"errors"
	"maps"
	"time"
	"unicode/utf8"
)

// A Store keeps sessions, each under a token, which a client has in its cookie. [Memory] has them in the memory
// of one process, [Disk] in a file, and [Signed] in the token itself; one for a database needs a transaction, or
// a script, for Save and Renew. Its methods are called concurrently.
type Store interface {
	// Load returns the session of a token. The error is [ErrNone] if there is none, as after Delete and Renew.
	Load(ctx context.Context, token string) (Record, error)

	// Save stores a session as version r.Version+1, and returns the token that it is to be found by from now on. Without a token
	// that is a new one, which nobody can guess. The error is [ErrConflict] if the stored version is not r.Version, and ErrNone if
	// there is none any more, which must then not come back.
	Save(ctx context.Context, token string, r Record) (string, error)

	// Renew is Save under a new token, and Delete of the old one, both or none.
	Renew(ctx context.Context, token string, r Record) (string, error)

	// Delete ends a session. It is no error if there is none.
	Delete(ctx context.Context, token string) error
}

// A Record is a session as it is stored. Its texts are UTF-8: JSON, in which [Disk] and [Signed] write them, has no others.
type Record struct {
	User    string            // who has logged in; "": nobody
	Values  map[string]string // by their keys
	Created time.Time         // when it began, whatever it was renewed for
	Seen    time.Time         // when it was used last, roughly
	Expires time.Time         // when the store may forget it
	Version uint64            // how often it was saved
}

// clone returns a copy with a map of its own.
func (r Record) clone() Record {
	r.Values = maps.Clone(r.Values)
	return r
}

// size is about what a session takes, in bytes.
func (r Record) size() int {
	n := len(r.User)
	for k, v := range r.Values {
		n += len(k) + len(v)
	}
	return n
}

// notText returns one of its texts that is not UTF-8, if there is one: the least, so that the same one is named each time.
func (r Record) notText() (bad string, is bool) {
	look := func(text string) {
		if !utf8.ValidString(text) && (!is || text < bad) {
			bad, is = text, true
		}
	}
	look(r.User)
	for k, v := range r.Values {
		look(k)
		look(v)
	}
	return bad, is
}

var (
	// ErrNone is the error of a [Store] that has no such session.
	ErrNone = errors.New("session: none of that token")
	// ErrConflict is the error of a [Store] whose session was changed since it was loaded, and of [Session.Commit] if
	// the change was to the same value.
	ErrConflict = errors.New("session: changed by another request meanwhile")
	// ErrEnded is the error of [Session.Commit] if somebody has logged out meanwhile, or in.
	ErrEnded = errors.New("session: ended by another request meanwhile")
	// ErrStale is the error of a [Replicated] store whose replica has not yet what the client has seen,
	// while the primary cannot be asked.
	ErrStale = errors.New("session: the replica is behind, and the primary cannot be asked")
	// ErrFull is the error of a [Memory] that has as many sessions as it may.
	ErrFull = errors.New("session: too many sessions")
	// ErrTooLarge is the error of a session that has more bytes than it may.
	ErrTooLarge = errors.New("session: too large")
	// ErrNotText is the error of [Session.Commit] if the user, or the name of a value or the value, is not UTF-8.
	ErrNotText = errors.New("session: a text is not UTF-8")
)
