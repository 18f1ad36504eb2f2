package planner

import "slices"

// The measures of a drawing, in pixels.
const (
	nodeHeight  = 42.0
	nodeGap     = 14.0
	laneHeight  = 4.0
	laneGap     = 7.0
	columnGap   = 50.0
	columnGrow  = 1.2 // more gap per edge in it
	columnSlack = 90.0
	marginSide  = 28.0
	headHeight  = 98.0
	marginFoot  = 28.0
)

// layoutLanesMax bounds the waypoints of long edges; beyond it those are drawn
// straight through.
const layoutLanesMax = 120_000

// A layoutNode is a task's box or a waypoint of long edges in one column.
type layoutNode struct {
	task          int // -1 is a waypoint
	level         int
	x, y          float64 // left edge and vertical centre
	width, height float64
	in, out       []layoutLink
}

// A layoutLink joins nodes of neighbouring columns.
type layoutLink struct {
	node   int
	weight float64
}

// A layoutEdge is an edge of the plan with the nodes that it passes, both ends
// included.
type layoutEdge struct {
	planEdge
	via []int
}

// A layout is a layered drawing: one column per level, left to right. The first
// nodes are the tasks, by position in the plan. All long edges of one task share
// one lane of waypoints and leave it where their targets are, so the number of
// waypoints is bounded by tasks × levels and not by edges × levels.
type layout struct {
	nodes         []layoutNode
	columns       [][]int // nodes from top to bottom
	edges         []layoutEdge
	width, height float64
}

// newLayout places the tasks; labelWidth says how wide the box of a task must be.
func newLayout(p *Plan, labelWidth func(task int) float64) *layout {
	l := &layout{}
	for i, level := range p.taskLevels() {
		l.nodes = append(l.nodes, layoutNode{task: i, level: int(level), width: labelWidth(i), height: nodeHeight})
	}
	l.route(p.edges())
	l.order()
	l.placeRows()
	l.placeColumns()
	return l
}

// route turns edges into chains of links between neighbouring columns.
func (l *layout) route(edges []planEdge) {
	lanes := make([][]int, len(l.nodes)) // by task, the waypoints of its lane
	reach := make([]int, len(l.nodes))
	waypoints := 0
	for _, e := range edges {
		if span := l.nodes[e.to].level - l.nodes[e.from].level - 1; span > reach[e.from] {
			waypoints += span - reach[e.from]
			reach[e.from] = span
		}
	}
	weights := map[[2]int]float64{}
	for _, e := range edges {
		level, via := l.nodes[e.from].level, []int{e.from}
		if waypoints <= layoutLanesMax {
			for at := level + 1; at < l.nodes[e.to].level; at++ {
				if lane := lanes[e.from]; at-level > len(lane) {
					lanes[e.from] = append(lane, len(l.nodes))
					l.nodes = append(l.nodes, layoutNode{task: -1, level: at, height: laneHeight})
				}
				via = append(via, lanes[e.from][at-level-1])
			}
		}
		via = append(via, e.to)
		l.edges = append(l.edges, layoutEdge{e, via})
		weight := 1.0
		switch {
		case e.critical:
			weight = 3
		case e.implied:
			weight = 0.15
		}
		for i := 1; i < len(via); i++ {
			pair := [2]int{via[i-1], via[i]}
			weights[pair] = max(weights[pair], weight)
		}
	}
	l.link(weights)
}

// link fills in the neighbours of all nodes, in an order of its own making: the
// drawing must not depend on the order of a map.
func (l *layout) link(weights map[[2]int]float64) {
	for _, e := range l.edges {
		for i := 1; i < len(e.via); i++ {
			a, b := e.via[i-1], e.via[i]
			weight, ok := weights[[2]int{a, b}]
			if !ok {
				continue
			}
			delete(weights, [2]int{a, b})
			l.nodes[a].out = append(l.nodes[a].out, layoutLink{b, weight})
			l.nodes[b].in = append(l.nodes[b].in, layoutLink{a, weight})
		}
	}
}

