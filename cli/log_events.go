package cli

import (
	"context"
	"fmt"

	"quorate/engine/api"
	"quorate/eventlog/cloudevent"
)

// printEvent prints an event of a cluster as it comes: for people, or, as NDJSON, for
// what collects events.
func (p *program) printEvent(cluster string, e api.LogEvent) error {
	if p.format() != formatNDJSON {
		return p.printLogEvent(e)
	}
	event, err := cloudevent.Of(cloudevent.Record{
		Cluster: cluster, Seq: e.Seq, Time: e.Time, Kind: e.Kind, Hash: e.Hash, Run: e.Run, Void: e.VoidReason, Event: e.Event,
	})
	if err != nil {
		return err
	}
	return p.printJSON(event, "")
}

// placeOf returns the record behind which a cursor goes on, once that is known to be the
// one that the cursor was given for.
func placeOf(ctx context.Context, client *api.Client, text string) (uint64, error) {
	cursor, err := cloudevent.ParseCursor(text)
	if err != nil {
		return 0, fail(exitUsage, fmt.Errorf("--after %w", err), "\"quorate log ls -o ndjson\" gives each event one, as \"cursor\"")
	}
	status, err := client.Status(ctx)
	if err != nil {
		return 0, err
	}
	if status.ClusterID != cursor.Cluster {
		return 0, fail(exitRefused, fmt.Errorf("the cursor is of cluster %.12s, and this is cluster %.12s", cursor.Cluster, status.ClusterID),
			"name a server of that cluster with --server, or begin anew without --after")
	}
	for event, err := range client.Log(ctx, api.LogQuery{Since: cursor.Seq - 1, Limit: 1}) {
		switch {
		case err != nil:
			return 0, err
		case event.Seq == cursor.Seq && cursor.Is(event.Hash):
			return cursor.Seq, nil
		}
		return 0, lostCursor(cursor.Seq, "is another one by now")
	}
	return 0, lostCursor(cursor.Seq, fmt.Sprintf("is not there: the log ends at %d", status.Seq))
}

// lostCursor is the error for a record that was read and is no longer in the log.
func lostCursor(seq uint64, what string) error {
	return fail(exitRefused, fmt.Errorf("record %d, which the cursor is of, %s", seq, what),
		`the cluster was recovered since, and has lost what came last ("quorate log ls --kind cluster_recovered" says when), or the orchestrator that answers is behind: try again, or begin anew without --after`)
}
