package peer

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// A frame is one byte that says what it is, the length of its body in 4 bytes,
// big-endian, and the body. Content of blobs follows its frame as it is.
type kind uint8

const (
	kindPing    kind = 1 // empty; answered by kindPong
	kindPong    kind = 2 // the index of the newest record here, and a pulse as JSON
	kindOffer   kind = 3 // digests; answered by kindMissing
	kindMissing kind = 4 // those of the digests that are not here, in the same order
	kindPut     kind = 5 // digest and size, and the content behind it; answered by kindResult
	kindGet     kind = 6 // digest; answered by kindContent, or by kindResult where it is not here
	kindContent kind = 7 // size, and the content behind it
	kindResult  kind = 8 // a status
	kindMove    kind = 9 // the member's addresses as JSON; answered by kindResult
	// kindFacts asks for what an agent remembers, by its number; answered by kindContent
	// with a [wire.FactsReply] as the content, or by kindResult.
	kindFacts kind = 10
)

// A status is the outcome of a request.
type status uint8

const (
	statusDone    status = 0
	statusAbsent  status = 1 // no sound blob of that digest is here
	statusDamaged status = 2 // the content is not what its digest says
	statusFailed  status = 3 // it could not be stored
)

const (
	headerBytes  = 5
	digestBytes  = 32
	sizeBytes    = 8
	offerMax     = 1024 // digests in one offer
	bodyBytesMax = offerMax * digestBytes
	jsonBytesMax = 8 << 10

	blobBytesMax = 4 << 30 // of one blob, as an upload may have
	chunkBytes   = 64 << 10

	// pieceTimeout bounds how long a peer may take over the next piece.
	pieceTimeout = 15 * time.Second
)

// ErrProtocol is wrapped where a peer says what makes no sense.
var ErrProtocol = errors.New("peer: protocol violated")

func violation(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// bodyFits says which lengths a body of the kind may have.
func (k kind) bodyFits(n int) bool {
	switch k {
	case kindPing:
		return n == 0
	case kindPong:
		return n > sizeBytes && n <= sizeBytes+jsonBytesMax
	case kindMove:
		return n > 0 && n <= jsonBytesMax
	case kindOffer:
		return n > 0 && n <= bodyBytesMax && n%digestBytes == 0
	case kindMissing:
		return n <= bodyBytesMax && n%digestBytes == 0
	case kindPut:
		return n == digestBytes+sizeBytes
	case kindGet:
		return n == digestBytes
	case kindContent, kindFacts:
		return n == sizeBytes
	case kindResult:
		return n == 1
	}
	return false
}

func appendFrame(b []byte, k kind, body ...byte) []byte {
	b = append(b, byte(k))
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

// readFrame reads a frame whose kind and length make sense; nothing is allocated
// before that is known. The error is io.EOF where the peer has ended before it.
func readFrame(r io.Reader) (kind, []byte, error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	k, n := kind(header[0]), binary.BigEndian.Uint32(header[1:])
	if n > bodyBytesMax || !k.bodyFits(int(n)) {
		return 0, nil, violation("kind %d with %d bytes", k, n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, unexpected(err)
	}
	if k == kindContent || k == kindPut {
		if size := binary.BigEndian.Uint64(body[n-sizeBytes:]); size > blobBytesMax {
			return 0, nil, violation("a blob of %d bytes, more than %d", size, uint64(blobBytesMax))
		}
	}
	return k, body, nil
}

// expect reads a frame that has to be of the kind. A result in its place is an
// error as the status says.
func expect(r io.Reader, want kind) ([]byte, error) {
	k, body, err := readFrame(r)
	switch {
	case err != nil:
		return nil, unexpected(err)
	case k == want:
		return body, nil
	case k == kindResult && status(body[0]) != statusDone:
		return nil, status(body[0]).err()
	}
	return nil, violation("kind %d where %d is due", k, want)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Errors of a peer's answer.
var (
	errAbsent  = errors.New("it has no sound copy")
	errDamaged = errors.New("what arrived there is not what its digest says")
	errStore   = errors.New("it could not be stored there")
)

func (s status) err() error {
	switch s {
	case statusDone:
		return nil
	case statusAbsent:
		return errAbsent
	case statusDamaged:
		return errDamaged
	case statusFailed:
		return errStore
	}
	return violation("status %d", s)
}

// appendDigests appends the bytes of digests in hex.
func appendDigests(b []byte, digests []string) ([]byte, error) {
	for _, d := range digests {
		raw, err := hex.DecodeString(d)
		if err != nil || len(raw) != digestBytes {
			return nil, fmt.Errorf("peer: %.80q is not the SHA-256 of a blob", d)
		}
		b = append(b, raw...)
	}
	return b, nil
}

func splitDigests(body []byte) []string {
	digests := make([]string, 0, len(body)/digestBytes)
	for ; len(body) >= digestBytes; body = body[digestBytes:] {
		digests = append(digests, hex.EncodeToString(body[:digestBytes]))
	}
	return digests
}

// A patient connection gives its peer pieceTimeout for every piece, so that a
// large blob may take its time and a peer that stops may not.
type patient struct {
	net.Conn
}

// Read reads the next piece.
func (p patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(pieceTimeout)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}

// Write writes a piece, which is bounded by chunkBytes and bodyBytesMax.
func (p patient) Write(b []byte) (int, error) {
	if err := p.SetWriteDeadline(time.Now().Add(pieceTimeout)); err != nil {
		return 0, err
	}
	return p.Conn.Write(b)
}

// onlyWriter and onlyReader keep io.CopyBuffer to its buffer, so that every chunk
// is written under a deadline of its own.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// copyContent sends so many bytes, no more and no less.
func copyContent(w io.Writer, r io.Reader, size int64) error {
	n, err := io.CopyBuffer(onlyWriter{w}, onlyReader{io.LimitReader(r, size)}, make([]byte, chunkBytes))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return err
}
