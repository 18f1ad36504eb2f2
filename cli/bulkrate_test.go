package cli

import (
	"testing"

	cli "github.com/urfave/cli/v2"
)

func TestByteRate(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64 // -1 is refused
	}{
		{"0", 0}, {"16KiB", 16 << 10}, {"20MB", 20e6}, {"2 MiB/s", 2 << 20}, {"1.5GB", 1.5e9}, {"3000000", 3e6},
		{"", -1}, {"fast", -1}, {"-1MB", -1}, {"15KiB", -1}, {"16EiB", -1}, {"1e30", -1},
	} {
		app := &cli.App{Flags: bulkRateFlags(), Action: func(ctx *cli.Context) error {
			got, err := byteRate(ctx, "bulk-rate-per-site", "quorate server --help")
			if (err != nil) != (c.want < 0) || err == nil && got != c.want {
				t.Errorf("%q: %d, %v, want %d", c.text, got, err, c.want)
			}
			return nil
		}}
		if err := app.Run([]string{"quorate", "--bulk-rate-per-site=" + c.text}); err != nil {
			t.Fatal(err)
		}
	}
}
