// Command quorate is orchestrator, agent and client in one binary.
package main

import (
	"os"

	"quorate/cli"
)

// version is set by the linker.
var version string

func main() {
	os.Exit(cli.Main(version, os.Args))
}
