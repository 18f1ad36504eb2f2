package nodeagent

import (
	"log/slog"
	"time"
)

// Config is what an agent needs to know.
type Config struct {
	// Servers are addresses (host:port) of orchestrators, any of them. An agent that
	// has joined may have none: it knows what the cluster told it.
	Servers []string
	// Relays are addresses (host:port) of relays of the agent's site, any of them. They
	// come first: orchestrators are connected to directly where no relay will do, and
	// only where Servers are named.
	Relays []string
	// Token lets the agent join where it has no identity yet.
	Token string
	// DataDir holds identity, journal, facts, blobs and the files of running jobs.
	DataDir string
	// WorkDir is where relative paths in jobs begin. Empty is "/" for root and
	// DataDir/root for everybody else.
	WorkDir string
	// Name is what the agent proposes to be called; the token's name wins. Empty
	// is the host's name.
	Name string
	// Version of the program.
	Version string
	// OfflineAfterReboot is how long an agent whose host has restarted looks for a
	// connection before it goes on alone with what it holds and is known not to have
	// begun. Zero or less is for ever.
	OfflineAfterReboot time.Duration
	Logger             *slog.Logger
	// DiskFree is how many bytes of the disk that DataDir is on may still be taken, of how
	// many in all; nil asks the disk.
	DiskFree func() (free, all int64, err error)

	site    *RelayConfig // of a relay, see RunRelay
	sockets *sockets     // that run closes
	// bootID tells one boot of the host from the next; nil asks the kernel.
	bootID func() (string, error)
}

func (c *Config) boot() (string, error) {
	if c.bootID != nil {
		return c.bootID()
	}
	return bootID()
}
