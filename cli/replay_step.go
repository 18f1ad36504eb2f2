package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"quorate/engine/replay"
	"quorate/eventlog"
)

// A stepper walks over a log in a terminal. It knows nothing of terminals itself: it
// is given keys and returns what the screen shows.
type stepper struct {
	walk *replay.Walker
	at   uint64        // the record shown; 0 where the log has none
	want replay.Wanted // what n and p stop at
	said string        // about the last key
	// ask is what a line is being typed for, and typed is that line; ask is 0 while
	// none is.
	ask   byte
	typed string
}

// The keys that are no characters.
const (
	keyForward  = "\x1b[C"
	keyBack     = "\x1b[D"
	keyUp       = "\x1b[A"
	keyDown     = "\x1b[B"
	keyPageUp   = "\x1b[5~"
	keyPageDown = "\x1b[6~"
	keyHome     = "\x1b[H"
	keyEnd      = "\x1b[F"
	keyEscape   = "\x1b"
)

// pageRecords is how far a page is.
const pageRecords = 20

// replayStep walks over the events, from a point or the first one.
func (p *program) replayStep(ctx context.Context, past *replay.Replay, from bound) error {
	st := &stepper{walk: replay.NewWalker(past), at: past.First()}
	if from != theEnd() {
		at, err := from.in(ctx, past)
		if err != nil {
			return err
		}
		st.at = max(at, past.First())
	}
	if past.Last() == 0 {
		return fail(exitError, errors.New("the log has no events yet"))
	}
	in, ok := p.con.in.(*os.File)
	if !ok {
		return noTerminal()
	}
	out, err := os.OpenFile("/dev/tty", os.O_WRONLY, 0) // wherever stdout goes
	if err != nil {
		return noTerminal()
	}
	defer out.Close()
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	fmt.Fprint(out, "\x1b[?1049h\x1b[?25l") // another screen, without a cursor
	defer func() {
		fmt.Fprint(out, "\x1b[?25h\x1b[?1049l")
		_ = term.Restore(int(in.Fd()), before)
	}()
	keys := make(chan string)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go typedKeys(ctx, in, keys)
	for {
		columns, rows, err := term.GetSize(int(in.Fd()))
		if err != nil || columns < 1 {
			columns, rows = columnsDefault, 24
		}
		screen, err := st.screen(ctx, columns, rows)
		if err != nil {
			return err
		}
		fmt.Fprint(out, "\x1b[H\x1b[2J"+strings.ReplaceAll(screen, "\n", "\r\n"))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case key, ok := <-keys:
			if !ok {
				return nil
			}
			if quit, err := st.key(ctx, key); quit || err != nil {
				return err
			}
		}
	}
}

func noTerminal() error {
	return fail(exitUsage, errors.New("--step is for a terminal"), `elsewhere use "quorate replay --diff A B", or "quorate log ls"`)
}

// typedKeys sends what is typed, one key at a time, until the terminal ends.
func typedKeys(ctx context.Context, in io.Reader, keys chan<- string) {
	defer close(keys)
	r := bufio.NewReader(in)
	for {
		key, err := nextKey(r)
		if err != nil {
			return
		}
		select {
		case keys <- key:
		case <-ctx.Done():
			return
		}
	}
}

// nextKey reads a character or an escape sequence. Terminals send the arrows in two
// ways.
func nextKey(r *bufio.Reader) (string, error) {
	c, _, err := r.ReadRune()
	if err != nil || c != '\x1b' || r.Buffered() == 0 {
		return string(c), err
	}
	sequence := []byte{'\x1b'}
	for r.Buffered() > 0 && len(sequence) < 8 {
		b, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if len(sequence) == 1 && b == 'O' {
			b = '['
		}
		sequence = append(sequence, b)
		if len(sequence) > 2 && b >= 0x40 {
			break
		}
	}
	return string(sequence), nil
}

// key does what a key says. quit is true where it ends the walk.
func (st *stepper) key(ctx context.Context, key string) (quit bool, err error) {
	st.said = ""
	if st.ask != 0 {
		return false, st.edit(ctx, key)
	}
	switch key {
	case "q", "\x03", "\x04":
		return true, nil
	case "n", " ", "\r", keyForward, keyDown:
		return false, st.forward(ctx)
	case "p", "\x7f", keyBack, keyUp:
		return false, st.back(ctx)
	case keyPageDown:
		st.jump(st.at + pageRecords)
	case keyPageUp:
		st.jump(st.at - min(pageRecords, st.at))
	case keyHome:
		st.jump(0)
	case "G", keyEnd:
		st.jump(st.walk.Last())
	case "g", "k", "h":
		st.ask, st.typed = key[0], ""
	case "c":
		st.want = replay.Wanted{}
	default:
		st.said = "n p g k h c q: see the last line"
	}
	return false, nil
}

func (st *stepper) jump(to uint64) {
	st.at = min(max(to, st.walk.First()), st.walk.Last())
}

