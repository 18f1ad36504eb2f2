package lab

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// stopGrace is how long a process has to end on SIGTERM.
const stopGrace = 20 * time.Second

// clockTicks is the unit of CPU times in /proc, per second.
const clockTicks = 100

// A Process is one of quorate's, on a host. Its methods may be called
// concurrently, and repeated.
type Process struct {
	Name string
	argv []string
	env  []string
	log  string

	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{} // closed when cmd has ended
	wanted bool          // nobody asked it to end
	paused bool
	starts int
}

// NewProcess makes a process of a test's own, on no host: it is started with argv, env
// is added to its environment, and the file log takes what it says.
func NewProcess(name, log string, env []string, argv ...string) *Process {
	return &Process{Name: name, argv: argv, env: env, log: log}
}

// Start starts the process where it does not run.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.argv[0], p.argv[1:]...)
	cmd.Env = append(os.Environ(), p.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	done := make(chan struct{})
	go func() { // ends with the process
		defer close(done)
		_ = cmd.Wait()
	}()
	p.cmd, p.done, p.wanted, p.paused = cmd, done, true, false
	p.starts++
	return nil
}

// running is called with mu held.
func (p *Process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Running reports whether the process is there.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running()
}

// Crashed reports whether the process ended although nobody asked it to.
func (p *Process) Crashed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted && !p.running()
}

// Pid returns the process's number, 0 before the first start.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// signal sends a signal and returns the channel that is closed at the end of the
// process, nil where it does not run.
func (p *Process) signal(sig syscall.Signal, ends bool) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ends {
		p.wanted = false
	}
	if !p.running() {
		return nil
	}
	if p.paused && sig != syscall.SIGKILL {
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
	}
	p.paused = sig == syscall.SIGSTOP
	_ = p.cmd.Process.Signal(sig)
	return p.done
}

// Kill ends the process without warning and waits until it is gone.
func (p *Process) Kill() {
	if done := p.signal(syscall.SIGKILL, true); done != nil {
		<-done
	}
}

// Stop asks the process to end, and kills it where it does not.
func (p *Process) Stop() error {
	done := p.signal(syscall.SIGTERM, true)
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-time.After(stopGrace):
		p.signal(syscall.SIGQUIT, true) // its goroutines are in its log then
		<-done
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.Name, stopGrace)
	}
}

// Pause stops the process where it is.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP, false) }

// Resume lets a paused process go on.
func (p *Process) Resume() { p.signal(syscall.SIGCONT, false) }

// LogSize returns how much the process has said, in bytes.
func (p *Process) LogSize() int64 {
	info, err := os.Stat(p.log)
	if err != nil {
		return 0
	}
	return info.Size()
}

// LogFrom returns what the process said from an offset on, in bytes.
func (p *Process) LogFrom(offset int64) string {
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return ""
	}
	text, _ := io.ReadAll(f)
	return string(text)
}

// LogTail returns the last lines that the process said.
func (p *Process) LogTail(lines int) string {
	all := strings.Split(strings.TrimRight(p.LogFrom(0), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// Memory returns the resident set of the process, in bytes.
func (p *Process) Memory() (int64, error) { return p.status("VmRSS:") }

// MemoryPeak returns the most that the resident set was since the process began, or
// since [Process.ForgetPeak], in bytes.
func (p *Process) MemoryPeak() (int64, error) { return p.status("VmHWM:") }

// ForgetPeak lets the peak begin anew with what is resident now.
func (p *Process) ForgetPeak() error {
	return os.WriteFile(filepath.Join("/proc", strconv.Itoa(p.Pid()), "clear_refs"), []byte("5"), 0)
}

// status reads a size of /proc, in bytes.
func (p *Process) status(name string) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.Pid()), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no %s in /proc", name)
}

// CPU returns the time that the process has spent on processors.
func (p *Process) CPU() (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.Pid()), "stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/stat has %d fields", len(fields))
	}
	var ticks int64
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / clockTicks, nil
}
