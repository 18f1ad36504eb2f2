package snapshot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"quorate/engine"
	"quorate/eventlog"
)

// folded is the state behind so many records, with its voids.
func folded(t testing.TB, n uint64) *Snapshot {
	t.Helper()
	s := &Snapshot{State: engine.NewState(), Voids: Voids{}}
	var head eventlog.Head
	for i := range n {
		entry, err := eventlog.NewEntry(int64(i), &eventlog.TokenCreated{TokenHash: fmt.Sprint("token-", i/2), Role: "agent"})
		if err != nil {
			t.Fatal(err)
		}
		rec := head.Next(entry)
		void, err := s.State.Fold(rec)
		if err != nil {
			t.Fatal(err)
		}
		if void != "" {
			s.Voids.Add(rec.Index, void)
		}
	}
	return s
}

func anywhere(Place) bool { return true }

// TestSaved: what is saved is read again as it was, and only where it fits.
func TestSaved(t *testing.T) {
	t.Parallel()
	dir := At(filepath.Join(t.TempDir(), DirName))
	if all, err := dir.List(); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
	for _, n := range []uint64{10, 20, 30} {
		if err := dir.Save(folded(t, n)); err != nil {
			t.Fatal(err)
		}
	}
	want := folded(t, 20)
	got, err := dir.Newest(29, anywhere, nil)
	if err != nil || got == nil {
		t.Fatal(got, err)
	}
	if got.State.Hash() != want.State.Hash() || len(got.Voids) != 10 {
		t.Errorf("another state at %d, with %d voids", got.State.Index, len(got.Voids))
	}
	for i := range uint64(20) {
		if got.Voids.Reason(i+1) != want.Voids.Reason(i+1) {
			t.Errorf("record %d is void for %q", i+1, got.Voids.Reason(i+1))
		}
	}
	if got, err := dir.Newest(9, anywhere, nil); got != nil || err != nil {
		t.Errorf("before the first: %v, %v", got, err)
	}
	fits := func(p Place) bool { return p == Place{10, folded(t, 10).State.Head} }
	if got, err := dir.Newest(99, fits, nil); err != nil || got == nil || got.State.Index != 10 {
		t.Errorf("the one that fits: %v, %v", got, err)
	}
	file, err := dir.Open(99, fits)
	if err != nil || file == nil {
		t.Fatal(file, err)
	}
	defer file.Close()
	if sent, err := Read(file, anywhere); err != nil || sent.State.Index != 10 {
		t.Errorf("sent elsewhere: %v", err)
	}
}

// TestDamaged flips each bit of a snapshot in turn, and cuts it off everywhere: no
// state is read from it.
func TestDamaged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Write(file, folded(t, 8)), file.Close()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, data []byte) {
		if s, err := Read(bytes.NewReader(data), anywhere); s != nil || !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v, %v", what, s, err)
		}
	}
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 1 << (i % 8)
		check(fmt.Sprintf("a flipped bit at %d", i), damaged)
		check(fmt.Sprintf("cut off at %d", i), data[:i])
	}
	check("a byte behind it", append(bytes.Clone(data), 0))
}

