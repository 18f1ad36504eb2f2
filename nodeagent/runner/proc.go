package runner

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A procStat is what is needed of /proc/<pid>/stat.
type procStat struct {
	pid, group, session int32
	state               byte
	startTicks          uint64
}

func (p procStat) process() Process { return Process{Pid: p.pid, StartTicks: p.startTicks} }

// live is false for a process that only waits to be reaped.
func (p procStat) live() bool { return p.state != 'Z' && p.state != 'X' }

func readStat(pid int32) (procStat, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/stat")
	if err != nil {
		return procStat{}, false
	}
	return parseStat(pid, b)
}

// parseStat reads a stat line. The command's name is in parentheses and may hold
// anything, parentheses too; see proc_pid_stat(5) for the numbers.
func parseStat(pid int32, b []byte) (procStat, bool) {
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return procStat{}, false
	}
	fields := strings.Fields(string(b[end+1:]))
	if len(fields) < 20 {
		return procStat{}, false
	}
	group, err1 := strconv.ParseInt(fields[2], 10, 32)
	session, err2 := strconv.ParseInt(fields[3], 10, 32)
	start, err3 := strconv.ParseUint(fields[19], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return procStat{}, false
	}
	return procStat{pid: pid, group: int32(group), session: int32(session), state: fields[0][0], startTicks: start}, true
}

func identify(pid int) (Process, bool) {
	s, ok := readStat(int32(pid))
	return s.process(), ok
}

// processes returns all processes that are not zombies.
func processes() ([]procStat, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var all []procStat
	for _, n := range names {
		pid, err := strconv.ParseInt(n, 10, 32)
		if err != nil {
			continue
		}
		if s, ok := readStat(int32(pid)); ok && s.live() {
			all = append(all, s)
		}
	}
	return all, nil
}

// marked reports whether the process has the job's markers in its environment, or
// one of the job's output files open.
func (r *Runner) marked(j Ref, pid int32) bool {
	base := "/proc/" + strconv.Itoa(int(pid))
	if env, err := os.ReadFile(base + "/environ"); err == nil {
		var journal, attempt, job bool
		for _, e := range bytes.Split(env, []byte{0}) {
			switch string(e) {
			case envJournal + "=" + r.cfg.JournalID:
				journal = true
			case envAttempt + "=" + strconv.FormatUint(j.Attempt, 10):
				attempt = true
			case envJob + "=" + strconv.FormatUint(uint64(j.Job), 10):
				job = true
			}
		}
		if journal && attempt && job {
			return true
		}
	}
	if int(pid) == os.Getpid() {
		return false // the agent itself holds the files too
	}
	s, ok := r.slotOf(j)
	if !ok {
		return false
	}
	for _, fd := range []string{"1", "2"} {
		to, err := os.Readlink(base + "/fd/" + fd)
		if err == nil && (to == s.path(nameOut) || to == s.path(nameErr)) {
			return true
		}
	}
	return false
}

// survivors returns what is alive of the job: the processes of the leader's
// session and group, and those that carry its marks wherever they went.
func (r *Runner) survivors(j Ref, leader Process) ([]procStat, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	// The number of a session stays taken while any process is in it. If another
	// process has it as its own now, the session was empty in between.
	ours := leader.Pid != 0
	for _, p := range all {
		if p.pid == leader.Pid && p.startTicks != leader.StartTicks {
			ours = false
		}
	}
	var left []procStat
	for _, p := range all {
		member := ours && (p.session == leader.Pid || p.group == leader.Pid)
		if member || r.marked(j, p.pid) {
			left = append(left, p)
		}
	}
	return left, nil
}

// send signals exactly this process, not another that got its number.
func (p procStat) send(sig unix.Signal) {
	fd, err := unix.PidfdOpen(int(p.pid), 0)
	if err != nil {
		if err == unix.ENOSYS {
			if now, ok := readStat(p.pid); ok && now.startTicks == p.startTicks {
				_ = unix.Kill(int(p.pid), sig)
			}
		}
		return
	}
	defer unix.Close(fd)
	if now, ok := readStat(p.pid); ok && now.startTicks == p.startTicks {
		_ = unix.PidfdSendSignal(fd, sig, nil, 0)
	}
}
