package orchestrator

import (
	"quorate/engine"
	"quorate/internal/pki"
)

// Invited reports whether the cluster has given the secret to who shows it: as far as
// is known here it is a token's for an agent that may still be spent, or that was spent
// with this key.
func (o *Orchestrator) Invited(secret string, publicKey []byte) (yes bool) {
	hash, key, now := pki.HashSecret(secret), pki.KeyDigest(publicKey), o.cfg.Now().UnixNano()
	o.View(func(s *engine.State) {
		token := s.Tokens[hash]
		if token == nil || token.Role != "agent" {
			return
		}
		_, again := s.Enrolled(hash, key)
		yes = again || token.SpentBy == 0 && !token.Expired(now)
	})
	return yes
}
