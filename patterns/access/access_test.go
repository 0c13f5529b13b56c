package access_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/retry"
)

func TestMatch(t *testing.T) {
	for _, row := range []struct {
		filter, topic string
		match         bool
		reason        string
	}{
		{"orders", "orders", true, "equal"},
		{"orders", "order", false, "not equal"},
		{"orders", "Orders", false, "case counts"},
		{"orders", "orders.eu", false, "a topic is not the root of its children"},
		{"orders.eu", "orders", false, "nor a child its root"},
		{"orders.*", "orders.eu", true, "* is one token"},
		{"orders.*", "orders", false, "* is not none"},
		{"orders.*", "orders.eu.new", false, "* is not two"},
		{"*.eu", "orders.eu", true, "* may come first"},
		{"*.*", "orders.eu", true, "and often"},
		{"orders.*.new", "orders.eu.new", true, "and in the middle"},
		{"orders.*.new", "orders.eu.old", false, "what follows counts"},
		{"*", "orders", true, "alone"},
		{"*", "orders.eu", false, "for one token"},
		{"orders.>", "orders.eu", true, "> is one token"},
		{"orders.>", "orders.eu.new", true, "or more"},
		{"orders.>", "orders", false, "but not none"},
		{"orders.>", "ordersx.eu", false, "tokens are whole"},
		{">", "orders", true, "everything"},
		{">", "orders.eu.new", true, "everything"},
		{">", "", true, "everything"},
		{"*.>", "orders.eu", true, "both"},
		{"*.>", "orders", false, "both want a token"},
		{"orders.>.new", "orders.eu.new", false, "> that is not the last selects nothing"},
		{">.new", "orders.new", false, "> that is not the last selects nothing"},

		{"orders.>", "orders.*", true, "what the other selects has one token more"},
		{"orders.>", "orders.eu.>", true, "or more"},
		{"orders.*", "orders.*", true, "the same"},
		{"orders.*", "orders.>", false, "the other selects orders.eu.new too"},
		{"*.>", ">", false, "the other selects orders too"},
		{"*", ">", false, "the other selects orders.eu too"},
		{"orders.eu", "orders.*", false, "the other selects orders.us too"},
		{">", ">", true, "everything"},
	} {
		require.Equal(t, row.match, access.Match(row.filter, row.topic), "%s and %s: %s", row.filter, row.topic, row.reason)
	}
}

func TestIdentityMayOnlyWhatItsFiltersSelect(t *testing.T) {
	id := access.Identity{Topics: []string{"news", "orders.*"}, Publish: []string{"orders.eu"}}
	require.True(t, id.MaySee("news"))
	require.True(t, id.MaySee("orders.eu"))
	require.False(t, id.MaySee("users"))
	require.False(t, id.MayPublish("news"), "to see is not to publish")
	require.True(t, id.MayPublish("orders.eu"))

	require.False(t, access.Identity{}.MaySee("news"), "nothing is granted that is not named")
	require.False(t, access.Identity{}.MayPublish("news"))
	require.True(t, access.Everything("a").MaySee("news.eu"))
	require.True(t, access.Everything("a").MayPublish("news.eu"))
}

