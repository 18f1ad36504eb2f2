// Command schema writes the JSON Schemas of the input files beside itself:
//
//	go run ./docs/schema
//
// They come from the tables that the planner validates with and from the verbs
// that agents have, so nothing here is edited by hand. A test fails where they
// are stale.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"quorate/internal/job"
	"quorate/nodeagent/verb"
	"quorate/planner"
)

func main() {
	dir := flag.String("dir", filepath.Join("docs", "schema"), "where to write")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

// schemas returns what the files have to be.
func schemas() []planner.SchemaFile {
	var verbs []*job.Declaration
	for _, v := range verb.Table() {
		verbs = append(verbs, &v.Decl)
	}
	return planner.Schemas(verbs)
}

func write(dir string) error {
	for _, f := range schemas() {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
