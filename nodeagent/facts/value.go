package facts

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/vmihailenco/msgpack/v5"
	bolt "go.etcd.io/bbolt"

	"quorate/internal/pyvalue"
)

// appliedMax is how many applications of --extend-args are kept in mind.
const appliedMax = 8192

// ErrKey is the error of a name that cannot be stored.
var ErrKey = errors.New("a name of 1 to 32768 bytes is needed")

// A stored value of args or envs. Order counts up, so that reading gives the
// order of insertion.
type stored struct {
	_msgpack struct{} `msgpack:",as_array"`

	Order  uint64
	Origin Origin
	Value  []byte
}

// A Fact is one argument or environment variable with its provenance.
type Fact struct {
	Name   string
	Value  pyvalue.Value
	Origin Origin
}

// Args returns the arguments in the order in which they came to be.
func (s *Store) Args() ([]Fact, error) { return s.facts(bucketArgs) }

// Envs returns the environment variables in the order in which they came to be.
// Their values are text.
func (s *Store) Envs() ([]Fact, error) { return s.facts(bucketEnvs) }

func (s *Store) facts(bucket []byte) ([]Fact, error) {
	type row struct {
		order uint64
		fact  Fact
	}
	var rows []row
	err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(k, data []byte) error {
			st, v, err := decode(data)
			st.Origin.Secret = isSecret(tx, bucket, string(k))
			rows = append(rows, row{st.Order, Fact{Name: string(k), Value: v, Origin: st.Origin}})
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("%s of the host: %w", bucket, err)
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.order, b.order) })
	out := make([]Fact, len(rows))
	for i, r := range rows {
		out[i] = r.fact
	}
	return out, nil
}

func decode(data []byte) (stored, pyvalue.Value, error) {
	var st stored
	if err := msgpack.Unmarshal(data, &st); err != nil {
		return st, nil, err
	}
	v, err := pyvalue.Decode(st.Value)
	return st, v, err
}

// SetArg stores an argument. With extend it is merged into what is there, at
// most once for one job of one attempt: mappings merge, lists are appended, the
// rest replaces, and types that do not go together are a [*ClashError].
// It returns what is stored now and whether that is new.
func (s *Store) SetArg(name string, value pyvalue.Value, extend bool, o Origin) (now pyvalue.Value, changed bool, err error) {
	return s.set(bucketArgs, name, value, extend, o)
}

// SetEnv stores an environment variable as Python's str of the value.
func (s *Store) SetEnv(name string, value pyvalue.Value, extend bool, o Origin) (now pyvalue.Value, changed bool, err error) {
	return s.set(bucketEnvs, name, pyvalue.Str(pyvalue.String(value)), extend, o)
}

func (s *Store) set(bucket []byte, name string, value pyvalue.Value, extend bool, o Origin) (now pyvalue.Value, changed bool, err error) {
	err = s.update(func(tx *bolt.Tx) error {
		if extend {
			again, err := applied(tx, o)
			if err != nil {
				return err
			}
			if again {
				now, changed, err = current(tx.Bucket(bucket), name)
				return err
			}
		}
		now, changed, err = put(tx, bucket, name, value, extend, false, o)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("%s %s: %w", bucket[:3], name, err)
	}
	return now, changed, nil
}

func current(b *bolt.Bucket, name string) (pyvalue.Value, bool, error) {
	data := b.Get([]byte(name))
	if data == nil {
		return pyvalue.None, false, nil
	}
	_, v, err := decode(data)
	return v, false, err
}

// Load merges a mapping into the arguments, as CACHEFILE does: mappings merge,
// and lists replace those of before, so that loading a file twice changes nothing.
func (s *Store) Load(values *pyvalue.Dict, o Origin) (changed bool, err error) {
	err = s.update(func(tx *bolt.Tx) error {
		changed = false
		for k, v := range values.All() {
			_, c, err := put(tx, bucketArgs, pyvalue.Key(k), v, true, true, o)
			if err != nil {
				return err
			}
			changed = changed || c
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("args: %w", err)
	}
	return changed, nil
}

func put(tx *bolt.Tx, bucket []byte, name string, value pyvalue.Value, extend, latest bool, o Origin) (pyvalue.Value, bool, error) {
	if name == "" || len(name) > bolt.MaxKeySize {
		return nil, false, ErrKey
	}
	value = pyvalue.Plain(value)
	st := stored{Origin: o}
	b := tx.Bucket(bucket)
	if data := b.Get([]byte(name)); data != nil {
		before, old, err := decode(data)
		if err != nil {
			return nil, false, err
		}
		if extend {
			if value, err = merge(name, old, value, latest); err != nil {
				return nil, false, err
			}
			st.Origin.Secret = o.Secret || isSecret(tx, bucket, name) // it holds the one before
		}
		if string(pyvalue.Encode(value)) == string(before.Value) && st.Origin.Secret == isSecret(tx, bucket, name) {
			return value, false, nil
		}
		st.Order = before.Order
	} else {
		order, err := b.NextSequence()
		if err != nil {
			return nil, false, err
		}
		st.Order = order
	}
	st.Value = pyvalue.Encode(value)
	data, err := msgpack.Marshal(&st)
	if err != nil {
		return nil, false, err
	}
	if err := markSecret(tx, bucket, name, st.Origin.Secret); err != nil {
		return nil, false, err
	}
	return value, true, b.Put([]byte(name), data)
}

// applied reports whether this job of this attempt has extended a value before,
// and notes that it does now. Of old ones the lowest attempts are forgotten: they
// are long settled.
func applied(tx *bolt.Tx, o Origin) (bool, error) {
	b := tx.Bucket(bucketApplied)
	key := binary.BigEndian.AppendUint64(nil, o.Attempt)
	key = binary.BigEndian.AppendUint32(key, o.Job)
	if b.Get(key) != nil {
		return true, nil
	}
	count, err := b.NextSequence()
	if err != nil {
		return false, err
	}
	if count > appliedMax {
		if first, _ := b.Cursor().First(); first != nil {
			if err := b.Delete(first); err != nil {
				return false, err
			}
		}
	}
	return false, b.Put(key, []byte{1})
}

// Settle forgets which jobs have extended values and which attempts are omitted, up
// to floor:
// none of them is ever executed again. It writes nothing where there is none.
func (s *Store) Settle(floor uint64) error {
	perAttempt := [...][]byte{bucketApplied, bucketOmitted}
	settled := false
	err := s.db.View(func(tx *bolt.Tx) error {
		for _, name := range perAttempt {
			k, _ := tx.Bucket(name).Cursor().First()
			settled = settled || len(k) >= 8 && binary.BigEndian.Uint64(k) <= floor
		}
		return nil
	})
	if err != nil || !settled {
		return err
	}
	err = s.update(func(tx *bolt.Tx) error {
		for _, name := range perAttempt {
			b := tx.Bucket(name)
			var keys [][]byte
			c := b.Cursor()
			for k, _ := c.First(); len(k) >= 8 && binary.BigEndian.Uint64(k) <= floor; k, _ = c.Next() {
				keys = append(keys, append([]byte(nil), k...))
			}
			for _, k := range keys {
				if err := b.Delete(k); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("settled attempts: %w", err)
	}
	return nil
}
