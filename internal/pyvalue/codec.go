package pyvalue

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
)

// ErrEncoding is the error of [Decode] for bytes that [Encode] did not write.
var ErrEncoding = errors.New("damaged encoding of a value")

// The tags of the encoding. They are stored on disk and never renumbered.
const (
	tagNone  = 'n'
	tagTrue  = 't'
	tagFalse = 'f'
	tagInt   = 'i'
	tagBig   = 'b'
	tagFloat = 'd'
	tagStr   = 's'
	tagList  = 'l'
	tagTuple = 'u'
	tagDict  = 'm'
)

// Encode writes a value in a form that keeps types and order. Nesting beyond
// 200 levels becomes None.
func Encode(v Value) []byte { return encode(nil, v, 0) }

func encode(b []byte, v Value, depth int) []byte {
	if depth > depthMax {
		return append(b, tagNone)
	}
	switch v := v.(type) {
	case Bool:
		if v {
			return append(b, tagTrue)
		}
		return append(b, tagFalse)
	case Int:
		return binary.AppendVarint(append(b, tagInt), int64(v))
	case *Big:
		return appendText(append(b, tagBig), v.n.String())
	case Float:
		return binary.BigEndian.AppendUint64(append(b, tagFloat), math.Float64bits(float64(v)))
	case Str:
		return appendText(append(b, tagStr), string(v))
	case *List:
		return encodeItems(append(b, tagList), v.Items, depth)
	case Tuple:
		return encodeItems(append(b, tagTuple), v, depth)
	case *Dict:
		b = binary.AppendUvarint(append(b, tagDict), uint64(v.Len()))
		for k, item := range v.All() {
			b = encode(encode(b, k, depth+1), item, depth+1)
		}
		return b
	}
	return append(b, tagNone)
}

func encodeItems(b []byte, items []Value, depth int) []byte {
	b = binary.AppendUvarint(b, uint64(len(items)))
	for _, item := range items {
		b = encode(b, item, depth+1)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Decode reads what [Encode] wrote.
func Decode(b []byte) (Value, error) {
	d := decoder{b: b}
	v, err := d.value(0)
	if err == nil && len(d.b) > 0 {
		err = ErrEncoding
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

type decoder struct{ b []byte }

// count reads a length. Each of what it counts takes at least one byte, so a
// length beyond the rest of the input is refused before anything is allocated.
func (d *decoder) count() (int, error) {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > uint64(len(d.b)-size) {
		return 0, ErrEncoding
	}
	d.b = d.b[size:]
	return int(n), nil
}

func (d *decoder) text() (string, error) {
	n, err := d.count()
	if err != nil {
		return "", err
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s, nil
}

func (d *decoder) value(depth int) (Value, error) {
	if len(d.b) == 0 || depth > depthMax+1 {
		return nil, ErrEncoding
	}
	tag := d.b[0]
	d.b = d.b[1:]
	switch tag {
	case tagNone:
		return None, nil
	case tagTrue:
		return Bool(true), nil
	case tagFalse:
		return Bool(false), nil
	case tagInt:
		n, size := binary.Varint(d.b)
		if size <= 0 {
			return nil, ErrEncoding
		}
		d.b = d.b[size:]
		return Int(n), nil
	case tagFloat:
		if len(d.b) < 8 {
			return nil, ErrEncoding
		}
		f := math.Float64frombits(binary.BigEndian.Uint64(d.b))
		d.b = d.b[8:]
		return Float(f), nil
	case tagBig, tagStr:
		s, err := d.text()
		if err != nil || tag == tagStr {
			return Str(s), err
		}
		n, ok := new(big.Int).SetString(s, 10)
		if !ok || len(s) > intDigitsMax+1 {
			return nil, ErrEncoding
		}
		return FromBig(n), nil
	case tagList, tagTuple, tagDict:
		return d.container(tag, depth)
	}
	return nil, ErrEncoding
}

func (d *decoder) container(tag byte, depth int) (Value, error) {
	n, err := d.count()
	if err != nil {
		return nil, err
	}
	if tag == tagDict {
		out := NewDict()
		for range n {
			k, err := d.value(depth + 1)
			if err != nil {
				return nil, err
			}
			v, err := d.value(depth + 1)
			if err != nil {
				return nil, err
			}
			if _, twice := out.Get(k); twice || !out.Set(k, v) {
				return nil, ErrEncoding
			}
		}
		return out, nil
	}
	items := make([]Value, n)
	for i := range items {
		if items[i], err = d.value(depth + 1); err != nil {
			return nil, err
		}
	}
	if tag == tagTuple {
		return Tuple(items), nil
	}
	return &List{Items: items}, nil
}
