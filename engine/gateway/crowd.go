package gateway

import (
	"context"
	"time"
)

// crowdToldEvery is how often the operator is told at most that agents were sent away.
const crowdToldEvery = 10 * time.Second

// tellCrowd says, while it is so, that more agents come than can be greeted at once.
func (g *gateway) tellCrowd(ctx context.Context) {
	for told := uint64(0); wait(ctx, crowdToldEvery); {
		if n := g.admission.Refused(); n != told {
			g.logger.Info("many agents come at once: some are asked to come again", "times", n-told)
			told = n
		}
	}
}
