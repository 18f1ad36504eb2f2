package planner

// A link is an edge of the graph: task to waits for task from.
type link struct {
	from, to int32
	scope    Scope
}

// sortLinks orders links by to, then by from, and joins equal ones, of which the
// stricter scope stays. It counts instead of comparing, so its cost is linear.
func sortLinks(n int, links []link) []link {
	links = countingSort(n, links, func(l link) int32 { return l.from })
	links = countingSort(n, links, func(l link) int32 { return l.to })
	out := links[:0]
	for _, l := range links {
		if k := len(out) - 1; k >= 0 && out[k].from == l.from && out[k].to == l.to {
			out[k].scope = min(out[k].scope, l.scope)
			continue
		}
		out = append(out, l)
	}
	return out
}

func countingSort(n int, links []link, key func(link) int32) []link {
	start := make([]int32, n+1)
	for _, l := range links {
		start[key(l)+1]++
	}
	for i := range n {
		start[i+1] += start[i]
	}
	out := make([]link, len(links))
	for _, l := range links {
		k := key(l)
		out[start[k]] = l
		start[k]++
	}
	return out
}

// rows are links grouped by one of their ends: the links of task i are
// row(i) of the sorted links.
type rows struct {
	start []int32
	links []link
}

// rowsByTo groups links that sortLinks has sorted.
func rowsByTo(n int, sorted []link) rows {
	return rows{offsets(n, sorted, func(l link) int32 { return l.to }), sorted}
}

func rowsByFrom(n int, links []link) rows {
	sorted := countingSort(n, links, func(l link) int32 { return l.from })
	return rows{offsets(n, sorted, func(l link) int32 { return l.from }), sorted}
}

func offsets(n int, links []link, key func(link) int32) []int32 {
	start := make([]int32, n+1)
	for _, l := range links {
		start[key(l)+1]++
	}
	for i := range n {
		start[i+1] += start[i]
	}
	return start
}

func (r rows) row(i int32) []link { return r.links[r.start[i]:r.start[i+1]] }

// levels gives each task the length of the longest chain before it, by taking
// away tasks that wait for nothing (Kahn). order is a topological one. Tasks on
// or behind a cycle have level -1 and are not in order.
func levels(n int, out rows) (level, order []int32) {
	level = make([]int32, n)
	waits := make([]int32, n)
	for _, l := range out.links {
		waits[l.to]++
	}
	order = make([]int32, 0, n)
	for i := range int32(n) {
		if waits[i] == 0 {
			order = append(order, i)
		}
	}
	for k := 0; k < len(order); k++ {
		for _, l := range out.row(order[k]) {
			level[l.to] = max(level[l.to], level[l.from]+1)
			if waits[l.to]--; waits[l.to] == 0 {
				order = append(order, l.to)
			}
		}
	}
	for i := range waits {
		if waits[i] > 0 {
			level[i] = -1
		}
	}
	return level, order
}
