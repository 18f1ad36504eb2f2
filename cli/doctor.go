package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	cli "github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"quorate/engine/api"
)

func (p *program) doctorCommand() *cli.Command {
	return &cli.Command{
		Name: "doctor", Category: sectionOther, Usage: "look for what would slow down or stop a server or an agent here",
		Flags:  []cli.Flag{&cli.StringFlag{Name: "data-dir", EnvVars: []string{"QUORATE_DATA_DIR"}, Usage: "the `DIR` that a server or an agent uses"}},
		Action: p.doctor,
	}
}

// A finding is one thing that the doctor looked at.
type finding struct {
	Schema string `json:"schema"`
	Check  string `json:"check"`
	// Status is ok, warn or fail.
	Status string `json:"status"`
	Detail string `json:"detail"`
	Hint   string `json:"hint,omitempty"`
}

func (p *program) doctor(c *cli.Context) error {
	dir, err := p.dataDir(c, "server")
	if err != nil {
		return err
	}
	findings := []finding{checkSpace(dir), checkLog(dir), p.checkAlarms(c.Context, dir), checkSync(dir), checkBuffer("rmem_max"), checkBuffer("wmem_max"), checkClock(), checkShell()}
	g := &grid{header: []any{"CHECK", "STATUS", "DETAIL", "HINT"}}
	bad := false
	for i, f := range findings {
		findings[i].Schema = api.Schema
		g.add(f.Check, f.Status, f.Detail, f.Hint)
		bad = bad || f.Status == "fail"
	}
	document := struct {
		Schema   string    `json:"schema"`
		Findings []finding `json:"findings"`
	}{api.Schema, findings}
	if err := emitAll(p, document, findings, g); err != nil {
		return err
	}
	if bad {
		return ended(exitError)
	}
	return nil
}

// existing is the path or the nearest folder above it that exists.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

func checkSpace(dir string) finding {
	f := finding{Check: "disk space", Status: "ok"}
	var fs unix.Statfs_t
	if err := unix.Statfs(existing(dir), &fs); err != nil {
		return finding{Check: f.Check, Status: "fail", Detail: err.Error(), Hint: "check the data directory"}
	}
	free := int(fs.Bavail * 100 / max(fs.Blocks, 1))
	f.Detail = fmt.Sprintf("%d%% free at %s", free, existing(dir))
	if free < 10 {
		f.Status, f.Hint = "warn", "free some space: below 5% the log refuses new events"
	}
	return f
}

// alarmsWithin bounds the question to an orchestrator about its alarms.
const alarmsWithin = 5 * time.Second

// checkAlarms asks the orchestrator of the directory, or of --server, for alarms.
func (p *program) checkAlarms(ctx context.Context, dir string) finding {
	f := finding{Check: "alarms", Status: "ok", Detail: "no orchestrator runs here"}
	socket := filepath.Join(dir, socketName)
	if p.server == "" && missing(socket) {
		return f
	}
	asking := *p
	if asking.server == "" {
		asking.server = "unix://" + socket
	}
	ctx, cancel := context.WithTimeout(ctx, alarmsWithin)
	defer cancel()
	client, err := asking.dial()
	var now *api.Cluster
	if err == nil {
		defer client.Close()
		now, err = client.Cluster(ctx)
	}
	if err != nil {
		f.Status, f.Detail, f.Hint = "warn", "not known: "+oneLine(err.Error()), "\"quorate cluster status\" on the machine of an orchestrator tells"
		return f
	}
	f.Detail = "none"
	if alarms := alarmsOf(now); len(alarms) > 0 {
		f.Status, f.Detail, f.Hint = "fail", printable(strings.Join(alarms, "; ")), "see \"quorate cluster status\""
	}
	return f
}

// A sync slower than this makes runs slow: every decision waits for one.
const syncSlow = 20 * time.Millisecond

func checkSync(dir string) finding {
	f := finding{Check: "disk sync", Status: "ok"}
	file, err := os.CreateTemp(existing(dir), ".quorate-doctor-*")
	if err != nil {
		return finding{Check: f.Check, Status: "fail", Detail: err.Error(), Hint: "the user that runs quorate must be able to write there"}
	}
	defer os.Remove(file.Name())
	defer file.Close()
	const rounds = 16
	start := time.Now()
	for range rounds {
		if _, err = file.Write(make([]byte, 4096)); err == nil {
			err = file.Sync()
		}
		if err != nil {
			return finding{Check: f.Check, Status: "fail", Detail: err.Error()}
		}
	}
	mean := time.Since(start) / rounds
	f.Detail = fmt.Sprintf("%s for 4 KiB", mean.Round(10*time.Microsecond))
	if mean > syncSlow {
		f.Status, f.Hint = "warn", "put the data directory on a faster disk"
	}
	return f
}

// What QUIC wants of a UDP socket.
const bufferWanted = 7 << 20

func checkBuffer(name string) finding {
	f := finding{Check: "net.core." + name, Status: "ok"}
	text, err := os.ReadFile("/proc/sys/net/core/" + name)
	if err != nil {
		return finding{Check: f.Check, Status: "warn", Detail: "not readable here"}
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	f.Detail = fmt.Sprintf("%d bytes", n)
	if n < bufferWanted {
		f.Status, f.Hint = "warn", fmt.Sprintf("sysctl -w net.core.%s=%d, for many agents on one orchestrator", name, bufferWanted)
	}
	return f
}

func checkClock() finding {
	f := finding{Check: "clock", Status: "ok", Detail: "synchronised"}
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		f.Status, f.Detail = "warn", err.Error()
	case state == unix.TIME_ERROR:
		f.Status, f.Detail, f.Hint = "warn", "not synchronised", "safety does not depend on it, but times in the log do: run an NTP client"
	}
	return f
}

func checkShell() finding {
	for _, path := range []string{"/bin/bash", "/usr/bin/bash"} {
		if _, err := os.Stat(path); err == nil {
			return finding{Check: "shell", Status: "ok", Detail: path}
		}
	}
	return finding{Check: "shell", Status: "warn", Detail: "no bash, jobs run in sh", Hint: "install bash where jobs use its syntax"}
}
