package orchestrator

import "unique"

// voids remembers which records changed nothing, and why. There are few of them
// and fewer reasons: every reason is kept once.
type voids map[uint64]unique.Handle[string]

func (v voids) add(index uint64, reason string) { v[index] = unique.Make(reason) }

func (v voids) reason(index uint64) string {
	if h, void := v[index]; void {
		return h.Value()
	}
	return ""
}
