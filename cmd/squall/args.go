package main

import (
	"fmt"
	"slices"
	"strings"
)

// A commandLine is a command line of go test, without the flags that exact mode adds.
type commandLine struct {
	dir     string   // of -C; "" is the current one
	overlay string   // of -overlay
	tags    []string // of -tags
	rest    []string // the remaining arguments, in their order
}

// parseArgs finds the flags of go test to which exact mode must add. Flags on the command line take precedence over those in
// GOFLAGS.
func parseArgs(args []string, goflags string) (commandLine, error) {
	var line commandLine
	for _, f := range strings.Fields(goflags) {
		name, value, _ := flagOf(f)
		switch name {
		case "overlay":
			line.overlay = value
		case "tags":
			line.tags = splitTags(value)
		}
	}
	for i := 0; i < len(args); i++ {
		name, value, given := flagOf(args[i])
		switch name {
		case "args":
			line.rest = append(line.rest, args[i:]...)
			return line, nil
		case "C", "overlay", "tags":
			if !given {
				if i++; i == len(args) {
					return line, fmt.Errorf("flag %s needs a value", args[i-1])
				}
				value = args[i]
			}
		}
		switch {
		case name == "C" && (line.dir != "" || len(line.rest) > 0):
			return line, fmt.Errorf("-C %s: must be the first flag", value)
		case name == "C":
			line.dir = value
		case name == "overlay":
			line.overlay = value
		case name == "tags":
			line.tags = splitTags(value)
		default:
			line.rest = append(line.rest, args[i])
		}
	}
	return line, nil
}

// flagOf returns the name of a flag, and its value if that follows an equals sign.
func flagOf(arg string) (name, value string, given bool) {
	if len(arg) < 2 || arg[0] != '-' {
		return "", "", false
	}
	return strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
}

func splitTags(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// goTest returns the arguments of the go command.
func (l commandLine) goTest(overlayFile string) []string {
	args := []string{"test"}
	if l.dir != "" {
		args = append(args, "-C", l.dir)
	}
	return slices.Concat(args, l.flags(overlayFile), l.rest)
}
