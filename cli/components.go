package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	cli "github.com/urfave/cli/v2"

	"quorate/internal/component"
	"quorate/internal/job"
	"quorate/nodeagent/verb"
)

// componentsDir is where components are looked for where no flag says so.
const componentsDir = "components"

func componentsFlag() cli.Flag {
	return &cli.StringFlag{Name: "components", EnvVars: []string{"QUORATE_COMPONENTS"},
		Usage: "`DIR` of user-defined components (./" + componentsDir + " where there is one)"}
}

// builtIn reports whether a verb is one of our own.
func builtIn(name string) bool {
	_, ok := verb.Lookup(name)
	return ok
}

// ownComponents opens the directory of user-defined components; it is nil where
// there is none.
func (p *program) ownComponents(c *cli.Context) (*component.Directory, error) {
	dir := c.String("components")
	asked := dir != ""
	if !asked {
		dir = componentsDir
	}
	found, err := component.Open(dir, builtIn)
	switch {
	case err != nil && !asked && (errors.Is(err, fs.ErrNotExist) || notFolder(dir)):
		return nil, nil
	case err != nil:
		return nil, fail(exitUsage, err, "name a directory with --components")
	case asked && len(found.Problems) > 0:
		return nil, fail(exitRefused, fmt.Errorf("components: %s", found.Problems[0]))
	}
	for _, problem := range found.Problems {
		p.con.warn("%s", problem) // the folder may be here for another purpose
	}
	return found, nil
}

func notFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// verbs finds all verbs: the built-in ones first.
func (p *program) verbs(c *cli.Context) (job.Lookup, error) {
	own, err := p.ownComponents(c)
	if err != nil || own == nil {
		return verb.Lookup, err
	}
	return func(name string) (*job.Declaration, bool) {
		if d, ok := verb.Lookup(name); ok {
			return d, true
		}
		return own.Lookup(name)
	}, nil
}
