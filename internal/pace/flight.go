package pace

import "time"

// A flight is what was sent and has not arrived yet. Connections do not tell how much
// that is; but a round trip that was measured tells when the packet was sent that has
// just been acknowledged, and so that what was sent before has arrived, or is lost.
type flight struct {
	sent  []departure // in their order
	total int64
}

type departure struct {
	at    time.Time
	bytes int64
}

// departuresMax bounds what is kept, and together is what counts as one departure.
const (
	departuresMax = 4096
	together      = time.Millisecond
)

// departed counts bytes that are sent now.
func (f *flight) departed(now time.Time, bytes int) {
	f.total += int64(bytes)
	if n := len(f.sent); n > 0 && (n == departuresMax || now.Sub(f.sent[n-1].at) < together) {
		last := &f.sent[n-1]
		last.bytes += int64(bytes)
		if n == departuresMax {
			last.at = now
		}
		return
	}
	f.sent = append(f.sent, departure{now, int64(bytes)})
}

// arrived drops what was sent up to a time.
func (f *flight) arrived(sent time.Time) {
	n := 0
	for n < len(f.sent) && !f.sent[n].at.After(sent) {
		f.total -= f.sent[n].bytes
		n++
	}
	if n > 0 {
		f.sent = append(f.sent[:0], f.sent[n:]...)
	}
}

func (f *flight) bytes() int64 { return f.total }
