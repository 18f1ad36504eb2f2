package planner

import "strings"

// suggestionsMax bounds how many unknown names of one compile get a suggestion:
// each costs a look at every known name.
const suggestionsMax = 64

// nearest returns the candidate that looks most like the name, or the empty
// string where none is near. Of equally near ones it is the first in order.
func nearest(name string, candidates func(yield func(string) bool)) string {
	best, bestCost := "", 1+max(1, min(3, len(name)/3))
	for c := range candidates {
		if cost := editDistance(name, c, bestCost+1); cost < bestCost || cost == bestCost && best != "" && c < best {
			best, bestCost = c, cost
		}
	}
	return best
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours between two names, in bytes and regardless of case; - and _ are the
// same. It gives up at the limit and returns that.
func editDistance(a, b string, limit int) int {
	a, b = foldName(a), foldName(b)
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
			least = min(least, row[j])
		}
		if least >= limit {
			return limit
		}
		before, above, row = above, row, before
	}
	return min(above[len(b)], limit)
}

func foldName(s string) string {
	return strings.ReplaceAll(strings.ToLower(s), "_", "-")
}

// didYouMean is the hint for a suggestion; empty where there is none.
func didYouMean(suggestion string) string {
	if suggestion == "" {
		return ""
	}
	return `did you mean "` + suggestion + `"?`
}
