package soak

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// number reads a parameter of the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestSoak lets a cluster of processes deploy while everything is done to it that
// docs/reliability.md says it survives, and then wants every promise kept. It takes
// QUORATE_SOAK_MINUTES minutes and begins with QUORATE_SOAK_SEED, or a seed of its own.
// With QUORATE_SOAK_KEEP its files stay in the temporary directory, for a post-mortem.
func TestSoak(t *testing.T) {
	minutes := number(t, "QUORATE_SOAK_MINUTES", 0)
	switch {
	case minutes == 0:
		t.Skip(`set QUORATE_SOAK_MINUTES, or use "make soak"`)
	case os.Geteuid() != 0:
		t.Skip("network namespaces need root")
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	seed := number(t, "QUORATE_SOAK_SEED", uint64(time.Now().UnixNano())%1_000_000)
	cfg := Config{
		Seed: seed, Length: time.Duration(minutes) * time.Minute,
		Orchestrators: int(number(t, "QUORATE_SOAK_ORCHESTRATORS", 3)), Agents: 6, Relayed: 2, Clients: 4,
		Binary:  os.Getenv("QUORATE_SOAK_BINARY"),
		Clocks:  number(t, "QUORATE_SOAK_CLOCKS", 0) != 0,
		Replace: number(t, "QUORATE_SOAK_REPLACE", 1) != 0,
		Keep:    filepath.Join(os.TempDir(), fmt.Sprintf("quorate-soak-%d", seed)),
		KeepAll: os.Getenv("QUORATE_SOAK_KEEP") != "",
		Log:     logger(),
	}
	fmt.Printf("soak: seed %d, %d minutes, %d orchestrators\n", seed, minutes, cfg.Orchestrators)
	report, err := Run(ctx, cfg)
	if report != nil {
		fmt.Print(report)
		if report.Decisions != "" {
			t.Logf("decisions of the operator:\n%s", report.Decisions)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range report.Broken {
		t.Error(text)
	}
	if len(report.Broken) > 0 {
		t.Logf("again with: make soak MINUTES=%d SEED=%d", minutes, seed)
	}
}

// logger prints what happens, with the time since the start, as it happens.
func logger() func(string, ...any) {
	began := time.Now()
	quiet := os.Getenv("QUORATE_SOAK_QUIET") != ""
	return func(format string, args ...any) {
		if !quiet {
			fmt.Printf("%8.1fs %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
		}
	}
}
