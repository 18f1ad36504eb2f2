package runner

import (
	"bytes"
	"os/exec"
	"testing"
)

// BenchmarkSpawn is what a job costs; BenchmarkPlainExec is the floor.
func BenchmarkSpawn(b *testing.B) {
	r := newRunner(b)
	i := uint32(0)
	for b.Loop() {
		i++
		e, err := r.Run(b.Context(), Command{Ref: Ref{1, i}, Script: "echo hello world"})
		if err != nil || len(e.Stdout.Head) != 12 {
			b.Fatalf("%+v %v", e, err)
		}
	}
}

func BenchmarkPlainExec(b *testing.B) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		b.Skip("no bash")
	}
	for b.Loop() {
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(shell, "-c", "echo hello world")
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil || stdout.Len() != 12 {
			b.Fatal(err)
		}
	}
}
