package bench

import (
	"fmt"
	"os"
	"testing"

	"quorate/internal/bench/crowd"
)

// binaryDir holds the binary that all benchmarks run.
var binaryDir string

func TestMain(m *testing.M) {
	if ran, err := crowd.Main(); ran {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if task := os.Getenv(pastVariable); task != "" {
		if err := past(task); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "quorate-bench-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaryDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
