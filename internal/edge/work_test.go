package edge

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// writeTasks writes the files of a deployment to one host and returns the arguments
// of the command that applies it: tasks of one job each, named by their numbers from
// 0, each of which requires the one before where they are a chain.
func (s *site) writeTasks(name, host string, count int, chain bool, job func(task int) string) []string {
	s.t.Helper()
	return s.writeFleet(name, []string{host}, count, chain, job)
}

// writeFleet does so for several hosts, each of which gets all of the tasks.
func (s *site) writeFleet(name string, hosts []string, count int, chain bool, job func(task int) string) []string {
	s.t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "id: %s\nversion: \"1.0\"\ntype: service\ntasks:\n", name)
	for i := range count {
		fmt.Fprintf(&text, "  - id: t%d\n    driver: directord\n    provides: [%s.t%d]\n", i, name, i)
		if chain && i > 0 {
			fmt.Fprintf(&text, "    requires: [%s.t%d]\n", name, i-1)
		}
		fmt.Fprintf(&text, "    jobs:\n      - RUN: %s\n", job(i))
	}
	inventory := "hosts:\n"
	for _, h := range hosts {
		inventory += fmt.Sprintf("  %s: {role: node}\n", h)
	}
	return []string{
		"apply", "--ignore-cache", "-s", s.write(name+".yaml", text.String()),
		"-i", s.write(name+"-inventory.yaml", inventory),
		"-r", s.write(name+"-roles.yaml", fmt.Sprintf("node:\n  services: [%s]\n", name)),
	}
}

// writeJobs writes an orchestration of one host, and returns the arguments of the
// command that runs it.
func (s *site) writeJobs(name string, count int, job string) []string {
	return []string{"orchestrate", "--ignore-cache", s.write(name+".yaml", "- name: "+name+"\n  jobs:\n"+strings.Repeat("    - RUN: "+job+"\n", count))}
}

// lap is how long a command took from its start to its end.
func (s *site) lap(args ...string) time.Duration {
	s.t.Helper()
	began := time.Now()
	if _, err := s.Run(s.t.Context(), s.Servers()[0], args...); err != nil {
		s.t.Fatal(err)
	}
	return time.Since(began)
}

// spawnFloor is what it takes to spawn a shell so often, one after the other, output
// captured, and nothing else.
func spawnFloor(t testing.TB, count int, script string) time.Duration {
	t.Helper()
	began := time.Now()
	for range count {
		var stdout, stderr bytes.Buffer
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(began)
}
