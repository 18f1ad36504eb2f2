package orchestrator

import (
	"context"

	"quorate/engine"
	"quorate/eventlog"
)

// Moved takes note of where a member is now, which says so itself because it
// cannot put it on record: those who still look for it at its old address cut it
// off. Whether it is on record when Moved returns or not, this orchestrator reaches it.
func (o *Orchestrator) Moved(ctx context.Context, now eventlog.OrchestratorMoved) error {
	if err := checkMember(now.Name, now.RaftAddress, now.AgentAddress, now.APIAddress); err != nil {
		return err
	}
	var same, member bool
	o.View(func(s *engine.State) {
		member = s.IsMember(now.Replica)
		same = member && s.Member(now.Replica).OrchestratorMoved == now
	})
	if !member || now.Replica == o.cfg.Replica {
		return noMember(now.Replica)
	}
	if o.cfg.Book != nil {
		if err := o.cfg.Book(map[uint64]string{now.Replica: now.RaftAddress}); err != nil {
			return err
		}
	}
	if same {
		return nil
	}
	_, err := o.propose(ctx, &now)
	if isVoid(err) {
		return nil // it was faster itself, or was removed
	}
	if err == nil {
		o.logger.Info("an orchestrator has moved", "replica", now.Replica, "name", now.Name, "raft", now.RaftAddress)
	}
	return err
}
