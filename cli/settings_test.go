package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	cli "github.com/urfave/cli/v2"
)

// TestConfigure wants flag > environment > file > default, and unknown keys refused.
func TestConfigure(t *testing.T) {
	tests := []struct {
		name, file, env string
		args            []string
		listen          string
		labels          int
		fails           string
	}{
		{name: "default", listen: "default"},
		{name: "file", file: "listen: from-file\nlabel: [a, b]\n", listen: "from-file", labels: 2},
		{name: "environment wins over file", file: "listen: from-file", env: "from-env", listen: "from-env"},
		{name: "flag wins over all", file: "listen: from-file", env: "from-env", args: []string{"--listen", "from-flag"}, listen: "from-flag"},
		{name: "scalar for a list", file: "label: a", listen: "default", labels: 1},
		{name: "unknown key", file: "lisen: x", fails: `unknown key "lisen"`},
		{name: "not YAML", file: "{", fails: "config file"},
		{name: "wrong type", file: "replica: many", fails: "replica"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.env != "" {
				t.Setenv("QUORATE_TEST_LISTEN", tt.env)
			}
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			var listen string
			var labels []string
			app := &cli.App{Commands: []*cli.Command{{
				Name: "server",
				Flags: []cli.Flag{
					configFlag(), &cli.StringFlag{Name: "listen", Value: "default", EnvVars: []string{"QUORATE_TEST_LISTEN"}},
					&cli.StringSliceFlag{Name: "label"}, &cli.Uint64Flag{Name: "replica"},
				},
				Action: func(c *cli.Context) error {
					err := configure(c)
					listen, labels = c.String("listen"), list(c, "label")
					return err
				},
			}}}
			err := app.Run(append([]string{"quorate", "server", "--config", path}, tt.args...))
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) || classify(err).code != exitUsage {
					t.Fatalf("got %v, want usage error with %q", err, tt.fails)
				}
				return
			}
			if err != nil || listen != tt.listen || len(labels) != tt.labels {
				t.Errorf("listen %q, labels %q, %v", listen, labels, err)
			}
		})
	}
}
