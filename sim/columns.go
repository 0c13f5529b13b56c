package sim

import (
	"math"
	"slices"
)

// The order of the hosts in a picture of packets, in the text of a report and on its page.

const (
	exactColumns = 6  // hosts of which every order is tried
	mostColumns  = 64 // hosts that are put in order at all: of more than that, no screen shows the arrows
)

// columns orders hosts so that those with a link between them are close to each other: a router stands amid
// the hosts for which it forwards. Among equals the order is by name, so that the charts of two runs compare.
func columns(hosts []string, links []madeLink) []string {
	hosts = slices.Sorted(slices.Values(hosts))
	var joined [][2]int
	for _, l := range links {
		a, hasA := slices.BinarySearch(hosts, l.a.name)
		b, hasB := slices.BinarySearch(hosts, l.b.name)
		if hasA && hasB {
			joined = append(joined, [2]int{a, b})
		}
	}
	var order []int
	switch {
	case len(hosts) <= exactColumns:
		order = shortestOrder(len(hosts), joined)
	case len(hosts) <= mostColumns:
		order = shortOrder(len(hosts), joined)
	default:
		return hosts
	}
	named := make([]string, len(order))
	for i, h := range order {
		named[i] = hosts[h]
	}
	return named
}

// linkLength is the sum of the distances between linked hosts. Links of hosts that are not placed yet do not count.
func linkLength(order []int, joined [][2]int) int {
	var at [mostColumns]int // from 1 on; 0: not placed
	for i, h := range order {
		at[h] = i + 1
	}
	length := 0
	for _, l := range joined {
		if a, b := at[l[0]], at[l[1]]; a > 0 && b > 0 {
			length += max(a-b, b-a)
		}
	}
	return length
}

// shortestOrder tries all orders, and returns the first of the shortest.
func shortestOrder(hosts int, joined [][2]int) []int {
	var best []int
	least := math.MaxInt
	var try func(chosen, left []int)
	try = func(chosen, left []int) {
		if len(left) == 0 {
			if length := linkLength(chosen, joined); length < least {
				best, least = chosen, length
			}
		}
		for i, h := range left {
			try(append(slices.Clip(chosen), h), slices.Concat(left[:i], left[i+1:]))
		}
	}
	all := make([]int, hosts)
	for i := range all {
		all[i] = i
	}
	try(nil, all)
	return best
}

// shortOrder inserts one host after the other where it lengthens the links least, and then moves single hosts
// as long as that shortens them.
func shortOrder(hosts int, joined [][2]int) []int {
	insert := func(order []int, h int) []int {
		var best []int
		least := math.MaxInt
		for i := len(order); i >= 0; i-- { // equal places: the last, which keeps the order of the names
			tried := slices.Insert(slices.Clone(order), i, h)
			if length := linkLength(tried, joined); length < least {
				best, least = tried, length
			}
		}
		return best
	}
	var order []int
	for h := range hosts {
		order = insert(order, h)
	}
	for shorter := true; shorter; {
		shorter = false
		for h := range hosts {
			i := slices.Index(order, h)
			moved := insert(slices.Delete(slices.Clone(order), i, i+1), h)
			if linkLength(moved, joined) < linkLength(order, joined) {
				order, shorter = moved, true
			}
		}
	}
	return order
}
