package cli

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// scriptTerminal runs a command in a terminal, with the keys of a file typed, and
// leaves what that showed in the file "screen": terminal KEYS COMMAND... The ttyin of
// testscript may lose the end of what is shown.
func scriptTerminal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: terminal KEYS COMMAND...")
	}
	keys := ts.ReadFile(args[0])
	near, far, err := terminal()
	ts.Check(err)
	defer near.Close()
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), os.Environ()
	for _, name := range []string{"HOME", "XDG_STATE_HOME", "QUORATE_SERVER"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	var stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = far, far, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	ts.Check(cmd.Start())
	ts.Check(far.Close())
	shown := make(chan string)
	go func() {
		var b strings.Builder
		_, _ = io.Copy(&b, near) // it fails once the command has closed its end, behind all that it wrote
		shown <- b.String()
	}()
	_, err = io.WriteString(near, keys)
	ts.Check(err)
	err = cmd.Wait()
	ts.Check(os.WriteFile(ts.MkAbs("screen"), []byte(strings.ReplaceAll(<-shown, "\r\n", "\n")), 0o600))
	if err != nil || stderr.Len() > 0 {
		ts.Fatalf("%s: %v: %s", strings.Join(args[1:], " "), err, &stderr)
	}
}

// terminal opens both ends of a pseudo-terminal; the far one is the command's.
func terminal() (near, far *os.File, err error) {
	if near, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	if err = unix.IoctlSetPointerInt(int(near.Fd()), unix.TIOCSPTLCK, 0); err == nil {
		var n int
		if n, err = unix.IoctlGetInt(int(near.Fd()), unix.TIOCGPTN); err == nil {
			far, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
		}
	}
	if err != nil {
		near.Close()
	}
	return near, far, err
}
