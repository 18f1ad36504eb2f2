package planner

import "slices"

// Follows returns the positions of the tasks that the task itself requires, ascending:
// those that provide what it asks for. What it only comes after is not among them, be it
// in an orchestration, or since tasks between the two are left out.
func (p *Plan) Follows(task uint32) (providers []uint32) {
	t := &p.Tasks[task]
	for _, d := range t.Requires {
		asked := func(symbol string) bool {
			_, found := slices.BinarySearch(t.Symbols, symbol)
			return found
		}
		if slices.ContainsFunc(p.Tasks[d.Task].Provides, asked) {
			providers = append(providers, d.Task)
		}
	}
	return providers
}
