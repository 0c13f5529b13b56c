package sim

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// The TCP state machine has its own struct of settings. Each field is copied to the field of the same name.
func TestTCPConfigIsHandedToTCP(t *testing.T) {
	theirs := 0
	for _, f := range reflect.VisibleFields(reflect.TypeFor[tcp.Config]()) {
		if f.IsExported() {
			theirs++
		}
	}
	fields := reflect.VisibleFields(reflect.TypeFor[TCPConfig]())
	require.Len(t, fields, theirs)
	for _, f := range fields {
		var cfg TCPConfig
		set := reflect.ValueOf(&cfg).Elem().FieldByIndex(f.Index)
		fill(set, new(int64))
		require.False(t, set.IsZero(), f.Name)
		require.Equal(t, fmt.Sprint(set), fmt.Sprint(reflect.ValueOf(cfg.tcp()).FieldByName(f.Name)), f.Name)
	}
}

// fill gives each part of v a value, and different parts different values as far as possible.
func fill(v reflect.Value, next *int64) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	case reflect.String:
		v.SetString("reno")
	case reflect.Bool:
		v.SetBool(true)
	default:
		*next++
		v.SetInt(*next)
	}
}
