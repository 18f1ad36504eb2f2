package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// shortEnough is a TMPDIR below which unix sockets have room, as deep as tests make them.
const shortEnough = len("/tmp/12345")

// TestMain lets the test binary be quorate when it is called by that name, so
// that tests start real processes of the code under test.
func TestMain(m *testing.M) {
	if filepath.Ext(os.Args[0]) == ".test" && len(os.TempDir()) > shortEnough {
		if err := os.Setenv("TMPDIR", "/tmp"); err != nil {
			panic(err)
		}
	}
	testscript.Main(m, map[string]func(){
		"quorate":     func() { os.Exit(Main("test", os.Args)) },
		directordName: func() { os.Exit(Main("test", os.Args)) },
	})
}