// TestPassedOver: a snapshot that is damaged, of another log or by another version is
// passed over for the one before it, and told.
func TestPassedOver(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	dir := At(path)
	for _, n := range []uint64{10, 20, 30, 40} {
		if err := dir.Save(folded(t, n)); err != nil {
			t.Fatal(err)
		}
	}
	edit := func(index uint64, at int) {
		data, err := os.ReadFile(dir.file(index))
		if err != nil {
			t.Fatal(err)
		}
		data[at]++
		if err := os.WriteFile(dir.file(index), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit(40, headerBytes+9)
	edit(30, len(magic))
	var told []uint64
	fits := func(p Place) bool { return p.Index != 20 }
	got, err := dir.Newest(99, fits, func(index uint64, err error) {
		told = append(told, index)
		if index == 30 && !errors.Is(err, ErrOther) || index == 40 && !errors.Is(err, ErrDamaged) || index == 20 && err != nil {
			t.Errorf("%d: %v", index, err)
		}
	})
	if err != nil || got == nil || got.State.Index != 10 || !slices.Equal(told, []uint64{40, 30, 20}) {
		t.Errorf("got %v, %v, told of %v", got, err, told)
	}
	if err := os.WriteFile(filepath.Join(path, "x.state.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dir.Clean(); err != nil {
		t.Fatal(err)
	}
	if names, _ := os.ReadDir(path); len(names) != 4 {
		t.Errorf("left are %v", names)
	}
}

// TestThinned: there are never too many, the newest are all there, and what is left
// of the older ones is spread over the log.
func TestThinned(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	dir := At(path)
	const count = 120
	for i := range uint64(count) {
		if err := os.WriteFile(dir.file((i+1)*100), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := dir.Thin(); err != nil {
			t.Fatal(err)
		}
	}
	all, err := dir.List()
	if err != nil || len(all) != KeptMax {
		t.Fatal(all, err)
	}
	for i := range newestKept {
		if want := uint64(count-i) * 100; all[len(all)-1-i] != want {
			t.Errorf("%d is not there: %v", want, all)
		}
	}
	gap := all[0]
	for i := 1; i < len(all); i++ {
		gap = max(gap, all[i]-all[i-1])
	}
	if even := uint64(count * 100 / (KeptMax - newestKept)); gap > 3*even {
		t.Errorf("a gap of %d, where %d would be even: %v", gap, even, all)
	}
}

// TestVoidsCoded: any voids are read as they were written.
func TestVoidsCoded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		want := Voids{}
		for index, reason := range rapid.MapOf(rapid.Uint64(), rapid.String()).Draw(rt, "voids") {
			want.Add(index, reason)
		}
		s := &Snapshot{State: engine.NewState(), Voids: want}
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		defer file.Close()
		if err := Write(file, s); err != nil {
			rt.Fatal(err)
		}
		if _, err := file.Seek(0, 0); err != nil {
			rt.Fatal(err)
		}
		got, err := Read(file, anywhere)
		if err != nil {
			rt.Fatal(err)
		}
		for index := range want {
			if got.Voids.Reason(index) != want.Reason(index) {
				rt.Errorf("%d: %q, want %q", index, got.Voids.Reason(index), want.Reason(index))
			}
		}
	})
}

// FuzzRead: anything is refused or is a snapshot.
func FuzzRead(f *testing.F) {
	path := filepath.Join(f.TempDir(), "s")
	file, err := os.Create(path)
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(Write(file, folded(f, 8)), file.Close()); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:headerBytes])
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Read(bytes.NewReader(data), anywhere)
		if (s == nil) == (err == nil) {
			t.Errorf("%v, %v", s, err)
		}
	})
}

// TestSum: the sum is that of the encoded state, of a snapshot that is sound and fits;
// one that somebody made up has another.
func TestSum(t *testing.T) {
	t.Parallel()
	dir := At(filepath.Join(t.TempDir(), DirName))
	good := folded(t, 20)
	var encoded bytes.Buffer
	if err := good.State.Encode(&encoded); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(encoded.Bytes())
	if err := dir.Save(good); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := dir.Sum(20, anywhere); got != want || !ok || err != nil {
		t.Errorf("%x, %v, %v, want %x", got, ok, err, want)
	}
	if _, ok, err := dir.Sum(20, func(Place) bool { return false }); ok || err != nil {
		t.Errorf("one that does not fit: %v, %v", ok, err)
	}
	good.State.Epoch++
	if err := dir.Save(good); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := dir.Sum(20, anywhere); got == want || !ok || err != nil {
		t.Errorf("one that is made up: %x, %v, %v", got, ok, err)
	}
	text, err := os.ReadFile(dir.File(20))
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(dir.File(20), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := dir.Sum(20, anywhere); ok || !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged one: %v, %v", ok, err)
	}
}

// TestNoFile passes over what only has a snapshot's name: opening a pipe would wait.
func TestNoFile(t *testing.T) {
	t.Parallel()
	dir := At(t.TempDir())
	if err := syscall.Mkfifo(dir.File(7), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := dir.List(); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}
