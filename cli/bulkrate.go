package cli

import (
	"math"
	"strings"

	"github.com/dustin/go-humanize"
	cli "github.com/urfave/cli/v2"

	"quorate/engine/gateway"
)

// bulkRateMin is the least that files may be given: below it agents take a transfer
// for stalled.
const bulkRateMin = 16 << 10

// bulkRateFlags bound what files that jobs ship take of the lines.
func bulkRateFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "bulk-rate", EnvVars: []string{"QUORATE_BULK_RATE"}, Value: "0", Usage: "send files to all agents together with at most `BYTES` a second, for instance 20MB or 512KiB; 0 is no limit"},
		&cli.StringFlag{Name: "bulk-rate-per-site", EnvVars: []string{"QUORATE_BULK_RATE_PER_SITE"}, Value: "0", Usage: "send files to each agent, or through each relay, with at most `BYTES` a second"},
	}
}

// gatewayLimits are what the flags say about it.
func gatewayLimits(c *cli.Context, help string) (limits gateway.Limits, err error) {
	if limits.BulkRate, err = byteRate(c, "bulk-rate", help); err == nil {
		limits.BulkRatePerSite, err = byteRate(c, "bulk-rate-per-site", help)
	}
	return limits, err
}

// byteRate is what a flag says in bytes per second; 0 is no limit.
func byteRate(c *cli.Context, name, help string) (int64, error) {
	text := strings.TrimSuffix(strings.TrimSpace(c.String(name)), "/s")
	n, err := humanize.ParseBytes(text)
	switch {
	case err != nil || n > math.MaxInt64:
		return 0, usage(help, "--%s %q: want bytes a second, for instance 20MB or 512KiB", name, c.String(name))
	case n > 0 && n < bulkRateMin:
		return 0, usage(help, "--%s %q: want at least 16KiB, or 0 for no limit", name, c.String(name))
	}
	return int64(n), nil
}
