// Package mux carries several streams over one byte stream under TLS: what QUIC is
// where there is none. The byte stream may be a TCP connection or anything else that
// is a [net.Conn], also one that a relay passes on.
//
// A [Conn] is TLS 1.3, then records of one kind or another (record.go), then yamux.
// The records are there for one thing that yamux does not do: the code and the reason
// with which a side closes reach the other one.
//
// Each stream has a window of its own, so that one which nobody reads holds up no
// other. What is lost on the way holds up all of them, which is why QUIC comes first.
package mux
