package acceptance

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"quorate/internal/soak/lab"
)

// binaryDir holds the binary that all tests run.
var binaryDir string

// built is its path; the first test that needs it builds it.
var built = sync.OnceValues(func() (string, error) { return lab.Build(binaryDir) })

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "quorate-acceptance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaryDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// full reports whether tests are to take the time and the room that the real thing
// takes, as "make acceptance" asks for: otherwise they are the same with less of it.
func full() bool { return os.Getenv("QUORATE_ACCEPTANCE") == "full" }

// size is one of two amounts: what the real thing takes, or enough to tell.
func size[N int | int64](real, enough N) N {
	if full() {
		return real
	}
	return enough
}

// startLab starts a cluster that ends with the test. What it is told to keep for its
// processes has to be made before, so that it outlives them.
func startLab(tb testing.TB, opt lab.Options) *lab.Lab {
	tb.Helper()
	bin, err := built()
	if err != nil {
		tb.Fatal(err)
	}
	opt.Binary = bin
	l, err := lab.New(tb.Context(), opt)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(l.Logs(40))
		}
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}
