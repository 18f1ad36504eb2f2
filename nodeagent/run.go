package nodeagent

import (
	"context"
	"errors"
)

// Run is the whole life of an agent: it joins the cluster where it has no
// identity yet, connects, and works until ctx ends. Jobs that run then go on, and
// the next Run on the same data directory adopts them.
func Run(ctx context.Context, cfg Config) error {
	return errors.New("agent: not connected")
}
