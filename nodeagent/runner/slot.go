package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

const (
	nameOut    = "out"
	nameErr    = "err"
	nameStatus = "status"
	nameScript = "script"

	// statusBytesMax is the size from which on a slot's log starts anew.
	statusBytesMax = 64 << 10
)

// A slot is a directory with the files of one attempt at a time. Making and
// removing files costs a job more than all else that is done for it here, above
// all while others sync to the same disk, so slots and their files are used again.
//
// The status file is a log: the agent writes "S <spawn> <attempt> <job>" before it
// starts a process, the shell "E <spawn> <code>" when the script ends. The outputs
// are those of the last spawn.
type slot struct {
	dir            string
	attempt        uint64
	job            uint32
	spawn          uint64 // of the last S line
	status         *os.File
	stdout, stderr *os.File
	// dirty says that a process may be left that writes to the outputs.
	dirty  bool
	script bool // the script is in a file
}

func (s *slot) path(name string) string { return s.dir + "/" + name }

// openSlot opens a slot, or makes it.
func openSlot(dir string) (*slot, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("files of a job: %w", err)
	}
	s := &slot{dir: dir}
	for _, f := range []struct {
		to   **os.File
		name string
	}{{&s.status, nameStatus}, {&s.stdout, nameOut}, {&s.stderr, nameErr}} {
		file, err := os.OpenFile(s.path(f.name), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("files of a job: %w", err)
		}
		*f.to = file
	}
	return s, nil
}

func (s *slot) close() {
	for _, f := range []*os.File{s.status, s.stdout, s.stderr} {
		if f != nil {
			f.Close()
		}
	}
}

// remove closes the slot and takes its files away.
func (s *slot) remove() error {
	s.close()
	return os.RemoveAll(s.dir)
}

// begin empties the outputs and logs that a process of the job starts. The log
// comes last: until it says so nothing was started.
func (s *slot) begin(j Ref) error {
	if s.script {
		s.script = false
		os.Remove(s.path(nameScript))
	}
	if s.dirty {
		if err := s.renew(); err != nil {
			return err
		}
	}
	for _, f := range []*os.File{s.stdout, s.stderr} {
		info, err := f.Stat()
		if err == nil && info.Size() > 0 {
			err = f.Truncate(0)
		}
		if err != nil {
			return fmt.Errorf("files of a job: %w", err)
		}
	}
	s.spawn++
	line := make([]byte, 0, 48)
	// A full disk may have cut off the line before, which must not spoil this one.
	line = append(line, "\nS "...)
	line = append(strconv.AppendUint(line, s.spawn, 10), ' ')
	line = append(strconv.AppendUint(line, j.Attempt, 10), ' ')
	line = append(strconv.AppendUint(line, uint64(j.Job), 10), '\n')
	if _, err := s.status.Write(line); err != nil {
		return fmt.Errorf("files of a job: %w", err)
	}
	return nil
}

// renew replaces the outputs by new files, so that what is left of an earlier job
// writes to the old ones.
func (s *slot) renew() error {
	for _, f := range []struct {
		at   **os.File
		name string
	}{{&s.stdout, nameOut}, {&s.stderr, nameErr}} {
		if err := os.Remove(s.path(f.name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("files of a job: %w", err)
		}
		file, err := os.OpenFile(s.path(f.name), os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("files of a job: %w", err)
		}
		(*f.at).Close()
		*f.at = file
	}
	s.dirty = false
	return nil
}

// read takes the last spawn out of the log.
func (s *slot) read() error {
	b, err := os.ReadFile(s.path(nameStatus))
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		var spawn, attempt uint64
		var job uint32
		if n, _ := fmt.Sscanf(string(line), "S %d %d %d\n", &spawn, &attempt, &job); n == 3 {
			s.spawn, s.attempt, s.job = spawn, attempt, job
		}
	}
	return nil
}

// exitCode is what the shell wrote at the end of the last spawn. A line that is
// not complete is none.
func (s *slot) exitCode() (code int, ok bool) {
	b, err := os.ReadFile(s.path(nameStatus))
	if err != nil {
		return 0, false
	}
	prefix := "E " + strconv.FormatUint(s.spawn, 10) + " "
	for line := range strings.Lines(string(b)) {
		text, found := strings.CutPrefix(line, prefix)
		text, whole := strings.CutSuffix(text, "\n")
		if !found || !whole {
			continue
		}
		if code, err = strconv.Atoi(text); err == nil && code >= 0 && code <= 255 {
			ok = true
		}
	}
	return code, ok
}