func (st *stepper) forward(ctx context.Context) error {
	if st.want == (replay.Wanted{}) {
		if st.at == st.walk.Last() {
			st.said = "this is the last event"
		}
		st.jump(st.at + 1)
		return nil
	}
	return st.search(ctx, st.walk.Next, "behind")
}

func (st *stepper) back(ctx context.Context) error {
	if st.want == (replay.Wanted{}) {
		if st.at == st.walk.First() {
			st.said = "this is the first event"
		}
		st.jump(st.at - 1)
		return nil
	}
	return st.search(ctx, st.walk.Previous, "before")
}

func (st *stepper) search(ctx context.Context, find func(context.Context, uint64, replay.Wanted) (uint64, error), where string) error {
	at, err := find(ctx, st.at, st.want)
	if err != nil {
		return err
	}
	if at == 0 {
		st.said = "there is none " + where + " this one"
		return nil
	}
	st.at = at
	return nil
}

// edit takes a key of a line that is being typed.
func (st *stepper) edit(ctx context.Context, key string) error {
	switch {
	case key == "\r" || key == "\n":
		ask, text := st.ask, strings.TrimSpace(st.typed)
		st.ask = 0
		return st.answer(ctx, ask, text)
	case key == keyEscape || key == "\x03":
		st.ask = 0
	case key == "\x7f" || key == "\b":
		if runes := []rune(st.typed); len(runes) > 0 {
			st.typed = string(runes[:len(runes)-1])
		}
	case len(key) > 0 && key[0] >= 0x20 && key[0] != 0x7f:
		st.typed += key
	}
	return nil
}

// answer does what a line says, and goes on to the next event that it asks for.
func (st *stepper) answer(ctx context.Context, ask byte, text string) error {
	switch ask {
	case 'g':
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			st.said = fmt.Sprintf("%q is no number of an event", text)
			return nil
		}
		st.jump(n)
		return nil
	case 'k':
		name, err := kindName(text)
		if err != nil {
			st.said = err.Error()
			return nil
		}
		st.want.Kind, _ = eventlog.ParseKind(name)
	case 'h':
		st.want.Host = text
	}
	if st.want == (replay.Wanted{}) {
		return nil
	}
	return st.search(ctx, st.walk.Next, "behind")
}

// screen is what is shown, of so many columns and rows.
func (st *stepper) screen(ctx context.Context, columns, rows int) (string, error) {
	f, err := st.walk.Frame(ctx, st.at)
	if err != nil {
		return "", err
	}
	head := fmt.Sprintf("%d of %d  %s  %s", f.Seq, st.walk.Last(), f.Time.UTC().Format("2006-01-02T15:04:05.000Z"), f.Kind)
	if f.Run > 0 {
		head += fmt.Sprintf("  run %d", f.Run)
	}
	lines := []string{head}
	if f.Void {
		lines = append(lines, "VOID, it changed nothing: "+printable(f.VoidReason))
	}
	fields, err := eventText(f.Event)
	if err != nil {
		return "", err
	}
	lines = append(lines, "", shortened(printable(fields), 3*columns), "")
	for _, c := range f.Changes {
		which := c.What + " " + c.Which
		if c.Run > 0 && c.What != "run" {
			which += fmt.Sprintf(" (run %d)", c.Run)
		}
		lines = append(lines, printable(fmt.Sprintf("  %s  %s: %s -> %s", which, c.Field, orDash(c.Before), orDash(c.After))))
	}
	if len(f.Changes) == 0 && !f.Void {
		lines = append(lines, "  nothing that is shown has changed")
	}
	room := max(rows-2, 1)
	wrapped := wrap(lines, columns)
	if more := len(wrapped) - room; more > 0 {
		wrapped = append(wrapped[:room-1], shortened(fmt.Sprintf("  … and %d more lines", more+1), columns))
	}
	for len(wrapped) < room {
		wrapped = append(wrapped, "")
	}
	wrapped = append(wrapped, shortened(st.status(), columns), shortened("n next  p previous  g go to  k kind  h host  c clear  G end  q quit", columns))
	return strings.Join(wrapped, "\n"), nil
}

// status is the line above the last.
func (st *stepper) status() string {
	switch st.ask {
	case 'g':
		return "go to event: " + st.typed
	case 'k':
		return "kind of event: " + st.typed
	case 'h':
		return "host: " + st.typed
	}
	var only []string
	if st.want.Kind != 0 {
		only = append(only, "kind "+st.want.Kind.String())
	}
	if st.want.Host != "" {
		only = append(only, "host "+printable(st.want.Host))
	}
	if len(only) == 0 {
		return printable(st.said)
	}
	return strings.TrimSpace("only " + strings.Join(only, ", ") + "  " + printable(st.said))
}

// wrap breaks lines at so many columns.
func wrap(lines []string, columns int) (out []string) {
	for _, line := range lines {
		runes := []rune(line)
		for len(runes) > columns {
			out = append(out, string(runes[:columns]))
			runes = runes[columns:]
		}
		out = append(out, string(runes))
	}
	return out
}
