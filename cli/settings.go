package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/knadh/koanf/v2"
	cli "github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v4"
)

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", Usage: "`FILE` (YAML) with values for these flags, by their long names"}
}

// yamlFile is a koanf provider of one file.
type yamlFile string

// ReadBytes implements koanf.Provider.
func (f yamlFile) ReadBytes() ([]byte, error) { return os.ReadFile(string(f)) }

// Read implements koanf.Provider; files are read as bytes.
func (yamlFile) Read() (map[string]any, error) { return nil, errors.ErrUnsupported }

// yamlParser is a koanf parser of YAML.
type yamlParser struct{}

// Unmarshal implements koanf.Parser.
func (yamlParser) Unmarshal(text []byte) (map[string]any, error) {
	out := map[string]any{}
	err := yaml.Unmarshal(text, &out)
	return out, err
}

// Marshal implements koanf.Parser.
func (yamlParser) Marshal(values map[string]any) ([]byte, error) { return yaml.Marshal(values) }

// configure gives the flags that neither the command line nor the environment
// set their values from the file of --config.
func configure(c *cli.Context) error {
	path := c.String("config")
	if path == "" {
		return nil
	}
	file := koanf.New("\x00") // no nesting: names of flags hold no NUL
	if err := file.Load(yamlFile(path), yamlParser{}); err != nil {
		return fail(exitUsage, fmt.Errorf("config file %s: %w", path, err))
	}
	var known []string
	for _, f := range c.Command.Flags {
		if name := f.Names()[0]; name != "config" && name != "help" {
			known = append(known, name)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(file.All())) {
		if !slices.Contains(known, key) {
			return unknown("key", key, known, "config file "+path)
		}
		if c.IsSet(key) {
			continue
		}
		values := file.Strings(key)
		if len(values) == 0 {
			values = []string{file.String(key)}
		}
		for _, v := range values {
			if err := c.Set(key, v); err != nil {
				return fail(exitUsage, fmt.Errorf("config file %s: %s: %w", path, key, err))
			}
		}
	}
	return nil
}
