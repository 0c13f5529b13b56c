package session

import (
	"context"
	"errors"
	"maps"
	"time"
	"unicode/utf8"
)

// A Store keeps sessions, each under a token, which a client has in its cookie. [Memory] keeps them
// in the memory of one process, [Disk] in a file, and [Signed] in the token itself. A Store for a
// database needs a transaction, or a script, for Save and Renew. Its methods are called
// concurrently.
type Store interface {
	// Load returns the session of a token. The error is [ErrNone] if there is none, as after Delete
	// and Renew.
	Load(ctx context.Context, token string) (Record, error)

	// Save stores a session as version r.Version+1 and returns its token. If token is "", that is a
	// new one, which nobody can guess. The error is [ErrConflict] if the stored version is not
	// r.Version, and ErrNone if the session no longer exists, which must then not come back.
	Save(ctx context.Context, token string, r Record) (string, error)

	// Renew is Save under a new token and Delete of the old one, both or
	// neither.
	Renew(ctx context.Context, token string, r Record) (string, error)

	// Delete ends a session. Deleting one that does not exist is not an error.
	Delete(ctx context.Context, token string) error
}

// A Record is a session as it is stored. Its texts must be UTF-8, because Disk and Signed write
// them as JSON.
type Record struct {
	User    string            // who has logged in; "": nobody
	Values  map[string]string // by their keys
	Created time.Time         // when it began; renewal does not change it
	Seen    time.Time         // when it was last used, approximately
	Expires time.Time         // when the store may forget it
	Version uint64            // how often it was saved
}

// clone returns a copy with a map of its own.
func (r Record) clone() Record {
	r.Values = maps.Clone(r.Values)
	return r
}

// size returns the approximate size of a session, in bytes.
func (r Record) size() int {
	n := len(r.User)
	for k, v := range r.Values {
		n += len(k) + len(v)
	}
	return n
}

// notText returns a text of the record that is not UTF-8, if there is one: the least, so that the
// error always names the same one.
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
	// ErrNone is the error of a [Store] that has no session with that token.
	ErrNone = errors.New("session: none of that token")
	// ErrConflict is the error of a [Store] whose session was changed since it was loaded, and of
	// [Session.Commit] if another request changed the same value.
	ErrConflict = errors.New("session: changed by another request meanwhile")
	// ErrEnded is the error of [Session.Commit] if a logout or login has ended the session in the
	// meantime.
	ErrEnded = errors.New("session: ended by another request meanwhile")
	// ErrStale is the error of a [Replicated] store whose replica does not yet have what the client
	// has seen, while the primary is unavailable.
	ErrStale = errors.New("session: the replica is behind, and the primary cannot be asked")
	// ErrFull is the error of a [Memory] that already has MaxSessions sessions.
	ErrFull = errors.New("session: too many sessions")
	// ErrTooLarge is the error of a session that exceeds its limit in bytes.
	ErrTooLarge = errors.New("session: too large")
	// ErrNotText is the error of [Session.Commit] if the user, the name of a value or the value is
	// not UTF-8.
	ErrNotText = errors.New("session: a text is not UTF-8")
)
