// Package pki is the cluster's certificate authority, the roles that its
// certificates give, join tokens, and the TLS configurations of every endpoint.
//
// A certificate carries its role twice: as a URI in the subject alternative name,
// quorate://<cluster>/agent/<id>, .../server or .../operator/<name>, and as the
// extended key usage. Every configuration here demands the role that its endpoint
// needs and the cluster that it belongs to, so that no certificate serves for
// another's place. Host names are not part of that: an agent knows its
// orchestrators by their role in its own cluster, wherever they are.
//
// Everything is TLS 1.3 without tickets, so nothing is resumed and nothing is
// sent as 0-RTT, which could be replayed.
package pki
