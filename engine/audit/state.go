package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"quorate/engine"
	"quorate/eventlog"
	"quorate/eventlog/bundle"
)

// CheckState decodes the state in a bundle, folds the records into it, and reports the
// index of the first record by which an orchestrator vouched for it; 0 where none did.
// The error is a [*bundle.BadError] where the state is not what was written, or what is
// on record of it is something else. Where the bundle has none it does nothing.
func CheckState(ctx context.Context, b *bundle.Bundle) (vouched uint64, err error) {
	r, ok := b.State()
	if !ok {
		return 0, nil
	}
	bad := func(format string, args ...any) error {
		return &bundle.BadError{Part: "state", Reason: fmt.Sprintf(format, args...)}
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return 0, err
	}
	s, err := engine.DecodeState(bytes.NewReader(text))
	if errors.Is(err, engine.ErrNewerEncoding) {
		return 0, err
	}
	if err != nil {
		return 0, bad("%v", err)
	}
	if s.Index != b.From-1 || s.Head.String() != b.Before || s.ClusterID != b.Cluster {
		return 0, bad("it is behind record %d of cluster %.12s, and not behind %d of this one", s.Index, s.ClusterID, b.From-1)
	}
	if !s.EncodedAs(text) {
		return 0, bad("it is not in canonical form")
	}
	v := vouching{state: s}
	v.note()
	for rec, err := range b.Records(b.From) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, err
		}
		if _, err := s.Fold(rec); err != nil {
			return 0, bad("record %d cannot be folded into it: %v", rec.Index, err)
		}
		if run := s.Run(b.Run); rec.Index == b.From && b.Run > 0 && (run == nil || run.Index != b.From) {
			return 0, bad("record %d, folded into it, does not create run %d", rec.Index, b.Run)
		}
		v.note()
		if vouched == 0 && v.by(&rec) {
			vouched = rec.Index
		}
	}
	return vouched, nil
}

// fullEvery is how many records apart orchestrators hash all of the state; in between
// they hash no more than how they judged, which vouches for nothing else.
const fullEvery = 65536

// vouching keeps the newest hash of the state for what is said of it a little later.
type vouching struct {
	state *engine.State
	at    uint64
	hash  string
}

func (v *vouching) note() {
	if v.state.Index%fullEvery == 0 {
		hash := v.state.Hash()
		v.at, v.hash = v.state.Index, eventlog.Hash(hash).String()
	}
}

// by reports whether a record says of the state what it is here.
func (v *vouching) by(r *eventlog.Record) bool {
	if r.Kind != eventlog.KindStateHashed || v.at == 0 {
		return false
	}
	event, err := eventlog.Decode(r.Kind, r.Data)
	if err != nil {
		return false
	}
	e, ok := event.(*eventlog.StateHashed)
	if !ok || e.At != v.at {
		return false
	}
	_, hash, _ := strings.Cut(e.State, ":")
	return hash == v.hash
}
