package orchestrator

import (
	"context"
	"fmt"

	"quorate/eventlog"
)

// followRecordsMax bounds the records read from the log at once, and
// foldRecordsMax those folded while the state's lock is held.
const (
	followRecordsMax = 1024
	foldRecordsMax   = 128
)

// follow folds the log's records in order as they are committed.
func (o *Orchestrator) follow(ctx context.Context) error {
	for next := uint64(1); ; {
		records, err := o.cfg.Log.Read(ctx, next, followRecordsMax)
		if err != nil {
			return fmt.Errorf("read of record %d: %w", next, err)
		}
		if len(records) == 0 {
			if err := o.cfg.Log.Wait(ctx, next); err != nil {
				return fmt.Errorf("wait for record %d: %w", next, err)
			}
			continue
		}
		if err := o.foldAll(records); err != nil {
			return err
		}
		next += uint64(len(records))
	}
}

// foldAll decodes records and folds them, some at a time.
func (o *Orchestrator) foldAll(records []eventlog.Record) error {
	var events [foldRecordsMax]eventlog.Event
	for len(records) > 0 {
		n := min(len(records), foldRecordsMax)
		for i := range n {
			event, err := eventlog.Decode(records[i].Kind, records[i].Data)
			if err != nil {
				return fmt.Errorf("record %d: %w", records[i].Index, err)
			}
			events[i] = event
		}
		if err := o.fold(records[:n], events[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// fold folds records and tells observers and watchers.
func (o *Orchestrator) fold(records []eventlog.Record, events []eventlog.Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range records {
		void, err := o.state.Apply(records[i], events[i])
		if err != nil {
			return err
		}
		if void != "" {
			o.voids.add(records[i].Index, void)
		}
		for _, observe := range o.observers {
			observe(o.state, &records[i], events[i], void)
		}
	}
	if id := o.cfg.CA.ClusterID(); o.state.ClusterID != "" && o.state.ClusterID != id {
		return fmt.Errorf("the log is of cluster %s and the certificate authority of cluster %s: they are of different data directories", o.state.ClusterID, id)
	}
	o.folded.publish(o.state.Index)
	return nil
}
