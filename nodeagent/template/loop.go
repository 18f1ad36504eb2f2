package template

import (
	"fmt"

	"quorate/internal/pyvalue"
)

// A loop is the variable of that name inside of a for statement.
type loop struct {
	stmt    *forStmt
	scope   *scope
	items   []pyvalue.Value
	index   int
	depth   int
	changed []pyvalue.Value // of the last call of loop.changed
}

// Type implements pyvalue.Value.
func (*loop) Type() string { return "LoopContext" }

// String is how it prints.
func (l *loop) String() string { return fmt.Sprintf("<LoopContext %d/%d>", l.index+1, len(l.items)) }

// rest ends the loop and returns what it has not walked through yet.
func (l *loop) rest() []pyvalue.Value {
	rest := l.items[min(l.index+1, len(l.items)):]
	l.items = l.items[:min(l.index+1, len(l.items))]
	return rest
}

func (l *loop) attribute(id string) (pyvalue.Value, bool) {
	n := len(l.items)
	switch id {
	case "index":
		return pyvalue.Int(l.index + 1), true
	case "index0":
		return pyvalue.Int(l.index), true
	case "revindex":
		return pyvalue.Int(n - l.index), true
	case "revindex0":
		return pyvalue.Int(n - l.index - 1), true
	case "first":
		return pyvalue.Bool(l.index == 0), true
	case "last":
		return pyvalue.Bool(l.index == n-1), true
	case "length":
		return pyvalue.Int(n), true
	case "depth":
		return pyvalue.Int(l.depth + 1), true
	case "depth0":
		return pyvalue.Int(l.depth), true
	case "previtem":
		if l.index == 0 {
			return undefined{message: "there is no previous item"}, true
		}
		return l.items[l.index-1], true
	case "nextitem":
		if l.index+1 >= n {
			return undefined{message: "there is no next item"}, true
		}
		return l.items[l.index+1], true
	case "cycle":
		return &function{"cycle", l.cycle}, true
	case "changed":
		return &function{"changed", l.change}, true
	}
	return nil, false
}

func (l *loop) cycle(a *arguments) (pyvalue.Value, error) {
	if len(a.pos) == 0 {
		return nil, fmt.Errorf("no items for cycling given")
	}
	return a.pos[l.index%len(a.pos)], nil
}

func (l *loop) change(a *arguments) (pyvalue.Value, error) {
	same := false
	if l.changed != nil {
		var err error
		if same, err = a.r.equal(pyvalue.Tuple(l.changed), pyvalue.Tuple(a.pos)); err != nil {
			return nil, err
		}
	}
	l.changed = append([]pyvalue.Value{}, a.pos...)
	return pyvalue.Bool(!same), nil
}

// recurse renders the loop over another value, where the loop is recursive.
func (l *loop) recurse(a *arguments) (pyvalue.Value, error) {
	if !l.stmt.recursive {
		return nil, fmt.Errorf("the loop must have the 'recursive' marker to be called recursively")
	}
	args, err := a.bind("iterable")
	if err != nil {
		return nil, err
	}
	text, err := l.scope.r.capture(func() error { return l.stmt.run(l.scope, args[0], l.depth+1) })
	return pyvalue.Str(text), err
}