// placeColumns sets x, with wider gaps where many edges pass.
func (l *layout) placeColumns() {
	x := marginSide
	for i, column := range l.columns {
		width, links := 0.0, 0
		for _, n := range column {
			width = max(width, l.nodes[n].width)
			links += len(l.nodes[n].out)
		}
		for _, n := range column {
			l.nodes[n].x, l.nodes[n].width = x, width
		}
		x += width
		if i < len(l.columns)-1 {
			x += columnGap + min(columnSlack, columnGrow*float64(links))
		}
	}
	l.width = x + marginSide
}

// placeSweepsMax bounds the passes that straighten the edges.
const placeSweepsMax = 10

// placeRows sets y. Each pass moves the nodes of a column as near to the mean of
// their neighbours as their order and gaps allow.
func (l *layout) placeRows() {
	for _, column := range l.columns {
		total := 0.0
		for i, n := range column {
			if i > 0 {
				total += l.separation(column[i-1], n)
			}
			l.nodes[n].y = total
		}
		for _, n := range column {
			l.nodes[n].y -= total / 2
		}
	}
	for sweep := range placeSweepsMax {
		for i := range l.columns {
			if sweep%2 == 1 {
				i = len(l.columns) - 1 - i
			}
			l.settle(l.columns[i])
		}
	}
	top, bottom := 0.0, 0.0
	for i, n := range l.nodes {
		if i == 0 || n.y-n.height/2 < top {
			top = n.y - n.height/2
		}
		if i == 0 || n.y+n.height/2 > bottom {
			bottom = n.y + n.height/2
		}
	}
	for i := range l.nodes {
		l.nodes[i].y += headHeight - top
	}
	l.height = bottom - top + headHeight + marginFoot
}

// separation is the least distance between the centres of two neighbours.
func (l *layout) separation(above, below int) float64 {
	gap := nodeGap
	if l.nodes[above].task < 0 && l.nodes[below].task < 0 {
		gap = laneGap
	}
	return (l.nodes[above].height+l.nodes[below].height)/2 + gap
}

// settle solves one column: the positions nearest to the wanted ones (least
// squares) that keep the order and the separations. With the separations taken
// out this is isotonic regression, which pooling neighbours that violate the
// order solves exactly in one pass.
func (l *layout) settle(column []int) {
	type block struct {
		sum, weight float64
		count       int
	}
	var blocks []block
	offsets := make([]float64, len(column))
	for i, n := range column {
		if i > 0 {
			offsets[i] = offsets[i-1] + l.separation(column[i-1], n)
		}
		want, weight := l.wanted(n)
		b := block{(want - offsets[i]) * weight, weight, 1}
		for len(blocks) > 0 {
			last := blocks[len(blocks)-1]
			if last.sum/last.weight <= b.sum/b.weight {
				break
			}
			b = block{b.sum + last.sum, b.weight + last.weight, b.count + last.count}
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	i := 0
	for _, b := range blocks {
		for range b.count {
			l.nodes[column[i]].y = b.sum/b.weight + offsets[i]
			i++
		}
	}
}

// wanted is where a node would like to be and how much it insists.
func (l *layout) wanted(n int) (y, weight float64) {
	node := &l.nodes[n]
	for _, side := range [][]layoutLink{node.in, node.out} {
		for _, link := range side {
			pull := link.weight
			if node.task < 0 && l.nodes[link.node].task < 0 {
				pull *= 4 // a lane is to be straight
			}
			y += pull * l.nodes[link.node].y
			weight += pull
		}
	}
	if weight == 0 {
		return node.y, 0.05
	}
	return y / weight, weight
}

// clone of the columns, for keeping the best order.
func cloneColumns(columns [][]int) [][]int {
	out := make([][]int, len(columns))
	for i := range columns {
		out[i] = slices.Clone(columns[i])
	}
	return out
}
