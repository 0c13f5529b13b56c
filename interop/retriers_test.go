package interop

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	avast "github.com/avast/retry-go/v4"
	"github.com/cenkalti/backoff/v5"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	"github.com/go-resty/resty/v2"
	"github.com/gojek/heimdall/v7"
	"github.com/gojek/heimdall/v7/httpclient"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/sethvargo/go-retry"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// What is expected of retries: as in the pattern's own, a fifth of the calls and ten.
var someRetries = &patterntest.Retries{Percent: 20, Burst: 10, After: true}

// Retriers. A question is sent by POST, which nobody may send twice that does not know it to be safe.
var retriers = slices.Concat(retriersOfRequests, retriersOfFunctions)

// Those that are given a request, and decide by themselves.
var retriersOfRequests = []callLibrary{
	{name: "go-retryablehttp", service: calling(nil, byRetryable), breaks: []callConviction{
		{breaksOnAnswer, promises{patterntest.Single}, "it sends a POST again after any error of the connection"},
		{inStep, promises{patterntest.Gentle}, "its delays are 1, 2, 4 and 8 s, and not spread"},
	}, keeps: []string{longerThanPatience, goneAwhile, hangs}},

	{name: "go-retryablehttp, its retries", service: calling(someRetries, byRetryable), breaks: []callConviction{
		{refusedAll, promises{patterntest.Thrifty}, "it has no budget: each call may be five"},
		{refusedAlone, promises{patterntest.Thrifty}, "the same"},
	}, keeps: []string{refusedUntil}},

	{name: "go-retryablehttp, bounded by HTTPClient.Timeout alone", service: calling(someRetries, byRetryableAlone), breaks: []callConviction{
		{refusedUntil, promises{patterntest.Truthful}, "a Retry-After of a day it sleeps to its end"},
		{longerThanPatience, promises{patterntest.Truthful}, "that bounds an attempt, and not the call"},
	}},

	{name: "resty", service: calling(nil, byResty), breaks: []callConviction{
		{breaksOnAnswer, promises{patterntest.Single}, "it sends a POST again after any error"},
	}, keeps: []string{inStep, hangs}, draws: true},

	{name: "heimdall", service: calling(nil, byHeimdall), breaks: []callConviction{
		{breaksOnAnswer, promises{patterntest.Single}, "it sends a POST again after any error"},
		{lostQuestion, promises{patterntest.Truthful}, "it sleeps between attempts, and after the last, whoever has gone meanwhile"},
		{longerThanPatience, promises{patterntest.Truthful}, "the same"},
		{inStep, promises{patterntest.Gentle}, "a constant delay is not spread, unless it is told to"},
	}, keeps: nil, draws: true},
}

// Those that are given a function, and told by its error whether to go on.
var retriersOfFunctions = []callLibrary{
	{name: "cenkalti/backoff", service: calling(nil, byBackoff), keeps: []string{longerThanPatience, breaksOnAnswer, inStep, goneAwhile, hangs}, draws: true},
	{name: "retry-go, FullJitterBackoffDelay", service: calling(nil, byAvast), keeps: []string{longerThanPatience, breaksOnAnswer, inStep, goneAwhile, hangs}, draws: true},
	{name: "go-retry, exponential", service: calling(nil, bySethvargo(false)), breaks: []callConviction{
		{inStep, promises{patterntest.Gentle}, "its delays are not spread, unless it is told to"},
	}, keeps: []string{breaksOnAnswer, goneAwhile}},
	{name: "go-retry, WithFullJitter", service: calling(nil, bySethvargo(true)), keeps: []string{longerThanPatience, breaksOnAnswer, inStep, goneAwhile}, draws: true},
	{name: "failsafe-go, retries with its budget", service: calling(&patterntest.Retries{Percent: 20, Burst: 3}, byFailsafeRetries), breaks: []callConviction{
		{refusedAlone, promises{patterntest.Thrifty}, "its budget counts what runs at a time, and allows three retries to whoever asks in a row"},
	}, keeps: []string{breaksOnAnswer}, draws: true},
}

func retryable(c web) *retryablehttp.Client {
	client := retryablehttp.NewClient()
	client.HTTPClient, client.Logger = c.http, nil
	return client
}

func byRetryable(c web) patterntest.Ask {
	client := retryable(c).StandardClient()
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		req, err := c.request(ctx, r)
		if err != nil {
			return "", err
		}
		return read(client.Do(req))
	}
}

func byRetryableAlone(c web) patterntest.Ask {
	client := retryable(c)
	client.HTTPClient.Timeout = 10 * time.Second
	return func(_ context.Context, r patterntest.Request) (string, error) {
		req, err := retryablehttp.NewRequestWithContext(c.life, http.MethodPost, c.url, []byte(r.Data))
		if err != nil {
			return "", err
		}
		return read(client.Do(req))
	}
}

func byResty(c web) patterntest.Ask {
	client := resty.NewWithClient(c.http).SetRetryCount(3)
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		resp, err := client.R().SetContext(ctx).SetBody(r.Data).Post(c.url)
		switch {
		case err != nil:
			return "", err
		case resp.StatusCode() != http.StatusOK:
			return "", errors.New(resp.Status())
		}
		return resp.String(), nil
	}
}

func byHeimdall(c web) patterntest.Ask {
	client := httpclient.NewClient(httpclient.WithHTTPClient(c.http), httpclient.WithRetryCount(4),
		httpclient.WithRetrier(heimdall.NewRetrier(heimdall.NewConstantBackoff(2*time.Second, 0))))
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		req, err := c.request(ctx, r)
		if err != nil {
			return "", err
		}
		return read(client.Do(req))
	}
}

// once sends a question of which the retrier is to know whether it may be sent again.
func (c web) once(ctx context.Context, r patterntest.Request, retryable, final func(error) error) (string, error) {
	answer, err := c.post(ctx, r)
	switch {
	case err == nil:
		return answer, nil
	case unsent(err) || errors.Is(err, errRefused):
		return "", retryable(notExecuted(err))
	}
	return "", final(err)
}

func asItIs(err error) error { return err }

func byBackoff(c web) patterntest.Ask {
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		return backoff.Retry(ctx, func() (string, error) { return c.once(ctx, r, asItIs, backoff.Permanent) })
	}
}

func byAvast(c web) patterntest.Ask {
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		return avast.DoWithData(func() (string, error) { return c.once(ctx, r, asItIs, avast.Unrecoverable) },
			avast.Context(ctx), avast.DelayType(avast.FullJitterBackoffDelay), avast.LastErrorOnly(true))
	}
}

func bySethvargo(spread bool) func(c web) patterntest.Ask {
	return func(c web) patterntest.Ask {
		return func(ctx context.Context, r patterntest.Request) (string, error) {
			delays := retry.NewExponential(time.Second)
			if spread {
				delays = retry.WithFullJitter(delays)
			}
			return retry.DoValue(ctx, retry.WithMaxRetries(6, delays), func(ctx context.Context) (string, error) {
				return c.once(ctx, r, retry.RetryableError, asItIs)
			})
		}
	}
}

func byFailsafeRetries(c web) patterntest.Ask {
	policy := retrypolicy.NewBuilder[string]().HandleErrors(patterntest.ErrNotExecuted).WithMaxRetries(3).
		WithBackoff(100*time.Millisecond, time.Second).WithJitterFactor(0.5).WithBudget(budget.New()).Build()
	executor := failsafe.With[string](policy)
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		return executor.WithContext(ctx).GetWithExecution(func(e failsafe.Execution[string]) (string, error) {
			return c.once(e.Context(), r, asItIs, asItIs)
		})
	}
}
