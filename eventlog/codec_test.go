package eventlog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files")

// sample fills every field of a kind with a value of its own, so that two fields
// that change places change the bytes.
func sample(k Kind) Event {
	c, _ := lookup(k)
	v := reflect.New(c.typ)
	n := uint64(0)
	fill(v.Elem(), &n)
	return v.Interface().(Event)
}

func fill(v reflect.Value, n *uint64) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), n)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte{byte(*n), 0xff, 0})
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.String:
		v.SetString(strings.Repeat("x", int(*n)) + "é")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(-int64(*n) * 21)
	default:
		v.SetUint((*n * 37) & (1<<min(v.Type().Bits(), 31) - 1))
	}
}

func TestGoldenBytesOfEveryKindStay(t *testing.T) {
	for _, k := range Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			want := sample(k)
			data, err := Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", "golden", fmt.Sprintf("%s.%d.hex", k, countFields(catalogue[k].shape)))
			text := hex.EncodeToString(data) + "\n"
			if *update {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if string(golden) != text {
				t.Fatalf("the encoding changed; old logs would no longer verify\n got %s\nwant %s", text, golden)
			}
			got, err := Decode(k, data)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("decoded\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

// countFields tells the versions of a kind apart: fields are only ever added.
func countFields(s *shape) int {
	if s.elem != nil {
		return countFields(s.elem)
	}
	n := len(s.fields)
	for _, f := range s.fields {
		n += countFields(f)
	}
	return n
}

func TestGoldenBytesOfEveryVersionDecode(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "golden", "*.hex"))
	if err != nil || len(paths) < len(Kinds()) {
		t.Fatalf("%d golden files, %v", len(paths), err)
	}
	for _, path := range paths {
		name, _, _ := strings.Cut(filepath.Base(path), ".")
		k, ok := ParseKind(name)
		if !ok {
			t.Errorf("%s is of no kind", path)
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(k, data); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestKindNamesParseInEverySpelling(t *testing.T) {
	if len(Kinds()) != 36 {
		t.Fatalf("%d kinds in the catalogue", len(Kinds()))
	}
	for _, k := range Kinds() {
		for _, name := range []string{k.String(), strings.ReplaceAll(k.String(), "_", "-"), catalogue[k].typ.Name()} {
			if got, ok := ParseKind(name); !ok || got != k {
				t.Errorf("ParseKind(%q) = %v, %v", name, got, ok)
			}
		}
	}
	if k, ok := ParseKind("kind_99"); ok {
		t.Errorf("kind_99 parsed as %v", k)
	}
	if got := Kind(99).String(); got != "kind_99" {
		t.Errorf("unknown kind prints as %s", got)
	}
}

func TestDecodeRefusesWhatEncodeWouldNotWrite(t *testing.T) {
	approved := func(tail ...byte) []byte { return append([]byte{0x93}, tail...) }
	tests := []struct {
		name, reason string
		kind         Kind
		data         []byte
	}{
		{"empty", "truncated", KindAgentApproved, nil},
		{"unknown kind", "does not know", 99, approved(1, 0xa0, 0xa0)},
		{"a map", "not an array", KindAgentApproved, []byte{0x81, 0xa0, 1}},
		{"nil", "not an array", KindAgentApproved, []byte{0xc0}},
		{"trailing", "trailing bytes", KindAgentApproved, approved(1, 0xa0, 0xa0, 0)},
		{"too few", "too few fields", KindAgentApproved, []byte{0x92, 1, 0xa0}},
		{"too many", "more fields", KindAgentApproved, []byte{0x94, 1, 0xa0, 0xa0, 0xa0}},
		{"long array header", "longer than canonical", KindAgentApproved, []byte{0xdc, 0, 3, 1, 0xa0, 0xa0}},
		{"long number", "longer than canonical", KindAgentApproved, approved(0xcc, 1, 0xa0, 0xa0)},
		{"long number 2", "longer than canonical", KindAgentApproved, approved(0xcd, 0, 0xff, 0xa0, 0xa0)},
		{"long number 8", "longer than canonical", KindAgentApproved, approved(0xcf, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xa0, 0xa0)},
		{"positive as signed", "longer than canonical", KindAgentApproved, approved(0xd0, 1, 0xa0, 0xa0)},
		{"negative for unsigned", "negative", KindAgentApproved, approved(0xff, 0xa0, 0xa0)},
		{"float", "not an integer", KindAgentApproved, approved(0xcb, 0, 0, 0, 0, 0, 0, 0, 0, 0xa0, 0xa0)},
		{"bytes for string", "not a string", KindAgentApproved, approved(1, 0xc4, 0, 0xa0)},
		{"nil for string", "not a string", KindAgentApproved, approved(1, 0xc0, 0xa0)},
		{"long string header", "longer than canonical", KindAgentApproved, approved(1, 0xd9, 1, 'x', 0xa0)},
		{"string beyond the end", "length exceeds", KindAgentApproved, approved(1, 0xdb, 0xff, 0xff, 0xff, 0xff, 0xa0)},
		{"array beyond the end", "length exceeds", KindTaskRecorded, []byte{0x93, 1, 2, 0xdd, 0xff, 0xff, 0xff, 0xff}},
		{"out of range", "out of range", KindTaskRecorded, []byte{0x93, 1, 0xcf, 1, 0, 0, 0, 0, 0, 0, 0, 0xc0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := Decode(tt.kind, tt.data)
			var de *DecodeError
			if !errors.As(err, &de) {
				t.Fatalf("decoded to %+v, %v", e, err)
			}
			if !strings.Contains(de.Reason, tt.reason) {
				t.Fatalf("reason %q, want %q", de.Reason, tt.reason)
			}
			if later := tt.name == "unknown kind" || tt.name == "too many"; de.Newer() != later {
				t.Errorf("of a later version: %t", de.Newer())
			}
		})
	}
}

func TestShorterArraysOfEarlierVersionsDecode(t *testing.T) {
	type inner struct {
		_msgpack struct{} `msgpack:",as_array"`
		A        string
		B        []byte `added:"true"`
	}
	type outer struct {
		_msgpack struct{} `msgpack:",as_array"`
		In       []inner
		N        int64
		Later    []string `added:"true"`
		Flag     bool     `added:"true"`
	}
	s := shapeOf(reflect.TypeFor[outer]())
	old := []byte{0x92, 0x92, 0x91, 0xa1, 'x', 0x92, 0xa1, 'y', 0xc4, 1, 9, 7}
	full, _, reason := conform(s, old)
	if reason != "" {
		t.Fatal(reason)
	}
	want := []byte{0xdd, 0, 0, 0, 4, 0x92, 0xdd, 0, 0, 0, 2, 0xa1, 'x', 0xc0, 0x92, 0xa1, 'y', 0xc4, 1, 9, 7, 0xc0, 0xc0}
	if !bytes.Equal(full, want) {
		t.Fatalf("lengthened to %x, want %x", full, want)
	}
	if _, _, reason := conform(s, []byte{0x91, 0x90}); reason != "too few fields" {
		t.Fatalf("an array shorter than the first version: %q", reason)
	}
}

func TestEncodeRefusesWhatIsNoEvent(t *testing.T) {
	var none *RunEnded
	for _, e := range []Event{nil, none, foreign{}, &foreign{}} {
		if _, err := Encode(e); !errors.Is(err, ErrRefused) {
			t.Errorf("Encode(%T) = %v", e, err)
		}
	}
	big := &TaskRecorded{Messages: []string{strings.Repeat("x", EntryBytesMax)}}
	if _, err := Encode(big); !errors.Is(err, ErrRefused) {
		t.Errorf("an event past the limit: %v", err)
	}
}

type foreign struct{}

func (foreign) Kind() Kind { return KindRunEnded }

func TestEveryEventRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.SampledFrom(Kinds()).Draw(t, "kind")
		c, _ := lookup(k)
		v := reflect.New(c.typ)
		draw(t, v.Elem())
		e := v.Interface().(Event)
		data, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(k, data)
		if err != nil {
			t.Fatalf("%x: %v", data, err)
		}
		if !reflect.DeepEqual(got, e) {
			t.Fatalf("got %+v want %+v", got, e)
		}
	})
}

func draw(t *rapid.T, v reflect.Value) {
	edges := []int64{0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64,
		-1, -32, -33, -128, -129, -32768, -32769, math.MinInt32, math.MinInt32 - 1, math.MinInt64}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				draw(t, v.Field(i))
			}
		}
	case reflect.Slice:
		n := rapid.SampledFrom([]int{-1, 0, 1, 2, 15, 16, 17}).Draw(t, "length")
		if n < 0 {
			return
		}
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(bytes.Repeat([]byte{0xc1}, n*17))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			draw(t, v.Index(i))
		}
	case reflect.String:
		v.SetString(strings.Repeat("é", rapid.SampledFrom([]int{0, 1, 15, 16, 127, 128, 32768}).Draw(t, "text")))
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, "bool"))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rapid.SampledFrom(edges).Draw(t, "int"))
	default:
		v.SetUint(uint64(rapid.SampledFrom(edges).Draw(t, "uint")))
	}
}

