package sim

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// An expression is a call of a function of this package that makes a fault again, for use in a scenario.
type expression struct {
	function string
	args     []any
}

// code returns the expression as Go; see [Fault.Code].
func (e expression) code(names func(subject any) string) string {
	var args []string
	for _, a := range e.args {
		args = append(args, goValue(reflect.ValueOf(a), names))
	}
	return "sim." + e.function + "(" + strings.Join(args, ", ") + ")"
}

// goValue returns a value as Go. Of a struct it has the fields that are not zero.
func goValue(v reflect.Value, names func(any) string) string {
	if !v.IsValid() {
		return "nil"
	}
	if v.CanInterface() {
		if text := goSubject(v.Interface(), names); text != "" {
			return text
		}
		switch x := v.Interface().(type) {
		case time.Duration:
			return goDuration(x)
		case PacketKind:
			return packetKinds[x].code
		case Breakage:
			return breakageWords[x].code
		case Scope:
			return scopeCodes[x]
		case netip.Addr:
			return fmt.Sprintf("netip.MustParseAddr(%q)", x)
		}
	}
	list := func(of string, count int, item func(i int) string) string {
		var items []string
		for i := range count {
			if text := item(i); text != "" {
				items = append(items, text)
			}
		}
		return of + "{" + strings.Join(items, ", ") + "}"
	}
	switch v.Kind() {
	case reflect.Interface:
		return goTyped(v.Elem(), names)
	case reflect.Struct:
		return list(v.Type().String(), v.NumField(), func(i int) string {
			if v.Field(i).IsZero() {
				return ""
			}
			return v.Type().Field(i).Name + ": " + goValue(v.Field(i), names)
		})
	case reflect.Slice:
		return list(v.Type().String(), v.Len(), func(i int) string { return goValue(v.Index(i), names) })
	case reflect.Func:
		switch name := functionName(v); {
		case name == "":
			return "nil"
		case strings.Contains(name, " "):
			return "nil /* " + name + " */"
		default:
			return name
		}
	case reflect.String:
		return strconv.Quote(v.String())
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	default:
		return fmt.Sprintf("%#v", v)
	}
}

// goTyped is goValue for a place that does not imply the type of its value.
func goTyped(v reflect.Value, names func(any) string) string {
	text := goValue(v, names)
	switch v.Kind() {
	case reflect.Float64, reflect.Int, reflect.Int64, reflect.Uint8, reflect.Uint64, reflect.String:
		if v.Type().PkgPath() != "" {
			return v.Type().String() + "(" + text + ")"
		}
	}
	return text
}

// functionName returns the name of a function without its package. For a function without a name it returns
// where it is defined, for nil "".
func functionName(v reflect.Value) string {
	if v.IsNil() {
		return ""
	}
	f := runtime.FuncForPC(v.Pointer())
	_, name, _ := strings.Cut(f.Name()[strings.LastIndexByte(f.Name(), '/')+1:], ".")
	if !strings.ContainsAny(name, ".([-") {
		return name
	}
	file, line := f.FileLine(f.Entry())
	return fmt.Sprintf("the function at %s:%d", filepath.Base(file), line)
}

// goSubject returns a part of a network as Go, or "" for anything else.
func goSubject(v any, names func(any) string) string {
	text := func(subject any, otherwise string) string {
		if names != nil {
			if t := names(subject); t != "" {
				return t
			}
		}
		return otherwise
	}
	switch s := v.(type) {
	case *Network:
		return text(s, "n")
	case *Host:
		return text(s, fmt.Sprintf("n.Host(%q)", s.name))
	case *Router:
		return text(s, fmt.Sprintf("n.Router(%q)", s.name))
	case *Link:
		return text(s, goIdentifier(s.a.name+" "+s.b.name))
	case *Fault:
		return s.Code(names)
	case *NameServer:
		return text(s, goIdentifier(s.host.name+" names"))
	}
	return ""
}

// goIdentifier makes a Go name from some words.
func goIdentifier(words string) string {
	var b strings.Builder
	upper := false
	for _, r := range words {
		switch {
		case !unicode.IsLetter(r) && (!unicode.IsDigit(r) || b.Len() == 0):
			upper = b.Len() > 0
		case upper:
			b.WriteRune(unicode.ToUpper(r))
			upper = false
		case b.Len() == 0:
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// goDuration returns a duration as Go code writes it.
func goDuration(d time.Duration) string {
	for _, unit := range []struct {
		of   time.Duration
		name string
	}{{time.Second, "time.Second"}, {time.Millisecond, "time.Millisecond"}, {time.Microsecond, "time.Microsecond"}} {
		switch {
		case d == unit.of:
			return unit.name
		case d != 0 && d%unit.of == 0:
			return fmt.Sprintf("%d*%s", d/unit.of, unit.name)
		}
	}
	return strconv.FormatInt(int64(d), 10)
}
