package audit

import (
	"context"
	"io"

	"quorate/engine"
	"quorate/engine/orchestrator"
	"quorate/engine/snapshot"
	"quorate/eventlog/bundle"
)

// Of is the place that a running orchestrator is.
func Of(o *orchestrator.Orchestrator) (*Place, error) {
	certificate, err := o.CA().CertifyLog()
	if err != nil {
		return nil, err
	}
	src := running{o}
	return &Place{
		Source: src, Program: o.Version(), View: o.View, Key: o.LogKey(), Certificate: certificate,
		At: src.state,
	}, nil
}

// running is the source of a running orchestrator.
type running struct{ *orchestrator.Orchestrator }

var _ bundle.Source = running{}

// Blob implements bundle.Source: one that is not here is fetched from another
// orchestrator.
func (r running) Blob(ctx context.Context, digest string) (io.ReadCloser, int64, error) {
	return sized(r.OpenBlob(ctx, digest))
}

// state starts from the newest snapshot that is of use.
func (r running) state(ctx context.Context, index uint64) (*engine.State, error) {
	file, err := r.OpenState(ctx, index)
	if err != nil || file == nil {
		return Fold(ctx, r, index)
	}
	defer file.Close()
	// One that cannot be used costs time only: OpenState has seen that it fits.
	shot, err := snapshot.Read(file, func(p snapshot.Place) bool { return p.Index <= index })
	if err != nil || shot == nil {
		return Fold(ctx, r, index)
	}
	return foldOn(ctx, r, shot.State, index)
}
