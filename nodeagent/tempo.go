package nodeagent

import "time"

const (
	// staggerEvery is how long an address is waited for before the next is tried too.
	staggerEvery = 250 * time.Millisecond
	// redialEvery is how often an address is dialled anew where none has answered yet:
	// a dial repeats itself the more slowly the longer it lasts, and would find out
	// seconds later that a link is back.
	redialEvery = time.Second

	// staggerShare and redialShare are the parts of a heartbeat that both are where
	// agents are many.
	staggerShare = 4
	redialShare  = 2
)

// A tempo is how fast an agent tries addresses, one after the other.
type tempo struct{ stagger, redial time.Duration }

// tempoFor is the tempo of an agent whose last gateway asked for that heartbeat, 0 where
// there was none. The more agents a gateway has, the rarer it lets them ask, and the
// longer the next one takes to get to each of them when all come to it at once. Whoever
// dials elsewhere or again meanwhile makes the crowd larger by a handshake in vain.
func tempoFor(heartbeat time.Duration) tempo {
	return tempo{stagger: max(staggerEvery, heartbeat/staggerShare), redial: max(redialEvery, heartbeat/redialShare)}
}
