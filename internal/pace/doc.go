// Package pace keeps what is large out of the way of what is urgent.
//
// A file that is sent as fast as congestion control allows fills the queue in front of
// the narrowest part of its way, where a command then waits behind it, for seconds on
// some lines. A [Pacer] goes by the round trips of the connection instead, in the spirit
// of LEDBAT (RFC 6817): what they are longer by than the shortest one is time in queues,
// and a sender that keeps it at a target leaves the queue short and the line full.
//
// It limits nothing until a queue is seen, so that short messages and fast networks
// never notice it, and it comes on top of congestion control, which goes on to answer
// to loss.
package pace
