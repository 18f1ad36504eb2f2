package facts

import (
	"fmt"

	"quorate/internal/pyvalue"
)

// A ClashError is the error of a merge of values whose types do not go together.
type ClashError struct {
	Path     string
	Old, New string // Python's names of the types
}

// Error implements error.
func (e *ClashError) Error() string {
	return fmt.Sprintf("%s is a %s, a %s cannot extend it", e.Path, e.Old, e.New)
}

// merge returns old extended by value, without changing either: mappings merge,
// and lists are appended. Anything else replaces what was there. With latest,
// lists and types that do not go together are replaced as well.
func merge(path string, old, value pyvalue.Value, latest bool) (pyvalue.Value, error) {
	switch add := value.(type) {
	case *pyvalue.Dict:
		base, ok := old.(*pyvalue.Dict)
		if !ok && latest {
			return value, nil
		}
		if !ok {
			return nil, &ClashError{Path: path, Old: old.Type(), New: value.Type()}
		}
		out := pyvalue.NewDict()
		for k, v := range base.All() {
			out.Set(k, v)
		}
		for k, v := range add.All() {
			if before, ok := out.Get(k); ok {
				merged, err := merge(path+"."+pyvalue.String(k), before, v, latest)
				if err != nil {
					return nil, err
				}
				v = merged
			}
			out.Set(k, v)
		}
		return out, nil
	case *pyvalue.List:
		if latest {
			return value, nil
		}
		base, ok := old.(*pyvalue.List)
		if !ok {
			return nil, &ClashError{Path: path, Old: old.Type(), New: value.Type()}
		}
		out := pyvalue.NewList(base.Items...)
		out.Items = append(out.Items[:len(base.Items):len(base.Items)], add.Items...)
		return out, nil
	}
	return value, nil
}
