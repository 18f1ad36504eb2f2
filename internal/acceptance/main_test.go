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

// binary builds it when the first test needs it.
var binary = sync.OnceValues(func() (string, error) { return lab.Build(binaryDir) })

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

// startLab starts a cluster that ends with the test. What it is told to keep for its
// processes has to be made before, so that it outlives them.
func startLab(tb testing.TB, opt lab.Options) *lab.Lab {
	tb.Helper()
	bin, err := binary()
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
