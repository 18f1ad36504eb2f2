package pyvalue

import (
	"testing"

	"pgregory.net/rapid"
)

func TestDictKeepsTheOrderOfInsertion(t *testing.T) {
	d := NewDict()
	for _, k := range []string{"z", "a", "m"} {
		d.SetStr(k, Str(k))
	}
	d.SetStr("z", Int(1)) // keeps its place
	d.Delete(Str("a"))
	d.SetStr("a", Int(2)) // goes to the end
	if got := Repr(d); got != "{'z': 1, 'm': 'm', 'a': 2}" {
		t.Error(got)
	}
}

func TestKeysThatPythonTakesForEqual(t *testing.T) {
	d := NewDict()
	d.Set(Int(1), Str("int"))
	d.Set(Float(1), Str("float"))
	d.Set(Bool(true), Str("bool"))
	d.Set(Tuple{Int(1)}, Str("tuple"))
	d.Set(Tuple{Float(1)}, Str("tuple of float"))
	if got := Repr(d); got != "{1: 'bool', (1,): 'tuple of float'}" {
		t.Error(got)
	}
	if d.Set(NewList(), None) {
		t.Error("a list became a key")
	}
}

// TestDictAgainstModel compares a dict with a plain list of entries.
func TestDictAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := NewDict()
		type pair struct{ k, v int }
		var model []pair
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			k := rapid.IntRange(0, 9).Draw(t, "key")
			at := -1
			for i, p := range model {
				if p.k == k {
					at = i
				}
			}
			if rapid.Bool().Draw(t, "delete") {
				d.Delete(Int(k))
				if at >= 0 {
					model = append(model[:at], model[at+1:]...)
				}
				continue
			}
			v := rapid.Int().Draw(t, "value")
			d.Set(Int(k), Int(v))
			if at >= 0 {
				model[at].v = v
			} else {
				model = append(model, pair{k, v})
			}
		}
		i := 0
		for k, v := range d.All() {
			if i >= len(model) || k != Value(Int(model[i].k)) || v != Value(Int(model[i].v)) {
				t.Fatalf("entry %d is %v: %v, the model is %v", i, k, v, model)
			}
			i++
		}
		if i != len(model) || d.Len() != len(model) {
			t.Fatalf("%d entries, Len %d, the model has %d", i, d.Len(), len(model))
		}
	})
}
