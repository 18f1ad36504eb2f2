package runner

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A child is a process that was started here. It is waited for by a descriptor
// where the kernel gives one: a thread that is blocked in a system call for each
// job would cost more than all else that is done for a short one.
type child struct {
	pid  int
	end  *os.File                // readable once the process has ended, or nil
	done chan syscall.WaitStatus // of a goroutine that waits instead, or nil
}

// A start is what a process is started with. There is no [os/exec.Cmd] in it, which
// opens files and starts goroutines that a job does not need.
type start struct {
	path           string
	argv, env      []string
	dir            string
	stdout, stderr *os.File // nil is none
}

// run starts the process in a session of its own.
func (r *Runner) run(c *start) (*child, error) {
	for _, e := range c.env {
		if strings.IndexByte(e, 0) >= 0 {
			return nil, errors.New("an environment variable holds a NUL byte")
		}
	}
	files := [3]uintptr{r.null.Fd(), r.null.Fd(), r.null.Fd()}
	for i, f := range []*os.File{c.stdout, c.stderr} {
		if f != nil {
			files[1+i] = f.Fd()
		}
	}
	pid, err := syscall.ForkExec(c.path, c.argv, &syscall.ProcAttr{
		Dir: c.dir, Env: c.env, Files: files[:], Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, &os.PathError{Op: "fork/exec", Path: c.path, Err: err}
	}
	p := &child{pid: pid}
	// Asked for with the fork it would make that fail in sandboxes that know no such
	// descriptors, and kernels could give one that cannot be waited for. The number is
	// the process's own until it is reaped.
	if fd, err := unix.PidfdOpen(pid, 0); err == nil {
		if unix.SetNonblock(fd, true) == nil {
			p.end = os.NewFile(uintptr(fd), "pidfd")
		} else {
			unix.Close(fd)
		}
	}
	return p, nil
}

// wait returns how the process has ended, or false when ctx ends before.
func (p *child) wait(ctx context.Context) (status syscall.WaitStatus, ended bool) {
	if end := p.end; end != nil {
		p.end = nil
		defer end.Close()
		stop := context.AfterFunc(ctx, func() { _ = end.SetReadDeadline(time.Unix(1, 0)) })
		err := awaitReadable(end)
		stop()
		switch {
		case err == nil:
			return reap(p.pid), true
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, false
		}
	}
	select {
	case status = <-p.exit():
		return status, true
	case <-ctx.Done():
		return 0, false
	}
}

// exit takes how the process has ended once it has, and keeps a thread until then.
func (p *child) exit() <-chan syscall.WaitStatus {
	if p.done == nil {
		p.done = make(chan syscall.WaitStatus, 1)
		go func() { p.done <- reap(p.pid) }()
	}
	return p.done
}

// awaitReadable returns when there is something to read, without reading it.
func awaitReadable(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 && err == nil
	})
}

// reap waits for the process, which nobody else may do.
func reap(pid int) (status syscall.WaitStatus) {
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch err {
		case nil:
			return status
		case syscall.EINTR:
		default:
			return unknownStatus
		}
	}
}

// unknownStatus is neither that of a process that has exited nor of one that was killed.
const unknownStatus syscall.WaitStatus = 0x7f

// exitOf reads how the process ended.
func exitOf(s syscall.WaitStatus) (code int, signal string) {
	switch {
	case s.Signaled():
		return 128 + int(s.Signal()), unix.SignalName(s.Signal())
	case s.Exited():
		return s.ExitStatus(), ""
	}
	return -1, ""
}

// joinEnv returns the entries of base and of more. Of several for one variable the
// last counts, but for those of base alone.
func joinEnv(base, more []string) []string {
	all := make([]string, 0, len(base)+len(more))
	for _, e := range base {
		if !setsAny(more, e) {
			all = append(all, e)
		}
	}
	for i, e := range more {
		if !setsAny(more[i+1:], e) {
			all = append(all, e)
		}
	}
	return all
}

// setsAny reports whether one of the entries is for the variable that the entry is for.
func setsAny(entries []string, entry string) bool {
	name, _, ok := strings.Cut(entry, "=")
	return ok && slices.ContainsFunc(entries, func(e string) bool {
		return len(e) > len(name) && e[len(name)] == '=' && e[:len(name)] == name
	})
}
