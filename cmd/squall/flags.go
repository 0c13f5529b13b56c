package main

import "strings"

// goFlags turns flags with one dash, as the go command has them (-seeds 1000), into flags with two, which the flag library expects.
// The arguments of test are those of go test and stay as they are.
func goFlags(args []string) []string {
	if len(args) > 0 && args[0] == "test" {
		return args
	}
	out := make([]string, 0, len(args))
	for i, a := range args {
		if a == "--" {
			return append(out, args[i:]...)
		}
		if len(a) > 2 && a[0] == '-' && a[1] != '-' && strings.Trim(a[1:2], "abcdefghijklmnopqrstuvwxyz") == "" {
			a = "-" + a
		}
		out = append(out, a)
	}
	return out
}