func TestEventsAreReadableJSON(t *testing.T) {
	e := &JobEnded{Attempt: 7, Outcome: NotStarted, Stdout: Output{Head: []byte("hi\n"), Size: 3}}
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"outcome":"not_started"`, `"stdout":{"head":"hi\n","size":3}`, `"started_at":0`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, k := range Kinds() {
		data, err := Encode(sample(k))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint16(k), data)
	}
	f.Add(uint16(KindTaskRecorded), []byte{0x93, 1, 2, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		e, err := Decode(Kind(kind), data)
		if err != nil {
			var de *DecodeError
			if !errors.As(err, &de) || de.Offset > len(data) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		again, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, data) && !earlier(t, data, again) {
			t.Fatalf("two spellings of one event\n in %x\nout %x", data, again)
		}
	})
}

// earlier reports whether an event is spelled as a version spelled it that knew fewer
// fields: those that were added later are zero behind the others, at any depth.
func earlier(t *testing.T, data, again []byte) bool {
	t.Helper()
	before, now := msgpack.NewDecoder(bytes.NewReader(data)), msgpack.NewDecoder(bytes.NewReader(again))
	return extends(t, before, now)
}

func extends(t *testing.T, before, now *msgpack.Decoder) bool {
	t.Helper()
	old, err := before.PeekCode()
	if err != nil {
		t.Fatal(err)
	}
	code, err := now.PeekCode()
	if err != nil {
		t.Fatal(err)
	}
	list := func(c byte) bool { return msgpcode.IsFixedArray(c) || c == msgpcode.Array16 || c == msgpcode.Array32 }
	if !list(old) || !list(code) {
		return bytes.Equal(raw(t, before), raw(t, now))
	}
	fewer, err := before.DecodeArrayLen()
	if err != nil {
		t.Fatal(err)
	}
	more, err := now.DecodeArrayLen()
	if err != nil {
		t.Fatal(err)
	}
	if old == msgpcode.Array16 && fewer < 16 || old == msgpcode.Array32 && fewer < 1<<16 {
		return false // a longer spelling
	}
	for i := range more {
		switch {
		case i < fewer && !extends(t, before, now):
			return false
		case i >= fewer && !slices.Contains([]string{"\x00", "\xa0", "\xc2", "\x90", "\xc0"}, string(raw(t, now))):
			return false
		}
	}
	return fewer <= more
}

func raw(t *testing.T, d *msgpack.Decoder) msgpack.RawMessage {
	t.Helper()
	r, err := d.DecodeRaw()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func BenchmarkEncode(b *testing.B) {
	e := sample(KindJobEnded)
	for b.Loop() {
		if _, err := Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	data, err := Encode(sample(KindJobEnded))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Decode(KindJobEnded, data); err != nil {
			b.Fatal(err)
		}
	}
}
