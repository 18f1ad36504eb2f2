package raft

import (
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
)

// wrappedLogs puts something between the library and its log.
type wrappedLogs struct {
	config.LogDBFactory
	wrap func(raftio.ILogDB) raftio.ILogDB
}

// Create implements config.LogDBFactory.
func (w wrappedLogs) Create(cfg config.NodeHostConfig, cb config.LogDBCallback, dirs, wals []string) (raftio.ILogDB, error) {
	db, err := w.LogDBFactory.Create(cfg, cb, dirs, wals)
	if err != nil {
		return nil, err
	}
	return w.wrap(db), nil
}