// The parts of a script that may leave a process behind. Where they are in it, or
// its process group is not empty, the outputs are not used again.
var (
	joins    = strings.NewReplacer("&&", "", ">&", "", "&>", "", "<&", "")
	outlives = regexp.MustCompile(`&|\b(setsid|nohup|disown|daemon\w*|start-stop-daemon|systemd-run|screen|tmux|at|batch)\b`)
)

func (s *slot) soil(script string, leader int) {
	s.dirty = s.dirty || !errors.Is(syscall.Kill(-leader, 0), syscall.ESRCH) || outlives.MatchString(joins.Replace(script))
}

// acquire returns the slot of an attempt.
func (r *Runner) acquire(attempt uint64) (*slot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s, ok := r.slots[attempt]; ok {
		return s, nil
	}
	var s *slot
	if n := len(r.free); n > 0 {
		s, r.free = r.free[n-1], r.free[:n-1]
		if info, err := s.status.Stat(); err != nil || info.Size() > statusBytesMax {
			if err := s.status.Truncate(0); err != nil {
				return nil, fmt.Errorf("files of a job: %w", err)
			}
		}
	} else {
		var err error
		if s, err = openSlot(filepath.Join(r.cfg.Dir, strconv.Itoa(r.next))); err != nil {
			return nil, err
		}
		r.next++
	}
	r.slots[attempt] = s
	return s, nil
}

// begin makes the slot ready for a process of the job.
func (r *Runner) begin(s *slot, j Ref) error {
	if err := s.begin(j); err != nil {
		return err
	}
	r.mu.Lock()
	s.attempt, s.job = j.Attempt, j.Job
	r.mu.Unlock()
	return nil
}

// slotOf returns the slot of a job whose process was the last to be started in its
// attempt.
func (r *Runner) slotOf(j Ref) (*slot, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.slots[j.Attempt]
	return s, ok && s.attempt == j.Attempt && s.job == j.Job
}

// nameKept is a file that says that the directory is the one that agents have used
// before.
const nameKept = "kept"

// Blank reports whether the directory is new, or was taken away and made again.
// Then it proves nothing that it holds no start of a job: what an earlier agent had
// running has to be settled before [Runner.Keep].
func (r *Runner) Blank() bool { return r.blank }

// Keep says that from now on a job has not started that the directory knows nothing of.
func (r *Runner) Keep() error {
	f, err := os.OpenFile(filepath.Join(r.cfg.Dir, nameKept), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("directory of jobs: %w", err)
	}
	r.blank = false
	return f.Close()
}

// load finds the slots of an earlier agent.
func (r *Runner) load() error {
	_, err := os.Stat(filepath.Join(r.cfg.Dir, nameKept))
	r.blank = errors.Is(err, os.ErrNotExist)
	entries, err := os.ReadDir(r.cfg.Dir)
	if err != nil {
		return fmt.Errorf("directory of jobs: %w", err)
	}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		r.next = max(r.next, n+1)
		s, err := openSlot(filepath.Join(r.cfg.Dir, e.Name()))
		if err != nil {
			return err
		}
		if err := s.read(); err != nil {
			return fmt.Errorf("files of a job: %w", err)
		}
		// Nobody knows what an earlier agent left behind.
		s.dirty, s.script = true, true
		if _, taken := r.slots[s.attempt]; taken || s.attempt == 0 {
			if err := s.remove(); err != nil {
				return fmt.Errorf("files of a job: %w", err)
			}
			continue
		}
		r.slots[s.attempt] = s
	}
	return nil
}

// Attempts returns the attempts that have files.
func (r *Runner) Attempts() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := make([]uint64, 0, len(r.slots))
	for id := range r.slots {
		ids = append(ids, id)
	}
	return ids
}

// Forget gives the files of an attempt up whose end is in the journal.
func (r *Runner) Forget(attempt uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok := r.slots[attempt]
	if !ok {
		return nil
	}
	delete(r.slots, attempt)
	if s.dirty || len(r.free) >= freeSlotsMax {
		return s.remove()
	}
	r.free = append(r.free, s)
	return nil
}
