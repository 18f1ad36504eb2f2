package cli

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// A console is where a command reads and writes.
type console struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	// What is a terminal, and may show colours:
	inTerminal, outTerminal, errTerminal bool
	colors                               bool
}

func newConsole(in, out, errs *os.File, getenv func(string) string) *console {
	c := &console{in: in, out: out, err: errs, getenv: getenv}
	c.inTerminal = term.IsTerminal(int(in.Fd()))
	c.outTerminal = term.IsTerminal(int(out.Fd()))
	c.errTerminal = term.IsTerminal(int(errs.Fd()))
	c.colors = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	return c
}

// The colours, as SGR codes.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
	bold   = "1"
)

// paint colours text where w is a terminal that shows colours.
func (c *console) paint(w io.Writer, color, text string) string {
	if !c.colors || !(w == c.out && c.outTerminal || w == c.err && c.errTerminal) {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// columnsDefault is the width where it cannot be asked.
const columnsDefault = 80

// columns is the width of the terminal that is written to.
func (c *console) columns() int {
	for _, w := range []io.Writer{c.out, c.err} {
		if f, ok := w.(*os.File); ok {
			if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
				return width
			}
		}
	}
	return columnsDefault
}

// note prints a line for the reader, not for scripts.
func (c *console) note(format string, args ...any) {
	fmt.Fprintf(c.err, "quorate: "+format+"\n", args...)
}

// warn prints a line that a reader should not miss.
func (c *console) warn(format string, args ...any) {
	fmt.Fprintf(c.err, "%s %s\n", c.paint(c.err, yellow, "quorate: warning:"), fmt.Sprintf(format, args...))
}

// confirm names a consequence and asks on a terminal whether to go on, until ctx ends.
// Elsewhere, and without yes, the command is refused.
func (c *console) confirm(ctx context.Context, yes bool, format string, args ...any) error {
	consequence := fmt.Sprintf(format, args...)
	if yes {
		return nil
	}
	if !c.inTerminal || !c.errTerminal {
		return fail(exitUsage, fmt.Errorf("%s; there is no terminal to ask whether that is all right", consequence), `say "--yes" if that is what you want`)
	}
	fmt.Fprintf(c.err, "quorate: %s. Go on? [y/N] ", consequence)
	answers, failed := make(chan string, 1), make(chan error, 1)
	go func() { // it ends with the process where nobody answers
		answer, err := bufio.NewReader(c.in).ReadString('\n')
		if err != nil && err != io.EOF {
			failed <- err
			return
		}
		answers <- answer
	}()
	var answer string
	select {
	case answer = <-answers:
	case err := <-failed:
		return err
	case <-ctx.Done():
		fmt.Fprintln(c.err)
		return ctx.Err()
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return fail(exitError, fmt.Errorf("not confirmed"))
}
