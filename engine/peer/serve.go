package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"quorate/eventlog"
)

// Serve answers a member on a connection until that ends, and closes it.
func (b *Blobs) Serve(ctx context.Context, conn net.Conn, from uint64) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close() // the peer has ended, or is not worth another word
		}
	}()
	select {
	case b.serving <- struct{}{}:
		defer func() { <-b.serving }()
	default:
		b.logger.Warn("a member's connection for blobs is refused: too many are served", "from", from, "max", servingMax)
		return
	}
	for {
		err := b.answer(ctx, patient{conn}, from)
		if err == nil {
			continue
		}
		if errors.Is(err, ErrProtocol) {
			b.logger.Warn("a member violates the protocol of blobs", "from", from, "error", err)
		} else if !errors.Is(err, io.EOF) && ctx.Err() == nil {
			b.logger.Debug("connection for blobs ended", "from", from, "error", err)
		}
		return
	}
}

// answer serves one request.
func (b *Blobs) answer(ctx context.Context, conn net.Conn, from uint64) error {
	k, body, err := readFrame(conn)
	if err != nil {
		return err
	}
	if why := b.removed(from); why != "" && k != kindPing {
		return fmt.Errorf("orchestrator %d is no member any more: %s", from, why)
	}
	switch k {
	case kindPing:
		return write(conn, kindPong, b.pong(from)...)
	case kindMove:
		return b.answerMove(ctx, conn, from, body)
	case kindOffer:
		return b.answerOffer(conn, splitDigests(body))
	case kindPut:
		return b.answerPut(conn, splitDigests(body[:digestBytes])[0], binary.BigEndian.Uint64(body[digestBytes:]))
	case kindFacts:
		return b.answerFacts(ctx, conn, binary.BigEndian.Uint64(body))
	case kindGet:
		return b.answerGet(conn, splitDigests(body)[0])
	}
	return violation("kind %d is no request", k)
}

func write(conn net.Conn, k kind, body ...byte) error {
	_, err := conn.Write(appendFrame(nil, k, body...))
	return err
}

func (b *Blobs) answerOffer(conn net.Conn, offered []string) error {
	var missing []string
	for _, digest := range offered {
		if b.cfg.Blobs.Check(digest) != nil {
			missing = append(missing, digest)
		}
	}
	body, err := appendDigests(nil, missing)
	if err != nil {
		return err
	}
	return write(conn, kindMissing, body...)
}

func (b *Blobs) answerPut(conn net.Conn, digest string, size uint64) error {
	err := b.store(conn, digest, size)
	var damaged *eventlog.BlobError
	switch {
	case err == nil:
		return write(conn, kindResult, byte(statusDone))
	case errors.As(err, &damaged):
		return write(conn, kindResult, byte(statusDamaged))
	}
	// How much of the content was read is not known: nothing sensible can follow.
	b.logger.Warn("a member's blob could not be stored", "digest", digest, "error", err)
	return errors.Join(write(conn, kindResult, byte(statusFailed)), err)
}

// store reads a blob of that size from the connection, checks it and syncs it.
func (b *Blobs) store(conn net.Conn, digest string, size uint64) error {
	content := &exactly{r: conn, left: size}
	if err := b.cfg.Blobs.Put(content, digest); err != nil {
		return err
	}
	return nil
}

// exactly yields so many bytes: a stream that ends before is cut, not short.
type exactly struct {
	r    io.Reader
	left uint64
}

// Read implements io.Reader.
func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(uint64(len(p)), e.left)])
	e.left -= uint64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *Blobs) answerGet(conn net.Conn, digest string) error {
	file, err := b.cfg.Blobs.OpenChecked(digest)
	if err != nil {
		return write(conn, kindResult, byte(statusAbsent))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := write(conn, kindContent, binary.BigEndian.AppendUint64(nil, uint64(info.Size()))...); err != nil {
		return err
	}
	return copyContent(conn, file, info.Size())
}
