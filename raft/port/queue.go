package port

import (
	"container/list"
	"net"
)

// A queue holds a bounded number of connections, in the order in which they came.
type queue struct {
	order     list.List // of queued
	at        map[net.Conn]*list.Element
	addresses map[string]int
}

type queued struct {
	conn    net.Conn
	address string
}

// add puts a connection at the end, and takes out the oldest, or the oldest of its
// address, where there are more than total or perAddress.
func (q *queue) add(conn net.Conn, address string, total, perAddress int) (evicted net.Conn) {
	if q.at == nil {
		q.at, q.addresses = map[net.Conn]*list.Element{}, map[string]int{}
	}
	q.at[conn] = q.order.PushBack(queued{conn, address})
	q.addresses[address]++
	for e := q.order.Front(); e != nil; e = e.Next() {
		old := e.Value.(queued)
		if q.order.Len() <= total && q.addresses[address] <= perAddress {
			return nil
		}
		if q.order.Len() > total || old.address == address {
			q.remove(old.conn)
			return old.conn
		}
	}
	return nil
}

func (q *queue) remove(conn net.Conn) {
	e, ok := q.at[conn]
	if !ok {
		return
	}
	delete(q.at, conn)
	old := q.order.Remove(e).(queued)
	if q.addresses[old.address]--; q.addresses[old.address] == 0 {
		delete(q.addresses, old.address)
	}
}

func (q *queue) conns() []net.Conn {
	var all []net.Conn
	for c := range q.at {
		all = append(all, c)
	}
	return all
}
