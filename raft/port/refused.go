package port

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

// refusedWithin bounds the question whether somebody listens.
const refusedWithin = time.Second

// Refused reports that the host at a replica's address says that nobody listens
// there. It is false where the host says nothing within a second, or ctx ends.
func (p *Port) Refused(ctx context.Context, replica uint64) bool {
	address, ok := p.cfg.Book.Address(replica)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, refusedWithin)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close() // somebody listens, which is all that was asked
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