// What is read for a request is what it asked for, and never more than it may see.
func TestSelect(t *testing.T) {
	topics := []string{"news", "orders.eu", "orders.us", "users"}
	for _, row := range []struct {
		reason        string
		granted, asks []string
		sees          []string
		forbidden     bool
	}{
		{"everything", []string{">"}, nil, topics, false},
		{"one of everything", []string{">"}, []string{"users"}, []string{"users"}, false},
		{"all that it may see, by name", []string{"news", "users"}, nil, []string{"news", "users"}, false},
		{"all that it may see, by filter", []string{"news", "orders.*"}, nil, []string{"news", "orders.eu", "orders.us"}, false},
		{"one of those", []string{"news", "orders.*"}, []string{"orders.eu"}, []string{"orders.eu"}, false},
		{"one that it may not see", []string{"news", "orders.*"}, []string{"news", "users"}, nil, true},
		{"by filter, of everything", []string{">"}, []string{"orders.*", "users"}, []string{"orders.eu", "orders.us", "users"}, false},
		{"by filter, of what it may see", []string{"news", "orders.>"}, []string{"orders.*"}, []string{"orders.eu", "orders.us"}, false},
		{"by filter, more than it may see", []string{"news", "orders.eu"}, []string{"news", "orders.*"}, nil, true},
		{"everything, which it may see", []string{">"}, []string{"news", ">"}, topics, false},
		{"everything, which it may not see", []string{"news", "*.*"}, []string{">"}, nil, true},
		{"nothing is granted, nothing asked for", nil, nil, nil, false},
		{"nothing is granted", nil, []string{"news"}, nil, true},
	} {
		only, match, err := access.Identity{Topics: row.granted}.Select(row.asks)
		if row.forbidden {
			require.ErrorIs(t, err, access.ErrForbidden, row.reason)
			require.ErrorContains(t, err, row.asks[len(row.asks)-1], row.reason)
			continue
		}
		require.NoError(t, err, row.reason)
		var sees []string
		for _, topic := range topics {
			named := len(only) == 0
			for _, o := range only {
				named = named || o == topic
			}
			if named && (match == nil || match(topic)) {
				sees = append(sees, topic)
			}
		}
		require.Equal(t, row.sees, sees, row.reason)
	}
}

func TestIdentityExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.False(t, access.Identity{}.Expired(), "zero is never")
		id := access.Identity{Expires: time.Now().Add(time.Minute)}
		time.Sleep(time.Minute - 1)
		require.False(t, id.Expired())
		time.Sleep(1)
		require.True(t, id.Expired())
	})
}

func TestIdentityCheck(t *testing.T) {
	require.NoError(t, access.Identity{Topics: []string{"", "a b", "*.a.>", ">"}, Publish: []string{"*"}}.Check())
	require.EqualError(t, access.Identity{Topics: []string{"a", "a.>.b"}}.Check(),
		`access: Identity.Topics[1] is "a.>.b": > must be the last token`)
	require.EqualError(t, access.Identity{Publish: []string{"a.b*"}}.Check(),
		`access: Identity.Publish[0] is "a.b*": * and > must stand alone between dots`)
	require.Error(t, access.Identity{Topics: []string{">>"}}.Check())
	require.Error(t, access.Identity{Topics: []string{">."}}.Check(), "a token that is empty is one")
}

func TestRefuse(t *testing.T) {
	for _, row := range []struct {
		reason string
		err    error
		status int
		text   string
	}{
		{"not credible", fmt.Errorf("%w: no token", access.ErrUnauthorized), 401, "access: unauthorized: no token"},
		{"not allowed", fmt.Errorf("%w: topic %q", access.ErrForbidden, "a"), 403, `access: forbidden: topic "a"`},
		{"cannot tell", &retry.StatusError{Status: 503, Text: "ask later"}, 503, "ask later"},
		{"cannot tell, wrapped and silent", fmt.Errorf("database: %w", &retry.StatusError{Status: 503}), 503, "Service Unavailable"},
		{"no refusal", &retry.StatusError{Status: 200, Text: "fine"}, 401, "fine"},
		{"no status", &retry.StatusError{}, 401, "Unauthorized"},
		{"what others say is not for clients", errors.New("no route to db7.internal"), 401, "Unauthorized"},
	} {
		w := httptest.NewRecorder()
		access.Refuse(w, row.err)
		require.Equal(t, row.status, w.Code, row.reason)
		require.Equal(t, row.text+"\n", w.Body.String(), row.reason)
		challenge := ""
		if row.status == 401 {
			challenge = "Bearer"
		}
		require.Equal(t, challenge, w.Header().Get("WWW-Authenticate"), row.reason)
	}
}
