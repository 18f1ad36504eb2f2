package soak

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Place is where an effect is counted: one job of one attempt.
type Place struct {
	Attempt uint64
	Job     uint32
}

// Effects are what jobs really did: each appends its attempt and its number to a
// file of its host, outside of everything that quorate knows of.
type Effects struct{ dir string }

// Script is the shell command that leaves an effect.
func (e Effects) Script() string {
	return fmt.Sprintf(`echo "$QUORATE_ATTEMPT $QUORATE_JOB" >> %s/$QUORATE_HOST`, e.dir)
}

// Count reads how often each effect happened, over all hosts.
func (e Effects) Count() (map[Place]int, error) {
	paths, err := filepath.Glob(filepath.Join(e.dir, "*"))
	if err != nil {
		return nil, err
	}
	counts := map[Place]int{}
	for _, path := range paths {
		if err := e.read(path, counts); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

func (e Effects) read(path string, counts map[Place]int) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		var p Place
		if _, err := fmt.Sscanf(line, "%d %d\n", &p.Attempt, &p.Job); err != nil {
			return fmt.Errorf("%s: %q is no effect: %w", path, line, err)
		}
		counts[p]++
	}
	return nil
}
