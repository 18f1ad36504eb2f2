package cli

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// A janitor is a process that removes a directory when this one has ended without
// doing so, be it by a kill that cannot be caught.
type janitor struct {
	cmd  *exec.Cmd
	wake io.Closer // its standard input: it ends with this process
}

// janitorScript waits for the end of its input, and then for those who still
// write into the directory to end as well.
const janitorScript = `cat > /dev/null; sleep 6; rm -rf -- "$0"`

// startJanitor starts one for a directory, unless that is to be kept.
func startJanitor(dir string, keep bool) (*janitor, error) {
	if keep {
		return &janitor{}, nil
	}
	j := &janitor{cmd: exec.Command("/bin/sh", "-c", janitorScript, dir)}
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of reach of a Ctrl-C
	var err error
	if j.wake, err = j.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := j.cmd.Start(); err != nil {
		return nil, fmt.Errorf("janitor: %w", err)
	}
	return j, nil
}

// dismiss ends the janitor: the directory is taken care of.
func (j *janitor) dismiss() {
	if j.cmd == nil {
		return
	}
	_ = syscall.Kill(-j.cmd.Process.Pid, syscall.SIGKILL)
	_ = j.wake.Close()
	_ = j.cmd.Wait()
	j.cmd = nil
}
