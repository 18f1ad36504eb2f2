package planner

// cycles returns one shortest cycle of every knot of tasks that wait for each
// other, as the tasks along it in the order in which they wait: each requires
// the one before it, and the first requires the last. Tasks that waits does not
// mark cannot be in one. less orders tasks, so that the answer does not depend
// on anything else; a cycle begins with its knot's least task.
func cycles(n int, out rows, stuck []bool, less func(a, b int32) bool) [][]int32 {
	knot := knots(n, out, stuck)
	least := map[int32]int32{}
	var order []int32
	size := map[int32]int{}
	for i := range int32(n) {
		if !stuck[i] {
			continue
		}
		k := knot[i]
		size[k]++
		if first, seen := least[k]; !seen {
			least[k] = i
			order = append(order, k)
		} else if less(i, first) {
			least[k] = i
		}
	}
	var found [][]int32
	for _, k := range order {
		start := least[k]
		self := false
		for _, l := range out.row(start) {
			self = self || l.to == start
		}
		if size[k] > 1 || self {
			found = append(found, shortestCycle(out, knot, start))
		}
	}
	return found
}

// shortestCycle looks breadth first from a task of a knot for a way back to it.
func shortestCycle(out rows, knot []int32, start int32) []int32 {
	before := map[int32]int32{}
	queue := []int32{start}
	for k := 0; k < len(queue); k++ {
		at := queue[k]
		for _, l := range out.row(at) {
			if l.to == start {
				cycle := []int32{at}
				for at != start {
					at = before[at]
					cycle = append(cycle, at)
				}
				for i, j := 0, len(cycle)-1; i < j; i, j = i+1, j-1 {
					cycle[i], cycle[j] = cycle[j], cycle[i]
				}
				return cycle
			}
			if _, seen := before[l.to]; !seen && knot[l.to] == knot[start] {
				before[l.to] = at
				queue = append(queue, l.to)
			}
		}
	}
	return []int32{start}
}

// knots names the strongly connected component of each stuck task (Tarjan, with
// a stack of its own instead of recursion, since chains may be long).
func knots(n int, out rows, stuck []bool) []int32 {
	knot := make([]int32, n)
	seen := make([]int32, n) // order of visit, from 1
	low := make([]int32, n)
	for i := range knot {
		knot[i] = -1
	}
	type frame struct{ at, edge int32 }
	var open []int32
	var calls []frame
	var visits int32
	visit := func(i int32) {
		visits++
		seen[i], low[i] = visits, visits
		open = append(open, i)
		calls = append(calls, frame{at: i})
	}
	for root := range int32(n) {
		if !stuck[root] || seen[root] > 0 {
			continue
		}
		for visit(root); len(calls) > 0; {
			f := &calls[len(calls)-1]
			if row := out.row(f.at); int(f.edge) < len(row) {
				to := row[f.edge].to
				f.edge++
				switch {
				case !stuck[to]:
				case seen[to] == 0:
					visit(to)
				case knot[to] < 0:
					low[f.at] = min(low[f.at], seen[to])
				}
				continue
			}
			at := f.at
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				parent := calls[len(calls)-1].at
				low[parent] = min(low[parent], low[at])
			}
			if low[at] != seen[at] {
				continue
			}
			for knot[at] < 0 {
				last := open[len(open)-1]
				open = open[:len(open)-1]
				knot[last] = at
			}
		}
	}
	return knot
}
