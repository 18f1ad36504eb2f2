package facts

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
	bolt "go.etcd.io/bbolt"

	"quorate/internal/pyvalue"
)

// A Heard value is one that a host has published; Value is None where the host has
// none of that name.
type Heard struct {
	Host, Key string
	Value     pyvalue.Value
	Origin    Origin
}

// Learn stores values of hosts, each in the place of the one before.
func (s *Store) Learn(values []Heard) error {
	err := s.update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketQuery)
		for i := range values {
			v := &values[i]
			data, err := msgpack.Marshal(&stored{Origin: v.Origin, Value: pyvalue.Encode(v.Value)})
			if err != nil {
				return err
			}
			if err := b.Put(queryKey(v.Host, v.Key), data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("values of hosts: %w", err)
	}
	return nil
}

func queryKey(host, key string) []byte {
	name := binary.AppendUvarint(nil, uint64(len(host)))
	return append(append(name, host...), key...)
}

// splitQueryKey undoes queryKey.
func splitQueryKey(name []byte) (host, key string, ok bool) {
	n, width := binary.Uvarint(name)
	if width <= 0 || n > uint64(len(name)-width) {
		return "", "", false
	}
	name = name[width:]
	return string(name[:n]), string(name[n:]), true
}

// Heard returns what is known of other hosts, by host and name.
func (s *Store) Heard() ([]Heard, error) {
	var out []Heard
	err := s.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucketQuery).ForEach(func(name, data []byte) error {
			host, key, ok := splitQueryKey(name)
			if !ok {
				return fmt.Errorf("the name %q is damaged", name)
			}
			st, v, err := decode(data)
			out = append(out, Heard{Host: host, Key: key, Value: v, Origin: st.Origin})
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("values of hosts: %w", err)
	}
	return out, nil
}

// Query returns what is known of other hosts as templates see it, the mapping of
// hosts to their values, and whether there is anything.
func (s *Store) Query() (*pyvalue.Dict, bool, error) {
	heard, err := s.Heard()
	if err != nil {
		return nil, false, err
	}
	query := pyvalue.NewDict()
	for _, h := range heard {
		values, ok := query.GetStr(h.Host)
		if !ok {
			values = pyvalue.NewDict()
			query.SetStr(h.Host, values)
		}
		values.(*pyvalue.Dict).SetStr(h.Key, h.Value)
	}
	return query, len(heard) > 0, nil
}

// Arg returns one argument, as it is encoded, and whether there is one.
func (s *Store) Arg(name string) (encoded []byte, ok bool, err error) {
	encoded, _, ok, err = s.argument(name)
	return encoded, ok, err
}

// IsSecret reports whether the host has an argument that nobody is to be shown, see
// [Store.Hides].
func (s *Store) IsSecret(name string) (bool, error) {
	encoded, o, ok, err := s.argument(name)
	if err != nil || !ok {
		return false, err
	}
	v, err := pyvalue.Decode(encoded)
	if err != nil {
		return false, fmt.Errorf("arg %s: %w", name, err)
	}
	return s.Hides(Fact{Name: name, Value: v, Origin: o})
}

func (s *Store) argument(name string) (encoded []byte, o Origin, ok bool, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		data := tx.Bucket(bucketArgs).Get([]byte(name))
		if data == nil {
			return nil
		}
		var st stored
		ok = true
		err := msgpack.Unmarshal(data, &st)
		encoded, o = bytes.Clone(st.Value), st.Origin
		o.Secret = isSecret(tx, bucketArgs, name)
		return err
	})
	if err != nil {
		return nil, o, false, fmt.Errorf("arg %s: %w", name, err)
	}
	return encoded, o, ok, nil
}

// Omit notes that attempts, for which this is said by one of the host's jobs, are to
// start no further jobs.
func (s *Store) Omit(attempts []uint64, by uint64) error {
	err := s.update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucketOmitted)
		for _, id := range attempts {
			if err := b.Put(binary.BigEndian.AppendUint64(nil, id), binary.BigEndian.AppendUint64(nil, by)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("omitted attempts: %w", err)
	}
	return nil
}

// Omitted returns the attempt whose job has omitted what is left of an attempt.
func (s *Store) Omitted(attempt uint64) (by uint64, omitted bool, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		if data := tx.Bucket(bucketOmitted).Get(binary.BigEndian.AppendUint64(nil, attempt)); len(data) == 8 {
			by, omitted = binary.BigEndian.Uint64(data), true
		}
		return nil
	})
	if err != nil {
		return 0, false, fmt.Errorf("omitted attempts: %w", err)
	}
	return by, omitted, nil
}
