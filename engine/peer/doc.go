// Package peer is what orchestrators say to each other beside the log itself:
// they copy blobs, and ask agents for each other ([Blobs]), and let others join ([ServeJoin], [RequestJoin]).
//
// It works on connections that somebody else has made, and verified: on one for
// blobs both sides are members. It trusts what they say no further than that a
// member may store a blob, whose content is checked against its name. On a
// connection to join, the other side is anybody.
package peer
