package planner_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quorate/internal/conformance"
	"quorate/planner"
)

// A scale is what the generator wrote.
type scale struct {
	sources planner.Sources
	// tasks are the ids of the tasks of services with hosts, requires the pairs
	// of task and required task.
	tasks    map[string]bool
	requires [][2]string
	assigned int
}

// writeScale writes factor × (1000 hosts, 100 roles, 1000 services): the input
// that Task-Core's own scale generator makes. Host n has role n modulo the roles,
// a role has 1 to 19 services, a service 1 to 4 print tasks in a chain, and one in
// four tasks of services with hosts also requires one or two earlier symbols.
func writeScale(t testing.TB, seed uint64, factor int) scale {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, seed))
	hosts, roles, services := 1000*factor, 100*factor, 1000*factor
	dir := t.TempDir()
	s := scale{
		sources: planner.Sources{Services: filepath.Join(dir, "services"), Inventory: filepath.Join(dir, "inventory.yaml"), Roles: filepath.Join(dir, "roles.yaml")},
		tasks:   map[string]bool{},
	}
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(s.sources.Services, 0o755); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("hosts:\n")
	for n := range hosts {
		fmt.Fprintf(&b, "  host-%04d:\n    role: role-%d\n", n, n%roles)
	}
	write(s.sources.Inventory, b.String())
	b.Reset()
	assigned := make([]bool, services)
	for r := range roles {
		fmt.Fprintf(&b, "role-%d:\n  services:\n", r)
		for _, i := range rnd.Perm(services)[:1+rnd.IntN(19)] {
			assigned[i] = true
			fmt.Fprintf(&b, "    - service-%d\n", i)
		}
	}
	write(s.sources.Roles, b.String())
	var symbols []string // of services with hosts, "service-1-task-0" is also the task's id
	for i := range services {
		b.Reset()
		fmt.Fprintf(&b, "id: service-%d\ntype: service\nversion: 1.0.0\ntasks:\n", i)
		for k := range 1 + rnd.IntN(4) {
			id := fmt.Sprintf("service-%d-task-%d", i, k)
			fmt.Fprintf(&b, "  - id: task-%d\n    driver: print\n    message: running %s\n    provides:\n      - %s\n", k, id, id)
			var needs []string
			if k > 0 {
				needs = append(needs, fmt.Sprintf("service-%d-task-%d", i, k-1))
			}
			if assigned[i] && len(symbols) > 0 && rnd.IntN(4) == 0 {
				for range 1 + rnd.IntN(2) {
					needs = append(needs, symbols[rnd.IntN(len(symbols))])
				}
			}
			if len(needs) > 0 {
				b.WriteString("    requires:\n")
			}
			for _, n := range needs {
				fmt.Fprintf(&b, "      - %s\n", n)
				if assigned[i] {
					s.requires = append(s.requires, [2]string{id, n})
				}
			}
			if assigned[i] {
				s.tasks[id] = true
				symbols = append(symbols, id)
			}
		}
		if assigned[i] {
			s.assigned++
		}
		write(filepath.Join(s.sources.Services, fmt.Sprintf("%d.yaml", i)), b.String())
	}
	return s
}

// TestScale is conformance case 23: every task once, every requirement kept, for
// any seed.
func TestScale(t *testing.T) {
	conformance.Case(t, conformance.TaskCore, "23")
	seeds := []uint64{7, 1}
	if testing.Short() {
		seeds = seeds[:1]
	}
	for _, seed := range seeds {
		s := writeScale(t, seed, 1)
		plan := compileClean(t, s.sources, planner.Options{})
		if len(plan.Tasks) != len(s.tasks) || len(plan.Hosts) != 1000 {
			t.Errorf("seed %d: %d tasks on %d hosts, want %d on 1000", seed, len(plan.Tasks), len(plan.Hosts), len(s.tasks))
		}
		position := map[string]int{}
		for i, task := range plan.Tasks {
			if _, again := position[task.ID]; again || !s.tasks[task.ID] {
				t.Errorf("seed %d: task %q is there twice or has no hosts", seed, task.ID)
			}
			position[task.ID] = i
		}
		for _, r := range s.requires {
			if position[r[1]] >= position[r[0]] || !requires(plan, position[r[0]], position[r[1]]) {
				t.Errorf("seed %d: %s does not wait for %s", seed, r[0], r[1])
			}
		}
		if share := s.assigned; share < 550 || share > 720 {
			t.Errorf("seed %d: %d of 1000 services have hosts; the generator is not the one that was measured", seed, share)
		}
	}
}

func requires(plan *planner.Plan, task, provider int) bool {
	for _, d := range plan.Tasks[task].Requires {
		if int(d.Task) == provider {
			return true
		}
	}
	return false
}

func benchmarkScale(b *testing.B, factor int) {
	s := writeScale(b, 7, factor)
	resetPeak()
	b.ReportAllocs()
	var tasks int
	for b.Loop() {
		in, diagnostics := planner.Load(s.sources, planner.Options{})
		plan, more := planner.Compile(in, planner.Options{})
		if plan == nil {
			b.Fatal(diagnostics, more)
		}
		tasks = len(plan.Tasks)
	}
	b.ReportMetric(float64(tasks), "tasks")
	if peak, ok := peakResident(); ok {
		b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
	}
}

// The benchmarks load and compile from files in the page cache.
func BenchmarkScale1x(b *testing.B)  { benchmarkScale(b, 1) }
func BenchmarkScale10x(b *testing.B) { benchmarkScale(b, 10) }

// resetPeak makes the kernel forget the process's peak of resident memory.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) }

// peakResident is the process's peak of resident memory in bytes, where the
// kernel tells.
func peakResident() (int64, bool) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(rest)), "kB")), 10, 64)
			return kib << 10, err == nil
		}
	}
	return 0, false
}
