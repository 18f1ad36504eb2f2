package lab

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// clockVariable names the file that holds how many seconds a process's clock is
// fast, as a native int64.
const clockVariable = "QUORATE_LAB_CLOCK"

// A Clock is the wall clock of the processes of one host, which tests may set.
// Their monotonic clocks go on undisturbed, as a kernel's do when its clock is set.
type Clock struct{ path string }

// clock makes the clock of a host.
func (l *Lab) clock(h *Host) (*Clock, error) {
	if !l.opt.Clocks {
		return nil, nil
	}
	c := &Clock{path: filepath.Join(l.Dir, h.Name+".clock")}
	return c, os.WriteFile(c.path, make([]byte, 8), 0o600)
}

// Set makes the clock fast by d, or slow where d is negative, in whole seconds.
// Running processes see it at once.
func (c *Clock) Set(d time.Duration) error {
	f, err := os.OpenFile(c.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(d/time.Second))), 0)
	return errors.Join(err, f.Close())
}

// The product reads clocks through time.Now alone, so the binary for clock faults
// is built with a package time whose Now adds an offset out of shared memory.
const (
	nowBefore = "	sec, nsec, mono := runtimeNow()\n	if mono == 0 {"
	nowAfter  = "	sec, nsec, mono := runtimeNow()\n	sec += labSkew()\n	if mono == 0 {"

	skewSource = `package time

import (
	"syscall"
	"unsafe"
)

var labClock = labOpen()

func labOpen() *int64 {
	path, ok := syscall.Getenv("` + clockVariable + `")
	if !ok {
		return nil
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	return (*int64)(unsafe.Pointer(&page[0]))
}

func labSkew() int64 {
	if labClock == nil {
		return 0
	}
	return *labClock
}
`
)

// BuildSkewed compiles quorate so that its processes have clocks that can be set,
// and returns the path of the binary, in dir.
func BuildSkewed(dir string) (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	std := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	text, err := os.ReadFile(filepath.Join(std, "time.go"))
	if err != nil {
		return "", err
	}
	if strings.Count(string(text), nowBefore) != 1 {
		return "", fmt.Errorf("%s: time.Now is not as known: adapt the overlay in package lab", std)
	}
	now, skew, overlay := filepath.Join(dir, "now.go"), filepath.Join(dir, "skew.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(std, "time.go"):    now,
		filepath.Join(std, "labskew.go"): skew,
	}})
	if err != nil {
		return "", err
	}
	for path, content := range map[string]string{
		now: strings.Replace(string(text), nowBefore, nowAfter, 1), skew: skewSource, overlay: string(replace),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	return build(dir, "-overlay", overlay)
}
