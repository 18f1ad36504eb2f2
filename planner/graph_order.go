package planner

import (
	"cmp"
	"slices"
)

// The bounds of the search for an order with few crossings: passes over the
// whole graph, and passes times links.
const (
	orderSweepsMax = 24
	orderWorkMax   = 4_000_000
)

// order sorts the nodes of each column so that few links cross: barycentre
// sweeps in alternating direction from the plan's own order; the best order seen
// stays.
func (l *layout) order() {
	links := 0
	for i := range l.nodes {
		for l.nodes[i].level >= len(l.columns) {
			l.columns = append(l.columns, nil)
		}
		l.columns[l.nodes[i].level] = append(l.columns[l.nodes[i].level], i)
		links += len(l.nodes[i].out)
	}
	at := make([]int, len(l.nodes)) // row of each node
	l.number(at)
	best, crossings := cloneColumns(l.columns), l.crossings(at)
	sweeps := min(orderSweepsMax, max(4, orderWorkMax/(links+1)))
	for sweep := 0; sweep < sweeps && crossings > 0; sweep++ {
		for i := 1; i < len(l.columns); i++ {
			if sweep%2 == 0 {
				l.sortColumn(i, at, func(n *layoutNode) []layoutLink { return n.in })
			} else {
				l.sortColumn(len(l.columns)-1-i, at, func(n *layoutNode) []layoutLink { return n.out })
			}
		}
		if c := l.crossings(at); c < crossings {
			best, crossings = cloneColumns(l.columns), c
		}
	}
	l.columns = best
}

func (l *layout) number(at []int) {
	for _, column := range l.columns {
		for row, n := range column {
			at[n] = row
		}
	}
}

// sortColumn orders a column by the mean row of the neighbours on one side.
// Nodes without any keep their place among the others.
func (l *layout) sortColumn(i int, at []int, side func(*layoutNode) []layoutLink) {
	column := l.columns[i]
	type ranked struct {
		node int
		mean float64
	}
	var sorted []ranked
	for _, n := range column {
		sum, weight := 0.0, 0.0
		for _, link := range side(&l.nodes[n]) {
			sum += link.weight * float64(at[link.node])
			weight += link.weight
		}
		if weight > 0 {
			sorted = append(sorted, ranked{n, sum / weight})
		}
	}
	slices.SortStableFunc(sorted, func(a, b ranked) int { return cmp.Compare(a.mean, b.mean) })
	for row, n := range column {
		if len(side(&l.nodes[n])) > 0 {
			column[row], sorted = sorted[0].node, sorted[1:]
		}
	}
	for row, n := range column {
		at[n] = row
	}
}

// crossings counts the pairs of links that cross: inversions, with a Fenwick
// tree over the rows of the right column.
func (l *layout) crossings(at []int) int {
	total := 0
	for i := 0; i+1 < len(l.columns); i++ {
		tree := make([]int, len(l.columns[i+1])+1)
		seen := 0
		for _, n := range l.columns[i] {
			for _, link := range l.nodes[n].out {
				below := seen
				for r := at[link.node] + 1; r > 0; r -= r & -r {
					below -= tree[r]
				}
				total += below
			}
			for _, link := range l.nodes[n].out {
				for r := at[link.node] + 1; r < len(tree); r += r & -r {
					tree[r]++
				}
				seen++
			}
		}
	}
	return total
}
