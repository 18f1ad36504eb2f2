package mux

import "sync"

const (
	// Each frame that waits to be read costs some 40 bytes beside its own. That counts
	// for those below smallBytes, of which a stream may have smallFramesMax waiting: a
	// peer that sends nothing else would have 30 times its window in memory.
	smallBytes     = 64
	smallFramesMax = 8192
	// intakesPerStream is for the streams that are open, and those that yamux refuses.
	intakesPerStream = 4
)

// An inbox bounds what the frames cost that nobody has read yet.
type inbox struct {
	streamsMax int

	mu      sync.Mutex
	intakes map[uint32]*intake
	strays  int // small frames to streams that were not told apart, since one was accepted

	// Of the frame under way; only one goroutine reads.
	header frameHeader
	have   int // bytes of the header
	body   int // bytes that are to follow
}

// An intake is what has come for one stream.
type intake struct {
	received, read uint64 // bytes
	small          int    // frames that may not have been read
	// before are those of them that came before the byte at mark: they are read when
	// that is.
	before int
	mark   uint64
	over   bool // it had too many
}

// newInbox is for a peer that may have so many streams open.
func newInbox(streamsMax int) *inbox {
	return &inbox{streamsMax: streamsMax, intakes: map[uint32]*intake{}}
}

// open returns the intake of a stream, which may have begun to receive.
func (b *inbox) open(id uint32) *intake {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.strays = 0
	in := b.intakes[id]
	if in == nil {
		in = new(intake)
		b.intakes[id] = in
	}
	return in
}

// close forgets a stream; what comes for it from now on is dropped.
func (b *inbox) close(id uint32, in *intake) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.intakes[id] == in {
		delete(b.intakes, id)
	}
}

// feed takes note of bytes that came, and calls over for a stream that has too many
// small frames waiting, or, with known false, where only an end of all helps.
func (b *inbox) feed(p []byte, over func(id uint32, known bool)) {
	for len(p) > 0 {
		if b.body > 0 {
			n := min(b.body, len(p))
			b.body -= n
			p = p[n:]
			continue
		}
		n := copy(b.header[b.have:], p)
		b.have += n
		p = p[n:]
		if b.have < frameHeaderBytes {
			return
		}
		b.have, b.body = 0, b.header.data()
		if known, ok := b.take(&b.header); !ok {
			over(b.header.stream(), known)
		}
	}
}

// take notes a frame and reports whether there is room for it.
func (b *inbox) take(h *frameHeader) (known, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, bytes := h.stream(), h.data()
	full := len(b.intakes) >= intakesPerStream*b.streamsMax
	if h.opens() && !full {
		b.intakes[id] = new(intake) // whatever had the number before
	}
	small := 0
	if bytes > 0 && bytes < smallBytes {
		small = 1
	}
	in := b.intakes[id]
	if in == nil { // what nobody has opened is dropped, and costs nothing
		if full {
			b.strays += small
		}
		return false, b.strays <= smallFramesMax
	}
	in.received += uint64(bytes)
	in.small += small
	switch {
	case in.small <= smallFramesMax || in.over && in.small <= 2*smallFramesMax:
		return true, true
	case in.over: // and is not dropped, since nothing gets out
		return false, false
	}
	in.over = true
	return true, false
}

// took counts bytes of a stream as read.
func (b *inbox) took(in *intake, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in.read += uint64(bytes)
	if in.read >= in.mark {
		in.small -= in.before
		in.before, in.mark = in.small, in.received
	}
}
