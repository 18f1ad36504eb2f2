package audit

import (
	"context"
	"io"

	"quorate/engine"
	"quorate/engine/orchestrator"
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
		At: func(ctx context.Context, index uint64) (*engine.State, error) { return Fold(ctx, src, index) },
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
