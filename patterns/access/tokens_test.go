package access_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
)

func keys(k ...string) access.Tokens {
	var t access.Tokens
	for _, key := range k {
		t.Keys = append(t.Keys, []byte(key))
	}
	return t
}

const older, newer = "the older key, 32 bytes or so ...", "the newer key, 32 bytes or so ..."

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := access.Identity{Client: "phone", Topics: []string{"news", "orders.>"}, Publish: []string{"orders.*"}, Expires: time.Now().Add(time.Minute).UTC()}
		token, err := keys(older).Sign(id)
		require.NoError(t, err)

		got, err := keys(newer, older).Verify(token)
		require.NoError(t, err, "the old key still verifies during the rotation")
		require.Equal(t, id, got)
		_, err = keys(newer).Verify(token)
		require.ErrorIs(t, err, access.ErrUnauthorized)

		for i := range token { // no bit may change
			for bit := range 8 {
				forged := []byte(token)
				forged[i] ^= 1 << bit
				_, err := keys(older).Verify(string(forged))
				require.ErrorIs(t, err, access.ErrUnauthorized, "bit %d of byte %d", bit, i)
			}
		}
		for _, odd := range []string{"", ".", "x", "x.", ".x", token + ".", strings.Replace(token, ".", "", 1)} {
			_, err := keys(older).Verify(odd)
			require.ErrorIs(t, err, access.ErrUnauthorized, odd)
		}

		time.Sleep(time.Minute)
		_, err = keys(older).Verify(token)
		require.EqualError(t, err, "access: unauthorized: the token has expired")
		require.Equal(t, http.StatusUnauthorized, access.Status(err))
	})
}

// By a clock that is wrong tokens are valid for longer or for less, and so is what servers make of them: a
// stream ends when the token does. A leeway is added.
func TestTokensByAnotherClock(t *testing.T) {
	for _, row := range []struct{ ahead, leeway, want time.Duration }{
		{0, 0, time.Minute}, {20 * time.Second, 0, 40 * time.Second}, {-20 * time.Second, 0, 80 * time.Second},
		{0, 30 * time.Second, 90 * time.Second}, {20 * time.Second, 30 * time.Second, 70 * time.Second}, {-time.Hour, 0, 61 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			tokens := keys(older)
			token, err := tokens.Sign(access.Identity{Client: "phone", Expires: begin.Add(time.Minute)})
			require.NoError(t, err)
			forever, err := tokens.Sign(access.Identity{Client: "phone"})
			require.NoError(t, err)
			tokens.Leeway = row.leeway
			tokens.Now = func() time.Time { return time.Now().Add(row.ahead).Round(0) }
			id, err := tokens.Verify(token)
			require.NoError(t, err)
			require.Equal(t, row.want, id.Expires.Sub(begin), "%+v", row)
			time.Sleep(row.want - 1)
			_, err = tokens.Verify(token)
			require.NoError(t, err)
			time.Sleep(1)
			_, err = tokens.Verify(token)
			require.ErrorContains(t, err, "the token has expired")
			id, err = tokens.Verify(forever)
			require.NoError(t, err)
			require.True(t, id.Expires.IsZero())
		})
	}
	for _, leeway := range []time.Duration{-1, time.Hour + 1} {
		tokens := keys(older)
		tokens.Leeway = leeway
		require.ErrorContains(t, tokens.Check(), "access: Tokens.Leeway is ")
		require.ErrorContains(t, tokens.Check(), ": want 0 to 1h0m0s")
	}
}

func TestTokenOfARequest(t *testing.T) {
	id := access.Identity{Client: "phone"}
	token, err := keys(older).Sign(id)
	require.NoError(t, err)
	for _, row := range []struct {
		reason, header, query string
		ok                    bool
	}{
		{"in the header", "Bearer " + token, "", true},
		{"whose scheme has no case", "bearer " + token, "", true},
		{"in the query, for browsers", "", "?token=" + token, true},
		{"nowhere", "", "", false},
		{"the header counts", "Bearer x", "?token=" + token, false},
		{"another scheme", "Basic " + token, "", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/"+row.query, nil)
		if row.header != "" {
			r.Header.Set("Authorization", row.header)
		}
		got, err := keys(older).Authenticate(r)
		if !row.ok {
			require.ErrorIs(t, err, access.ErrUnauthorized, row.reason)
			continue
		}
		require.NoError(t, err, row.reason)
		require.Equal(t, id, got, row.reason)
	}
}

// A key that is a variable that was not set must not open the door to everybody.
func TestShortKeysNeitherSignNorVerify(t *testing.T) {
	id := access.Identity{Client: "phone"}
	good, err := keys(older).Sign(id)
	require.NoError(t, err)
	for reason, row := range map[string]struct {
		tokens access.Tokens
		want   string
	}{
		"none":             {access.Tokens{}, "access: Tokens.Keys is empty: want one key or more"},
		"empty":            {keys(""), "access: Tokens.Keys[0] has 0 bytes: want at least 16"},
		"empty, not first": {keys(older, ""), "access: Tokens.Keys[1] has 0 bytes: want at least 16"},
		"15 bytes":         {keys(strings.Repeat("k", 15), older), "access: Tokens.Keys[0] has 15 bytes: want at least 16"},
	} {
		_, err := row.tokens.Sign(id)
		require.EqualError(t, err, row.want, reason)
		for _, key := range append(row.tokens.Keys, nil) {
			_, err = row.tokens.Verify(signedBy(key, good))
			require.EqualError(t, err, row.want, reason)
			require.Equal(t, http.StatusInternalServerError, access.Status(err), "clients are not to blame, and come back")
		}
	}
	token, err := keys(strings.Repeat("k", 16)).Sign(id)
	require.NoError(t, err)
	_, err = keys(strings.Repeat("k", 16)).Verify(token)
	require.NoError(t, err)
	require.Equal(t, good, signedBy([]byte(older), good), "the forger of this test knows how")
}

// signedBy replaces the signature of a token by that of another key.
func signedBy(key []byte, token string) string {
	body, _, _ := strings.Cut(token, ".")
	h := hmac.New(sha256.New, key)
	h.Write([]byte("squall access token v1\x00" + body))
	return body + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func TestSignRefusesWhatNobodyShouldHave(t *testing.T) {
	_, err := keys(older).Sign(access.Identity{})
	require.EqualError(t, err, "access: Identity.Client is empty: want a name")
	_, err = keys(older).Sign(access.Identity{Client: "a", Topics: []string{"a.>.b"}})
	require.ErrorContains(t, err, "access: Identity.Topics[0]")
	_, err = keys(older).Sign(access.Identity{Client: "a", Expires: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)})
	require.ErrorContains(t, err, "access: token")
}
