package cli

import (
	"fmt"
	"runtime"

	cli "github.com/urfave/cli/v2"

	"quorate/engine/api"
	"quorate/planner"
)

func (p *program) versionCommand() *cli.Command {
	return &cli.Command{
		Name: "version", Category: sectionOther, Usage: "print the version",
		Action: func(*cli.Context) error {
			document := struct {
				Schema     string `json:"schema"`
				Version    string `json:"version"`
				Go         string `json:"go"`
				Platform   string `json:"platform"`
				PlanFormat int    `json:"plan_format"`
			}{api.Schema, p.version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, planner.FormatVersion}
			return p.emit(document, func() error {
				_, err := fmt.Fprintf(p.con.out, "quorate %s (%s, %s)\n", document.Version, document.Go, document.Platform)
				return err
			})
		},
	}
}
