package component

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"quorate/internal/job"
)

const (
	// describeTimeout bounds how long a component may take to describe itself.
	describeTimeout = 10 * time.Second
	// drainTimeout bounds the wait for what a component left running with its output open.
	drainTimeout = time.Second
	// executableBytesMax bounds a component: it travels with every plan that uses it.
	executableBytesMax = 256 << 20
)

// A Directory is a folder of components: each executable file in it is one, and
// is called as its verb, in any case and with any extension. Components are asked
// for their description when somebody looks for their verb. Its methods are safe
// for concurrent use.
type Directory struct {
	path string
	// Problems are what is wrong with the folder, sorted.
	Problems []string
	found    map[string]*found
	timeout  time.Duration // of a description
}

// found is one component.
type found struct {
	path string
	once sync.Once
	decl *job.Declaration
	desc *Description
}

// Open lists a folder. reserved reports the names that no component may take.
func Open(path string, reserved func(verb string) bool) (*Directory, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("components: %w", err)
	}
	d := &Directory{path: path, found: map[string]*found{}, timeout: describeTimeout}
	for _, e := range entries {
		file := filepath.Join(path, e.Name())
		info, err := os.Stat(file)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 || strings.HasPrefix(e.Name(), ".") {
			continue // notes, modules and data may lie beside components
		}
		stem, _, _ := strings.Cut(e.Name(), ".")
		verb := strings.ToUpper(stem)
		other := d.found[verb]
		switch {
		case !verbPattern.MatchString(verb):
			d.problem("%s: %q is no name of a verb: use letters, digits and underscores", file, stem)
		case reserved(verb):
			d.problem("%s: %s is a built-in verb, whose name no component may take: rename the file and what it describes itself as", file, verb)
		case other != nil:
			d.problem("%s: %s is also the verb %s", file, other.path, verb)
		default:
			d.found[verb] = &found{path: file}
		}
	}
	slices.Sort(d.Problems)
	return d, nil
}

func (d *Directory) problem(format string, args ...any) {
	d.Problems = append(d.Problems, fmt.Sprintf(format, args...))
}

// Verbs are the verbs of the components, sorted.
func (d *Directory) Verbs() []string { return slices.Sorted(maps.Keys(d.found)) }

// Path is the file of a verb, or "".
func (d *Directory) Path(verb string) string {
	if f := d.found[verb]; f != nil {
		return f.path
	}
	return ""
}

// Lookup finds the declaration of a component by its verb. Where the component
// does not describe itself as it should, the declaration says so. It is a
// [job.Lookup].
func (d *Directory) Lookup(verb string) (*job.Declaration, bool) {
	f := d.found[verb]
	if f == nil {
		return nil, false
	}
	f.once.Do(func() {
		desc, contents, err := load(f.path, verb, d.timeout)
		if err != nil {
			f.decl = &job.Declaration{Verb: verb, Problem: fmt.Sprintf("the component %s cannot be used: %v", f.path, err)}
			return
		}
		f.desc, f.decl = desc, desc.Declaration()
		f.decl.Brings = contents
	})
	return f.decl, true
}

// load asks a component for its description, and returns what its jobs bring to
// the hosts.
func load(path, verb string, timeout time.Duration) (*Description, []job.Content, error) {
	executable, err := digest(path)
	if err != nil {
		return nil, nil, err
	}
	reply, err := describe(path, timeout)
	if err != nil {
		return nil, nil, err
	}
	desc, err := DecodeDescription(reply)
	if err != nil {
		return nil, nil, err
	}
	if desc.Verb() != verb {
		return nil, nil, fmt.Errorf("it calls itself %s: the file has to be called as its verb", desc.Verb())
	}
	// What travels is not the component's own text: blanks in it make no other plan.
	canonical, err := json.Marshal(desc)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(canonical)
	name := "components/" + strings.ToLower(verb)
	executable.Input, executable.File.Name = name, job.ComponentFile
	return desc, []job.Content{executable, {
		Input: name + ".json", Bytes: canonical,
		File: job.File{Name: job.DescriptionFile, Digest: hex.EncodeToString(sum[:]), Size: int64(len(canonical)), Mode: 0o600},
	}}, nil
}

func digest(path string) (job.Content, error) {
	f, err := os.Open(path)
	if err != nil {
		return job.Content{}, err
	}
	defer f.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, io.LimitReader(f, executableBytesMax+1))
	switch {
	case err != nil:
		return job.Content{}, err
	case size > executableBytesMax:
		return job.Content{}, fmt.Errorf("it is larger than %d bytes", executableBytesMax)
	}
	return job.Content{Path: path, File: job.File{Digest: hex.EncodeToString(sum.Sum(nil)), Size: size, Mode: 0o700}}, nil
}

// describe runs the component and returns what it replied.
func describe(path string, timeout time.Duration) ([]byte, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	request, err := json.Marshal(Request{Protocol: Version, Action: Describe})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var stdout, stderr bounded
	cmd := exec.CommandContext(ctx, absolute, string(Describe))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(request), &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = drainTimeout
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("it did not describe itself within %s", timeout)
	case stdout.over:
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLong, DescriptionBytesMax)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return nil, fmt.Errorf("describe: %w%s", err, stderr.said())
	}
	return stdout.Bytes(), nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	over bool
}

// Write implements io.Writer; it never fails, so that the writer goes on.
func (b *bounded) Write(p []byte) (int, error) {
	room := DescriptionBytesMax - b.Len()
	b.over = b.over || len(p) > room
	b.Buffer.Write(p[:min(len(p), room)])
	return len(p), nil
}

// said is the last line of an error output, for the end of a message.
func (b *bounded) said() string {
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return ": " + last
	}
	return ""
}
