package interop

import (
	"context"
	"errors"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/timeout"
	"github.com/sony/gobreaker/v2"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/sidecar"
)

// Breakers: what becomes of one whose probe never returns.
var breakers = []callLibrary{
	{name: "gobreaker, attempts that nobody ends", service: calling(nil, byGobreaker(false)), breaks: []callConviction{
		{hangs, promises{patterntest.Answering}, "a probe that does not return keeps it half-open for ever: too many requests"},
	}, keeps: []string{goneAwhile}},

	{name: "gobreaker, attempts that end with their callers", service: calling(nil, byGobreaker(true)), keeps: []string{longerThanPatience, goneAwhile, hangs}},

	{name: "failsafe-go's breaker, attempts that nobody ends", service: calling(nil, byFailsafeBreaker(false)), breaks: []callConviction{
		{hangs, promises{patterntest.Answering}, "a probe that does not return keeps its permit for ever"},
	}, keeps: []string{goneAwhile}},

	{name: "failsafe-go's breaker with its timeout", service: calling(nil, byFailsafeBreaker(true)), keeps: []string{longerThanPatience, goneAwhile, hangs}},

	{name: "squall's sidecar.Breaker, attempts that nobody ends", service: calling(nil, bySidecarBreaker), keeps: []string{longerThanPatience, goneAwhile, hangs}},
}

func byGobreaker(ends bool) func(c web) patterntest.Ask {
	return func(c web) patterntest.Ask {
		b := gobreaker.NewCircuitBreaker[string](gobreaker.Settings{})
		return func(ctx context.Context, r patterntest.Request) (string, error) {
			attempt := c.life
			if ends {
				attempt = ctx
			}
			answer, err := beside(ctx, func() (string, error) {
				return b.Execute(func() (string, error) { return c.post(attempt, r) })
			})
			if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) || unsent(err) {
				err = notExecuted(err)
			}
			return answer, err
		}
	}
}

func byFailsafeBreaker(ends bool) func(c web) patterntest.Ask {
	return func(c web) patterntest.Ask {
		policies := []failsafe.Policy[string]{circuitbreaker.NewBuilder[string]().WithFailureThreshold(5).Build()}
		if ends {
			policies = append(policies, timeout.New[string](4*time.Second))
		}
		executor := failsafe.With(policies...)
		return func(ctx context.Context, r patterntest.Request) (string, error) {
			answer, err := beside(ctx, func() (string, error) {
				return executor.WithContext(c.life).GetWithExecution(func(e failsafe.Execution[string]) (string, error) {
					return c.post(e.Context(), r)
				})
			})
			if errors.Is(err, circuitbreaker.ErrOpen) || unsent(err) {
				err = notExecuted(err)
			}
			return answer, err
		}
	}
}

func bySidecarBreaker(c web) patterntest.Ask {
	b := &sidecar.Breaker{MinRequests: 5}
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := beside(ctx, func() (string, error) {
			permit, err := b.Begin()
			if err != nil {
				return "", notExecuted(err)
			}
			answer, err := c.post(c.life, r)
			if err == nil {
				permit.End(sidecar.Success)
			} else {
				permit.End(sidecar.Failure)
			}
			return answer, err
		})
		if unsent(err) {
			err = notExecuted(err)
		}
		return answer, err
	}
}
