package cli

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary be quorate when it is called by that name, so
// that tests start real processes of the code under test.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"quorate":     func() { os.Exit(Main("test", os.Args)) },
		directordName: func() { os.Exit(Main("test", os.Args)) },
	})
}
